"""The guided tour in a real browser: it does what it talks of, waits, tells what fails, and gives everything back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.lab_app import SECONDS, FaultyApp

pytestmark = pytest.mark.browser
STEPS = 5


def panel(page: Page) -> Locator:
    return page.get_by_role("dialog")


def ready(page: Page, step: int) -> Locator:
    """The button of a step, once what the step does is done."""
    expect(panel(page).locator(".count")).to_contain_text(re.compile(rf"{step}\D+5"), timeout=SECONDS)
    button = panel(page).locator(".next")
    expect(button).to_have_attribute("aria-disabled", "false", timeout=2 * SECONDS)
    return button


def start(page: Page, url: str) -> None:
    page.set_default_timeout(SECONDS)
    page.goto(url)
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)
    page.locator("[data-vqa=tour]").focus()
    page.keyboard.press("Enter")


def composer(page: Page) -> Locator:
    return page.locator("#vqa-composer textarea")


@pytest.mark.engine
@pytest.mark.parametrize(("path", "width", "theme"), [("", 1280, "light"), ("/zh", 390, "dark")])
def test_five_presses_of_one_key_lead_from_a_picture_to_its_report(
    browser: Browser, app_url: str, path: str, width: int, theme: str
) -> None:
    locale = "zh-CN" if path else "en-US"
    context = browser.new_context(viewport={"width": width, "height": 844}, locale=locale, color_scheme=theme)
    page = context.new_page()
    start(page, f"{app_url}{path}")
    for step in range(1, STEPS + 1):
        button = ready(page, step)
        expect(panel(page).locator(".failed")).to_have_count(0)
        expect(button).to_be_focused()
        expect(button).to_be_in_viewport()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if step == 1:
            expect(composer(page)).not_to_have_value("")
            serious = {"serious", "critical"}
            found = Axe().run(page, context="#vqa-tour").response["violations"]
            assert not [each["id"] for each in found if each["impact"] in serious]
        elif step == 2:
            expect(page.locator("#vqa-chat .message.bot").first).to_contain_text(re.compile("triangle|三角形"))
        elif step == 3:
            expect(page.locator("#vqa-received figure")).to_be_visible()
            expect(page.locator("#vqa-sure .tok").first).to_be_visible()
        elif step == 4:
            expect(page.locator("#repeat-progress")).to_contain_text("20")
            said = page.locator("#repeat-verdict .vl-verdict strong").inner_text()
            expect(panel(page).locator(".verdict strong")).to_have_text(said)
            expect(panel(page).locator(".verdict p")).not_to_be_empty()
        else:
            with context.expect_page() as opened:
                panel(page).locator(".links a").first.click()
            verdict = opened.value.locator("main:visible .vl-verdict strong").first
            expect(verdict).to_have_text(said)
            with page.expect_download() as saved:
                panel(page).locator(".links a[download]").click()
            assert saved.value.suggested_filename.endswith(".html")
            with context.expect_page() as recorded:
                panel(page).locator(".links a[href*=h200]").click()
            shown = recorded.value.locator("#tab-repeat")
            expect(shown).to_contain_text("NVIDIA H200", timeout=SECONDS)
            expect(shown.locator(".vl-verdict strong")).to_contain_text("20")
            recorded.value.close()
            button.focus()
        page.keyboard.press("Enter")
    expect(panel(page)).to_have_count(0)
    context.close()


def test_leaving_midway_gives_back_what_was_there_before(page: Page, faulty: FaultyApp, red_circle: Path) -> None:
    faulty.behave(seconds_per_token=0.1)
    page.goto(faulty.url)
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)
    page.locator("#vqa-composer input[type=file]").first.set_input_files(red_circle)
    composer(page).fill("A question of mine")
    composer(page).press("Enter")
    expect(page.locator("#vqa-chat .vqa-line")).to_have_count(1, timeout=SECONDS)
    composer(page).fill("half a thought")
    page.locator("[data-vqa=tour]").click()
    faulty.behave(seconds_per_token=2)  # so that it is left in mid-answer
    ready(page, 1).click()
    expect(page.locator("#vqa-composer .stop-button")).to_be_visible(timeout=SECONDS)
    page.keyboard.press("Escape")
    expect(panel(page)).to_have_count(0)
    expect(page.locator("[data-vqa=tour]")).to_be_focused()
    expect(page.locator("#vqa-chat .message.user").last).to_contain_text("A question of mine", timeout=SECONDS)
    expect(composer(page)).to_have_value("half a thought")


def test_the_form_of_a_run_is_given_back_and_the_tours_run_stays(
    page: Page, faulty: FaultyApp, red_circle: Path
) -> None:
    faulty.behave(answer="the same")
    page.goto(f"{faulty.url}/?tab=repeat")
    page.locator("#tab-repeat .vqa-gallery input[type=file]").set_input_files(red_circle)
    expect(page.locator("#tab-repeat .vqa-gallery img").first).to_be_visible(timeout=SECONDS)
    page.locator("#tab-repeat textarea").first.fill("Mine?")
    page.locator("#tab-repeat input[type=number]").first.fill("7")
    page.locator("[data-vqa=tour]").click()
    for step in range(1, 4):
        ready(page, step).click()
    expect(ready(page, 4)).to_be_visible()
    expect(panel(page).locator(".verdict.identical")).to_contain_text("20 of 20 identical.")
    panel(page).get_by_role("button", name="Leave the tour").click()
    expect(page.locator("#tab-repeat textarea").first).to_have_value("Mine?", timeout=SECONDS)
    expect(page.locator("#tab-repeat input[type=number]").first).to_have_value("7")
    expect(page.locator("#repeat-progress")).to_contain_text("20 of 20")


def test_what_fails_is_told_and_tried_again(page: Page, faulty: FaultyApp) -> None:
    faulty.behave(fails_every=1)
    start(page, faulty.url)
    ready(page, 1).click()
    button = ready(page, 2)
    expect(panel(page).locator(".now")).to_contain_text("This did not work")
    expect(button).to_have_text("Try again")
    faulty.behave()
    button.click()
    expect(panel(page).locator(".now")).to_have_text("The answer is complete.", timeout=SECONDS)


def test_it_waits_for_a_model_that_does_not_answer_yet(page: Page, faulty: FaultyApp) -> None:
    faulty.behave()
    start(page, faulty.url)
    ready(page, 1)
    faulty.server.stop()
    try:
        expect(page.locator(".vqa-strip.good")).to_have_count(0, timeout=SECONDS)
        panel(page).locator(".next").click()
        expect(panel(page).locator(".now")).to_contain_text("goes on by itself", timeout=SECONDS)
        expect(panel(page).locator(".next")).to_have_attribute("aria-disabled", "true")
    finally:
        faulty.server.start()
    expect(panel(page).locator(".now")).to_have_text("The answer is complete.", timeout=2 * SECONDS)
