"""Whoever asks while Gradio closes its stream of events is answered: no event waits for one that comes after it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

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
    faulty.behave(answer="one two three four five six", held_after=2)
    page.goto(faulty.url)
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)
    upload(page, red_circle)
    faulty.server.bodies.clear()
    composer = page.locator("#vqa-composer textarea")
    composer.fill("Count.")
    composer.evaluate("""(area) => {
      for (let press = 0; press < 3; press += 1) {
        area.dispatchEvent(new KeyboardEvent("keypress", { key: "Enter", bubbles: true }));
        area.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
      }
    }""")
    expect(page.locator("#vqa-chat .message.bot")).to_contain_text("one", timeout=SECONDS)
    composer.fill("And on?")
    composer.press("Enter")
    expect(page.locator("#vqa-too-early")).to_contain_text("An answer is still coming", timeout=SECONDS)
    expect(composer).to_have_value("And on?")
    faulty.behave(answer="one two three four five six")
    expect(answers(page)).to_have_count(1, timeout=SECONDS)
    expect(page.locator("#vqa-chat .message.bot").first).to_contain_text("five six")
    expect(page.locator("#vqa-chat .message.user", has_text="Count.")).to_have_count(1)
    expect(page.locator("#vqa-too-early")).to_be_hidden()
    expect(composer).to_have_value("And on?")
    composer.press("Enter")
    expect(answers(page)).to_have_count(2, timeout=SECONDS)
    expect(page.locator("#vqa-chat .message.user", has_text="And on?")).to_have_count(1)
    assert asked(faulty) == ["Count.", "And on?"]


def asked(app: FaultyApp) -> list[str]:
    """The questions that the model was asked since it forgot the earlier ones."""
    parts = [body["messages"][-1]["content"] for body in app.server.bodies]
    return [
        content if isinstance(content, str) else next(part["text"] for part in content if part["type"] == "text")
        for content in parts
    ]


def sent_over_a_slow_network(page: Page, text: str) -> list[Route]:
    """Sends a question whose event is on its way until the returned request is let go or cut."""
    held: list[Route] = []
    page.route("**/queue/join*", lambda route: route.continue_() if held else held.append(route))
    box = page.locator("#vqa-composer textarea")
    box.fill(text)
    box.press("Enter")
    while not held:
        page.wait_for_timeout(20)
    return held


def test_what_is_sent_is_drawn_before_the_server_knows_and_what_is_written_next_stays(slow: Page) -> None:
    (held,) = sent_over_a_slow_network(slow, "What colour is it?")
    expect(slow.locator("#vqa-chat .vqa-pending")).to_contain_text("What colour is it?")
    expect(slow.locator("#vqa-chat .vqa-pending img")).to_be_visible()
    composer = slow.locator("#vqa-composer textarea")
    expect(composer).to_have_value("")
    composer.fill("And then?")
    composer.press("Enter")
    expect(slow.locator("#vqa-too-early")).to_be_visible()
    held.continue_()
    expect(answers(slow)).to_have_count(1, timeout=SECONDS)
    expect(slow.locator("#vqa-chat .vqa-pending")).to_have_count(0)
    expect(slow.locator("#vqa-chat .message.user", has_text="What colour is it?")).to_have_count(1)
    expect(composer).to_have_value("And then?")


PRESS = """(area) => {
  area.dispatchEvent(new KeyboardEvent("keypress", { key: "Enter", bubbles: true }));
  area.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  return document.querySelector("#vqa-chat .vqa-pending")?.textContent;
}"""
PRESS_WHEN_TAKEN = f"""(area) => {{
  const seen = new MutationObserver(() => {{
    if (!document.querySelector("#vqa-taken [data-ticket]")?.dataset.ticket) return;
    seen.disconnect();
    window.taken = true;
    ({PRESS})(area);
  }});
  seen.observe(document.body, {{ childList: true, subtree: true, attributes: true }});
}}"""
"""In the moment in which the server has the question and nothing shows yet that an answer comes."""


def test_a_second_question_sent_while_the_first_is_held_back_is_neither_lost_nor_asked_twice(
    slow: Page, faulty: FaultyApp
) -> None:
    faulty.server.bodies.clear()
    (held,) = sent_over_a_slow_network(slow, "What colour is it?")
    composer, pending = slow.locator("#vqa-composer textarea"), slow.locator("#vqa-chat .vqa-pending")
    composer.fill("And its shape?")
    for _ in range(5):
        composer.press("Enter")
        slow.wait_for_timeout(1000)
        expect(pending).to_have_text("What colour is it?")
        expect(slow.locator("#vqa-too-early")).to_contain_text("Your text stays here")
    composer.evaluate(PRESS_WHEN_TAKEN)
    held.continue_()
    expect(answers(slow)).to_have_count(1, timeout=SECONDS)
    assert slow.evaluate("window.taken")
    expect(composer).to_have_value("And its shape?")
    expect(pending).to_have_count(0)
    slow.wait_for_function("!document.querySelector('#vqa-too-early').offsetParent")  # it could be sent now
    assert composer.evaluate(PRESS) == "And its shape?", "not drawn with the press itself"
    expect(answers(slow)).to_have_count(2, timeout=SECONDS)
    assert asked(faulty) == ["What colour is it?", "And its shape?"]


def test_a_question_sent_into_a_broken_connection_is_asked_once_it_is_back(
    browser: Browser, faulty: FaultyApp, red_circle: Path
) -> None:
    faulty.behave(answer="Red.")
    context = browser.new_context(locale="en-US")  # not the shared page: a broken connection is told on its console
    page = context.new_page()
    page.goto(faulty.url)
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)
    upload(page, red_circle)
    faulty.server.bodies.clear()
    (held,) = sent_over_a_slow_network(page, "What colour is it?")
    held.abort("connectionreset")
    expect(answers(page)).to_have_count(1, timeout=SECONDS)
    expect(page.locator("#vqa-chat .message.user", has_text="What colour is it?")).to_have_count(1)
    expect(page.locator("#vqa-chat .message.user img")).to_have_count(1)
    expect(page.locator("#vqa-composer textarea")).to_have_value("")
    assert asked(faulty) == ["What colour is it?"]
    context.close()


def test_what_the_server_does_not_take_stands_in_the_box_again(page: Page, faulty: FaultyApp) -> None:
    faulty.behave()
    page.goto(faulty.url)
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)
    page.locator("#vqa-composer textarea").fill("No picture at all?")
    page.locator("#vqa-composer textarea").press("Enter")
    expect(page.locator(".toast-body").get_by_text("no picture to ask about").first).to_be_visible(timeout=SECONDS)
    expect(page.locator("#vqa-composer textarea")).to_have_value("No picture at all?", timeout=SECONDS)
    expect(page.locator("#vqa-chat .vqa-pending")).to_have_count(0)


def test_the_stream_of_events_is_closed_when_nothing_is_under_way(slow: Page) -> None:
    ask(slow, "What colour is it?")
    slow.wait_for_timeout(4000)
    opened = slow.evaluate("window.streams")
    slow.wait_for_timeout(3000)
    assert slow.evaluate("window.streams") == opened, "streams are opened although nothing is under way"
    ask(slow, "And its shape?")
    assert slow.evaluate("window.streams") == opened + 1
