"""What hands do on the Ask tab: drop a picture, copy an answer, tap a token; and what formulas look like."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.lab_app import SECONDS, FaultyApp
from tests.browser.test_ask import answers, ask, upload

pytestmark = pytest.mark.browser
DROP = """(box, data) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    box.dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
  }
}"""


def opened(page: Page, faulty: FaultyApp) -> Page:
    page.goto(faulty.url)
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)
    return page


def test_a_dropped_picture_is_asked_about(page: Page, faulty: FaultyApp, red_circle: Path) -> None:
    faulty.behave(answer="Red.")
    opened(page, faulty)
    page.locator("#vqa-composer textarea").evaluate(DROP, base64.b64encode(red_circle.read_bytes()).decode())
    expect(page.locator("#vqa-tray img")).to_have_attribute("alt", "dropped.png", timeout=SECONDS)
    ask(page, "What colour is it?")
    assert red_circle.read_bytes() in [
        base64.b64decode(part["image_url"]["url"].partition(",")[2])
        for part in faulty.server.bodies[-1]["messages"][-1]["content"]
        if part["type"] == "image_url"
    ]


def test_an_answer_is_copied_as_it_was_written(page: Page, faulty: FaultyApp, red_circle: Path) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    faulty.behave(answer="A **red** circle: $x^2$.")
    opened(page, faulty)
    upload(page, red_circle)
    ask(page, "What is it?")
    page.locator('#vqa-chat button[aria-label="Copy message"]').nth(1).click()  # the first is the question's
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.includes('circle'))")
    assert "A **red** circle: $x^2$." in page.evaluate("navigator.clipboard.readText()")


def test_formulas_and_markdown_are_drawn_and_html_is_not(page: Page, faulty: FaultyApp, red_circle: Path) -> None:
    faulty.behave(answer="It is **bold**: $\\frac{a}{b}$ and <b>this</b>.")
    opened(page, faulty)
    upload(page, red_circle)
    ask(page, "What is it?")
    answer = page.locator("#vqa-chat .message.bot").first
    expect(answer.locator(".katex .mfrac")).to_have_count(1, timeout=SECONDS)
    expect(answer.locator("strong")).to_have_text("bold")
    expect(answer).to_contain_text("<b>this</b>")


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="zh-CN", has_touch=True)
    yield context.new_page()
    context.close()


def test_a_tapped_token_shows_what_else_it_could_have_been(phone: Page, faulty: FaultyApp, red_circle: Path) -> None:
    faulty.behave()
    opened(phone, faulty)
    upload(phone, red_circle)
    phone.locator("#vqa-composer textarea").fill("这是什么？")
    phone.locator("#vqa-composer .submit-button").tap()
    expect(answers(phone)).to_have_count(1, timeout=SECONDS)
    token = phone.locator("#vqa-sure .vqa-tokens .tok").nth(1)
    token.scroll_into_view_if_needed()
    expect(token.locator(".tip")).to_be_hidden()
    token.tap()
    expect(token.locator(".tip")).to_be_visible()
    expect(token.locator(".tip")).to_contain_text("%")
