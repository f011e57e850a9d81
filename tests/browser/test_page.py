"""The page as a whole in a real browser: languages, themes, widths, addresses, keyboard, accessibility, privacy."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.lab_app import FaultyApp, faulty
from tests.fakes.proxy import forgetful_proxy
from vqa.ui.page import TABS
from vqa.ui.web.login import wait_page

__all__ = ["faulty"]
expect.set_options(timeout=30_000)
pytestmark = pytest.mark.browser
PLACES = [place.id for place in TABS if find_spec(place.module)]


def tab(page: Page, place: str) -> None:
    page.locator(f"#tab-{place}-button").click()


def opened(page: Page, place: str) -> None:
    """Goes to a tab as Back and Forward do, which needs no new page."""
    page.evaluate(
        "place => { history.pushState(null, '', `?tab=${place}`); dispatchEvent(new PopStateEvent('popstate')) }", place
    )
    expect(page.locator(f"#tab-{place}")).to_be_visible(timeout=30_000)


def ready(page: Page) -> None:
    expect(page.locator(".vqa-strip")).to_be_visible(timeout=30_000)


def test_every_tab_opens_and_the_page_asks_nobody_but_its_own_origin(page: Page, faulty: FaultyApp) -> None:
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))
    page.goto(faulty.url)
    ready(page)
    for place in PLACES:
        tab(page, place)
        expect(page.locator(f"#tab-{place}")).to_be_visible()
        page.wait_for_timeout(300)
    foreign = {url for url in asked if urlsplit(url).scheme in {"http", "https"} and not url.startswith(faulty.url)}
    assert not foreign


def test_all_that_a_page_begins_with_is_named_in_its_head_and_nothing_else(page: Page, faulty: FaultyApp) -> None:
    page.goto(faulty.url)
    ready(page)
    loaded = page.evaluate("performance.getEntriesByType('resource').map((each) => new URL(each.name).pathname)")
    files = {path for path in loaded if path.startswith("/assets/")}
    named = set(page.evaluate(
        "[...document.querySelectorAll('link[rel=modulepreload]:not([as])')].map((each) => new URL(each.href).pathname)"
    ))  # fmt: skip
    assert len(named) > 50 and {path for path in files if path.endswith(".js")} >= named
    own = {path for path in files - named if not re.search(r"/(begin|index)-[\w-]{8}\.(css|js)$", path)}
    assert not own, "loaded when it was wanted"


def test_the_browsers_language_is_the_first_and_a_chosen_one_is_remembered(browser: Browser, faulty: FaultyApp) -> None:
    context = browser.new_context(locale="zh-CN")
    page = context.new_page()
    page.goto(faulty.url)
    expect(page.get_by_role("tab", name="提问")).to_be_visible(timeout=30_000)
    page.get_by_text("English", exact=True).click()
    expect(page.get_by_role("tab", name="Ask")).to_be_visible(timeout=30_000)
    page.goto(faulty.url)
    expect(page.get_by_role("tab", name="Ask")).to_be_visible(timeout=30_000)
    context.close()


def english_labels(page: Page, place: str) -> list[str]:
    """The buttons of a tab on which English words stand that are no names."""
    allowed = re.compile(
        r"easy-VQA|VQA|vLLM|vllm|JSON|Markdown|Python|curl|JavaScript|English|GPU|CPU|KV|PDF|CSV|JUnit|HTML|SHA"
    )
    buttons = page.locator(f"#tab-{place} button:not([data-run], [data-name])").all()
    words = [button.inner_text().strip() if button.is_visible() else "" for button in buttons]
    return [each for each in words if re.search(r"[A-Za-z]{3,}", allowed.sub("", each))]


def test_the_chinese_page_holds_no_english_labels(browser: Browser, faulty: FaultyApp) -> None:
    context = browser.new_context(locale="zh-CN")
    page = context.new_page()
    page.goto(faulty.url)
    ready(page)
    for place in PLACES:
        tab(page, place)
        assert english_labels(page, place) == []
    context.close()


def test_the_dark_theme_follows_the_system_and_can_be_switched(browser: Browser, faulty: FaultyApp) -> None:
    context = browser.new_context(color_scheme="dark", locale="en-US")
    page = context.new_page()
    page.goto(faulty.url)
    ready(page)
    expect(page.locator("body")).to_have_class(re.compile("dark"))
    page.get_by_label("Switch between light and dark").click()
    expect(page.locator("body")).not_to_have_class(re.compile("dark"))
    page.reload()
    ready(page)
    expect(page.locator("body")).not_to_have_class(re.compile("dark"))
    context.close()


def test_on_a_phone_nothing_sticks_out_to_the_side(browser: Browser, faulty: FaultyApp) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="en-US", has_touch=True)
    page = context.new_page()
    for place in PLACES:
        page.goto(f"{faulty.url}/?tab={place}")
        expect(page.locator(f"#tab-{place}")).to_be_visible(timeout=30_000)
        page.wait_for_timeout(400)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, place
    context.close()


@pytest.mark.parametrize(
    ("path", "unfit"),
    ids=["en", "zh"],
    argvalues=[
        ("", r"\b(click|hover|drop|drag|enter|shift|mouse|point at)\b"),
        ("zh", r"悬停|回车|拖|鼠标|单击|指向|\b(click|drop|enter|shift)\b"),
    ],
)
def test_where_there_is_only_a_finger_no_text_speaks_of_a_mouse_or_of_keys(
    browser: Browser, faulty: FaultyApp, path: str, unfit: str
) -> None:
    faulty.behave()
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, locale="en-US"
    )
    page = context.new_page()
    page.goto(f"{faulty.url}/{path}")
    ready(page)
    for place in PLACES:
        page.goto(f"{faulty.url}/{path}?tab={place}")
        ready(page)
        shown = page.locator(f"#tab-{place}")
        expect(shown).to_be_visible(timeout=30_000)
        expect(shown.locator("button:visible").first).to_be_visible(timeout=30_000)
        page.wait_for_timeout(1500)  # what is filled in after that
        texts = shown.inner_text() + " ".join(
            page.eval_on_selector_all(
                f"#tab-{place} [placeholder]",
                "(all) => all.filter((one) => one.offsetParent).map((one) => one.placeholder)",
            )
        )
        assert not [line for line in texts.splitlines() if re.search(unfit, line, re.IGNORECASE)], place
    context.close()


def test_back_and_the_arrow_keys_walk_through_the_tabs(page: Page, faulty: FaultyApp) -> None:
    page.goto(f"{faulty.url}/?tab=ask")
    ready(page)
    page.locator("#tab-ask-button").focus()
    for key, place in (("ArrowRight", "repeat"), ("End", "server"), ("ArrowRight", "ask"), ("ArrowLeft", "server")):
        page.keyboard.press(key)
        expect(page.locator(f"#tab-{place}-button")).to_be_focused()
        expect(page.locator(f"#tab-{place}")).to_be_visible()
        expect(page).to_have_url(re.compile(f"tab={place}"))
    for place in ("ask", "server", "repeat", "ask"):
        page.go_back()
        expect(page).to_have_url(re.compile(f"tab={place}"))
        expect(page.locator(f"#tab-{place}")).to_be_visible()


@pytest.mark.parametrize(("path", "width"), [("", 390), ("zh", 280)])  # two characters a tab take little room
def test_a_tab_in_the_menu_of_a_phone_is_in_the_address_and_back_leads_from_and_to_it(
    browser: Browser, faulty: FaultyApp, path: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844})
    page = context.new_page()
    page.goto(f"{faulty.url}/{path}?tab=ask")
    ready(page)
    menu = page.locator("#vqa-tabs > .tab-wrapper .overflow-menu")
    for name in ("server", "history"):
        menu.locator("> button").click()
        menu.locator(".overflow-dropdown button").last.click()
        expect(page.locator(f"#tab-{name}")).to_be_visible()
        expect(page).to_have_url(re.compile(f"tab={name}"))
    for name in ("server", "ask"):
        page.go_back()
        expect(page).to_have_url(re.compile(f"tab={name}"))
        expect(page.locator(f"#tab-{name}")).to_be_visible()
    context.close()


def test_an_address_with_a_tab_opens_it_and_a_click_puts_it_into_the_address(page: Page, faulty: FaultyApp) -> None:
    page.goto(f"{faulty.url}/?tab=server")
    expect(page.locator("#vqa-state .vqa-card").first).to_be_visible(timeout=30_000)
    tab(page, "ask")
    page.wait_for_url(re.compile("tab=ask"))


def tab_to(page: Page, selector: str) -> None:
    """Presses Tab until something is focused, and sees that it shows so."""
    for _ in range(120):
        if page.evaluate("(wanted) => document.activeElement.matches(wanted)", selector):
            break
        page.keyboard.press("Tab")
    expect(page.locator(selector).first).to_be_focused()
    outlined = """() => [document.activeElement, document.activeElement.closest("#vqa-dock")].some((each) => {
        const look = each && getComputedStyle(each);
        const outline = look && look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 2;
        return outline || (look && look.boxShadow !== "none");
    })"""
    assert page.evaluate(outlined), f"nothing shows that {selector} is focused"


@pytest.mark.engine
def test_the_keyboard_alone_asks_stops_and_changes_tabs(page: Page, app_url: str, red_circle: Path) -> None:
    """The picture comes from the example list; only Tab, Enter, Space and the arrows are pressed."""
    page.goto(app_url)
    expect(page.locator(".vqa-strip.good")).to_be_visible()
    page.locator("[data-vqa=tour]").focus()
    tab_to(page, "#vqa-gallery button.thumbnail-item")
    page.keyboard.press("Enter")
    question = page.locator("#vqa-composer textarea")
    expect(question).not_to_have_value("")
    page.locator("[data-vqa=theme]").focus()
    tab_to(page, "#vqa-composer textarea")
    page.keyboard.press("Enter")
    expect(page.locator("#vqa-chat .vqa-line")).to_have_count(1)
    page.locator("[data-vqa=theme]").focus()
    tab_to(page, '#vqa-tabs button[role="tab"]')
    tab_to(page, "#tab-repeat-button")
    page.keyboard.press("Enter")
    tab_to(page, "#repeat-example")
    page.keyboard.press("Space")
    expect(page.locator("#tab-repeat .vqa-gallery img").first).to_be_visible()
    tab_to(page, "#tab-repeat input[type=number]")
    page.keyboard.press("Control+A")
    page.keyboard.type("3000")
    tab_to(page, "#repeat-start")
    page.keyboard.press("Enter")
    expect(page.locator("#repeat-stop")).to_be_enabled()
    tab_to(page, "#repeat-stop")
    page.keyboard.press("Enter")
    expect(page.locator("#repeat-progress")).to_contain_text("Stopped at")


@pytest.mark.parametrize("place", [place for place in PLACES if place != "server"])
def test_a_tab_without_anything_in_it_says_what_to_do(page: Page, faulty: FaultyApp, place: str) -> None:
    page.goto(f"{faulty.url}/?tab={place}")
    told = page.locator(f"#tab-{place} :is(.vqa-empty, .placeholder, .placeholder-content)").first
    expect(told).to_be_visible()
    expect(told).to_have_text(re.compile(r"\w+ \w+ \w+ \w+"))


LOOKS = pytest.mark.parametrize(
    ("theme", "lang", "width"), [("light", "en-US", 1280), ("dark", "en-US", 1280), ("light", "zh-CN", 390)]
)


def looked_at(page: Page, place: str, theme: str) -> list[str]:
    """What axe finds serious on a tab, as it opens and once it is filled.

    What is around the tabs is looked at with the first one alone, before the others stand hidden beside it.
    """
    opened(page, place)
    expect(page.locator("body")).to_have_class(re.compile("dark") if theme == "dark" else re.compile("^(?!.*dark)"))
    page.wait_for_timeout(800)
    found = serious(page, None if place == PLACES[0] else f"#tab-{place}")
    example = page.locator(f"#{place}-example, #tab-{place} #vqa-gallery button").first
    if example.count():
        example.click()
        # Where there is a tray, the composer's own thumbnails are hidden once it shows them; a data set shows its rows.
        pictures = page.locator(f"#tab-{place} :is(.vqa-gallery, #vqa-tray, #evaluate-preview) img")
        expect(pictures.first).to_be_visible(timeout=30_000)
        page.wait_for_timeout(300)
        found += serious(page, f"#tab-{place}")
    return found


@LOOKS
def test_axe_finds_nothing_serious(browser: Browser, faulty: FaultyApp, theme: str, lang: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, locale=lang, color_scheme=theme)
    page = context.new_page()
    page.goto(faulty.url)
    ready(page)
    assert {place: found for place in PLACES if (found := looked_at(page, place, theme))} == {}
    context.close()


@pytest.mark.engine
@LOOKS
def test_the_tab_of_an_engine_that_runs_here_can_be_used_by_everybody(
    browser: Browser, app_url: str, theme: str, lang: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, locale=lang, color_scheme=theme)
    page = context.new_page()
    page.goto(app_url)
    ready(page)
    assert looked_at(page, "server", theme) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.locator("#vqa-stop")).to_be_enabled()
    if lang == "zh-CN":
        assert english_labels(page, "server") == []
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_that_asks_to_wait_after_wrong_passwords_can_be_read(browser: Browser, theme: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, color_scheme=theme)
    page = context.new_page()
    page.set_content(wait_page(37, "en"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    # axe takes the ground for white, whatever the system's theme makes of it.
    letters = page.evaluate("getComputedStyle(document.body).color")
    assert letters == ("rgb(255, 255, 255)" if theme == "dark" else "rgb(0, 0, 0)")
    context.close()


def serious(page: Page, part: str | None = None) -> list[str]:
    """What axe-core finds that keeps somebody from using the page, or a part of it."""
    return [
        f"{each['id']}: {[node['html'][:160] for node in each['nodes'][:3]]}"
        for each in Axe().run(page, context=part).response["violations"]
        if each["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("key", ["Enter", "click"])
def test_the_upload_button_of_a_filled_picture_list_opens_the_file_dialog_once(
    page: Page, faulty: FaultyApp, red_circle: Path, key: str
) -> None:
    page.goto(f"{faulty.url}/?tab=repeat")
    page.locator("#repeat-example").click()
    pictures = page.locator("#tab-repeat .vqa-gallery .thumbnail-item")
    expect(pictures).to_have_count(1)
    button = page.locator("#tab-repeat .vqa-gallery").get_by_role("button", name="Click to choose", exact=True)
    with page.expect_file_chooser() as asked:
        if key == "click":
            button.click()
        else:
            button.focus()
            page.keyboard.press(key)
    asked.value.set_files(red_circle)
    expect(pictures).to_have_count(2)


def test_a_foreign_host_header_is_refused_and_headers_keep_the_page_to_itself(faulty: FaultyApp) -> None:
    assert httpx.get(faulty.url, headers={"Host": "evil.example"}, trust_env=False).status_code == 400
    headers = httpx.get(faulty.url, trust_env=False).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["file=/etc/passwd", "file=../../../../etc/passwd", "file=.env", "file=app.py", "file=.git/config"]
)
def test_no_file_of_the_machine_is_handed_out(faulty: FaultyApp, path: str) -> None:
    assert httpx.get(f"{faulty.url}/gradio_api/{path}", trust_env=False).status_code in {400, 403, 404}


@pytest.mark.parametrize(
    ("host", "prefix", "told"),
    [("localhost", "", "proxy_set_header Host"), ("127.0.0.1", "/vqa", "GRADIO_ROOT_PATH=/vqa")],
)
def test_behind_a_proxy_that_passes_on_too_little_the_page_says_which_setting_lacks(
    browser: Browser, page: Page, faulty: FaultyApp, host: str, prefix: str, told: str
) -> None:
    lost = browser.new_page()  # its console is full of what the proxy withheld
    with forgetful_proxy(faulty.url, prefix) as port:
        lost.goto(f"http://{host}:{port}{prefix}/", wait_until="domcontentloaded")
        expect(lost.locator(".vqa-proxy[role=alert]")).to_contain_text(told)
        lost.close()
    page.goto(faulty.url)
    ready(page)
    expect(page.locator(".vqa-proxy[role=alert]")).to_have_count(0)
