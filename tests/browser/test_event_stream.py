"""Whoever asks while Gradio closes its stream of events is answered: no event waits for one that comes after it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab_app import SECONDS, FaultyApp
from tests.browser.test_ask import answers, ask, upload

pytestmark = pytest.mark.browser

LATE_CLOSE = """
  const plain = window.fetch;
  window.closes = 0;
  window.streams = 0;
  window.fetch = async (...given) => {
    const response = await plain(...given);
    if (!(given[0].url || String(given[0])).includes("/queue/data")) return response;
    window.streams += 1;
    const late = new TransformStream({ async transform(piece, out) {
      if (new TextDecoder().decode(piece).includes("close_stream")) {
        window.closes += 1;
        await new Promise((done) => setTimeout(done, 1500));
      }
      out.enqueue(piece);
    } });
    return new Response(response.body.pipeThrough(late), response);
  };
"""
"""A slow network, as far as it matters: the word that the stream ends arrives when the next question was sent."""


@pytest.fixture
def slow(page: Page, faulty: FaultyApp, red_circle: Path) -> Page:
    faulty.behave(answer="Red.")
    page.add_init_script(LATE_CLOSE)
    page.goto(faulty.url)
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)
    upload(page, red_circle)
    return page


def test_a_question_sent_while_the_stream_of_events_closes_is_answered(slow: Page) -> None:
    for text in ("What colour is it?", "And its shape?", "And its size?"):
        ask(slow, text)
    expect(answers(slow)).to_have_count(3)
    assert slow.evaluate("window.closes") >= 2, "the streams did not close in between, so nothing was tried"


def test_enter_pressed_twice_asks_once_and_what_is_sent_too_early_goes_on_standing_there(
    page: Page, faulty: FaultyApp, red_circle: Path
) -> None:
    faulty.behave(answer="one two three four five six", seconds_per_token=0.5)
    page.goto(faulty.url)
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)
    upload(page, red_circle)
    composer = page.locator("#vqa-composer textarea")
    composer.fill("Count.")
    composer.evaluate("""(area) => {
      for (let press = 0; press < 3; press += 1) {
        area.dispatchEvent(new KeyboardEvent("keypress", { key: "Enter", bubbles: true }));
        area.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
      }
    }""")
    expect(page.locator("#vqa-chat .message.bot")).to_contain_text("two", timeout=SECONDS)
    composer.fill("And on?")
    composer.press("Enter")
    expect(answers(page)).to_have_count(1, timeout=SECONDS)
    expect(page.locator("#vqa-chat .message.bot").first).to_contain_text("five six")
    expect(page.locator("#vqa-chat .message.user", has_text="Count.")).to_have_count(1)
    expect(composer).to_have_value("And on?")
    composer.press("Enter")
    expect(answers(page)).to_have_count(2, timeout=SECONDS)


def test_the_stream_of_events_is_closed_when_nothing_is_under_way(slow: Page) -> None:
    ask(slow, "What colour is it?")
    slow.wait_for_timeout(4000)
    opened = slow.evaluate("window.streams")
    slow.wait_for_timeout(3000)
    assert slow.evaluate("window.streams") == opened, "streams are opened although nothing is under way"
    ask(slow, "And its shape?")
    assert slow.evaluate("window.streams") == opened + 1
