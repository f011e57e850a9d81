"""The Ask tab in a real browser, with a real vLLM and the demo model behind it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from vqa.errors import InputError
from vqa.text import Language, t

expect.set_options(timeout=30_000)
pytestmark = [pytest.mark.browser, pytest.mark.engine]
SECONDS = 60_000
ANSWER = "#vqa-chat .message.bot"


@pytest.fixture(autouse=True)
def patient(page: Page) -> None:
    """Slow machines: wait longer for the page before giving up."""
    page.set_default_timeout(SECONDS)


def composer(page: Page) -> Locator:
    return page.locator("#vqa-composer textarea")


def open_page(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)


def upload(page: Page, *pictures: Path) -> None:
    page.locator("#vqa-composer input[type=file]").first.set_input_files([str(picture) for picture in pictures])
    expect(page.locator("#vqa-composer .thumbnail-wrapper")).to_have_count(len(pictures))


def send(page: Page, question: str) -> None:
    composer(page).fill(question)
    composer(page).press("Enter")


def answers(page: Page) -> Locator:
    """The lines under the answers; each stands there once its answer is complete."""
    return page.locator("#vqa-chat .vqa-line")


def ask(page: Page, question: str) -> None:
    before = answers(page).count()
    send(page, question)
    expect(answers(page)).to_have_count(before + 1, timeout=SECONDS)


def test_a_picture_and_a_question_get_a_right_answer_with_its_speed(page: Page, app_url: str, red_circle: Path) -> None:
    open_page(page, app_url)
    upload(page, red_circle)
    ask(page, "What colour is the circle?")
    expect(page.locator("#vqa-chat .message.bot").first).to_contain_text(re.compile("red", re.IGNORECASE))
    expect(answers(page)).to_contain_text(re.compile(r"first token after \d+\.\d\d s · \d+ token"))
    expect(composer(page)).to_have_value("")
    expect(page.locator("#vqa-chat img")).to_be_visible()


def test_an_example_fills_the_question_and_is_answered(page: Page, app_url: str) -> None:
    open_page(page, app_url)
    page.locator("#vqa-gallery button.thumbnail-item").first.click()
    expect(composer(page)).not_to_have_value("")
    composer(page).press("Enter")
    expect(answers(page)).to_have_count(1, timeout=SECONDS)
    expect(page.locator("#vqa-chat img")).to_be_visible()


@pytest.mark.parametrize(
    ("path", "lang", "question"),
    [("", "en", "What colour is the circle?"), ("/zh", "zh", "圆形是什么颜色？")],
)
def test_the_schema_that_its_own_hint_suggests_is_followed_by_the_bundled_model(
    page: Page, app_url: str, red_circle: Path, path: str, lang: Language, question: str
) -> None:
    hint = InputError("schema_invalid", reason="").hint(lang)
    schema = re.search(r"\{.*\}", hint)
    assert schema is not None
    open_page(page, app_url + path)
    upload(page, red_circle)
    page.locator("#vqa-options > button").click()
    page.get_by_label("JSON schema").fill(schema[0])
    ask(page, question)
    answer = json.loads(page.locator("#vqa-chat .message.bot").first.inner_text())
    assert list(answer.values()) == [{"en": "red", "zh": "红色"}[lang]]
    expect(page.locator("#vqa-side .vqa-badge.good").first).to_have_text(t("ask.valid", lang))


def test_a_follow_up_keeps_the_picture(page: Page, app_url: str, red_circle: Path) -> None:
    open_page(page, app_url)
    upload(page, red_circle)
    ask(page, "What shape is it?")
    ask(page, "What colour is it?")
    expect(page.locator("#vqa-received figure")).to_have_count(1)
    expect(page.locator("#vqa-chat .message.user img")).to_have_count(1)


def test_what_the_model_received_is_shown_with_hash_pixels_and_tokens(
    page: Page, app_url: str, red_circle: Path
) -> None:
    open_page(page, app_url)
    upload(page, red_circle)
    ask(page, "What colour is the circle?")
    panel = page.locator("#vqa-received")
    for text in ("256×256", "image/png", "sent byte for byte", "Prompt tokens", "of them image"):
        expect(panel).to_contain_text(text)
    expect(panel.locator("img")).to_have_attribute("src", re.compile("^data:image/png;base64,"))


def test_how_sure_it_was_names_alternatives_and_the_least_certain_token(
    page: Page, app_url: str, red_circle: Path
) -> None:
    open_page(page, app_url)
    upload(page, red_circle)
    ask(page, "What colour is the circle?")
    token = page.locator("#vqa-sure .vqa-tokens .tok").first
    token.hover()
    expect(token.locator(".tip")).to_be_visible()
    expect(token.locator(".tip")).to_contain_text("%")
    expect(page.locator("#vqa-sure .vqa-least")).to_contain_text("Least certain")


def test_a_max_tokens_that_does_not_fit_is_told_before_sending_and_lowered_by_one_click(
    page: Page, app_url: str, red_circle: Path
) -> None:
    open_page(page, app_url)
    upload(page, red_circle)
    page.locator("#vqa-options > button").click()
    page.get_by_label("max_tokens").fill("5000")
    send(page, "What colour is the circle?")
    expect(page.locator("#vqa-fit")).to_contain_text("Not sent")
    page.get_by_role("button", name=re.compile(r"Set max_tokens to \d+ and send")).click()
    expect(answers(page)).to_have_count(1, timeout=SECONDS)
    expect(page.locator(ANSWER).first).to_contain_text(re.compile("red", re.IGNORECASE))
    expect(page.locator("#vqa-fit")).to_be_hidden()


def test_empty_question_and_missing_picture_are_told_and_nothing_is_lost(
    page: Page, app_url: str, red_circle: Path
) -> None:
    open_page(page, app_url)
    send(page, "What is this?")
    expect(page.get_by_text("There is no picture to ask about.")).to_be_visible()
    expect(composer(page)).to_have_value("What is this?")
    upload(page, red_circle)
    send(page, "   ")
    expect(page.get_by_text("The question is empty.")).to_be_visible()
    expect(page.locator("#vqa-composer .thumbnail-wrapper")).to_have_count(1)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("words.jpg", b"only text, no picture", "is not a picture"),
        ("nothing.png", b"", "is empty"),
    ],
)
def test_a_file_that_is_no_picture_is_refused_in_words(
    page: Page, app_url: str, tmp_path: Path, name: str, data: bytes, told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    open_page(page, app_url)
    page.locator("#vqa-composer input[type=file]").first.set_input_files(str(path))
    page.wait_for_timeout(500)
    send(page, "What is this?")
    expect(page.locator(".toast-body, .toast-wrap").get_by_text(told).first).to_be_visible()
    expect(composer(page)).to_have_value("What is this?")


def test_asking_again_and_editing_keep_every_version(page: Page, app_url: str, red_circle: Path) -> None:
    open_page(page, app_url)
    upload(page, red_circle)
    ask(page, "What colour is the circle?")
    page.locator('#vqa-chat button[aria-label="Retry"]').first.click()
    expect(page.get_by_text("Version 2 of 2")).to_be_visible(timeout=SECONDS)
    page.get_by_role("button", name="‹ Earlier").click()
    expect(page.get_by_text("Version 1 of 2")).to_be_visible()
    page.locator('#vqa-chat button[aria-label="Edit"]').first.click()
    page.locator("#vqa-chat textarea").fill("What shape is it?")
    page.locator('#vqa-chat button[aria-label="Submit"]').first.click()
    expect(page.locator("#vqa-chat .message.user").last).to_contain_text("What shape is it?", timeout=SECONDS)
    expect(page.get_by_text("Version 3 of 3")).to_be_visible(timeout=SECONDS)
    expect(page.locator("#vqa-chat .message.user img")).to_have_count(1)
    for version in (2, 1):
        page.get_by_role("button", name="‹ Earlier").click()
        expect(page.get_by_text(f"Version {version} of 3")).to_be_visible()
        expect(page.locator("#vqa-chat .message.user").last).to_contain_text("What colour is the circle?")


def test_the_code_shown_gives_the_same_answer_when_run(
    page: Page, app_url: str, red_circle: Path, tmp_path: Path
) -> None:
    import subprocess
    import sys

    open_page(page, app_url)
    upload(page, red_circle)
    ask(page, "What colour is the circle?")
    answer = page.locator("#vqa-chat .message.bot .prose").first.inner_text().strip()
    page.get_by_text("Show code").click()
    code = page.locator("#vqa-code .cm-content").first
    expect(code).to_contain_text("OpenAI(")
    page.locator('#vqa-code button[aria-label="Copy"], #vqa-code button[title="Copy"]').first.wait_for()
    script = "\n".join(code.locator(".cm-line").all_inner_texts())
    (tmp_path / "ask.py").write_text(script)
    run = subprocess.run(
        [sys.executable, "ask.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.stdout.strip() == answer, run.stderr
    inner = page.locator("#tab-ask").get_by_role("tab", name="curl")
    inner.click()
    expect(inner).to_have_attribute("aria-selected", "true")
    assert parse_qs(urlsplit(page.url).query).get("tab", ["ask"]) == ["ask"], "a tab within a tab has no address"


def test_a_reload_opens_the_conversation_again_and_it_can_be_found_and_deleted(
    page: Page, app_url: str, red_circle: Path
) -> None:
    open_page(page, app_url)
    upload(page, red_circle)
    ask(page, "What colour is the circle, unmistakably?")
    page.wait_for_url(re.compile("chat="))
    chat = parse_qs(urlsplit(page.url).query)["chat"][0]
    page.reload()
    expect(page.locator("#vqa-chat .message.user").last).to_contain_text("unmistakably", timeout=SECONDS)
    page.get_by_label("Search").fill("unmistakably")
    found = page.locator(f'#vqa-talks [data-talk="{chat}"]')
    expect(page.locator("#vqa-talks li")).to_have_count(1)
    found.hover()
    found.get_by_role("button", name="Delete").click()
    expect(page.locator("#vqa-chat .message.user")).to_have_count(0)
    expect(found).to_have_count(0)


def test_html_from_a_question_is_shown_and_never_run(page: Page, app_url: str, red_circle: Path) -> None:
    open_page(page, app_url)
    upload(page, red_circle)
    ask(page, "<img src=x onerror=\"document.title='broken'\"> <script>document.title='broken'</script> what colour?")
    expect(page.locator("#vqa-chat .message.user").last).to_contain_text("<script>")
    assert page.title() != "broken"
    assert page.locator("#vqa-chat script, #vqa-chat img[src='x']").count() == 0
