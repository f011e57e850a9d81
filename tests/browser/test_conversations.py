"""Stored conversations on the Ask tab in a real browser: one is named and saved as Markdown and as JSON."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import time
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab_app import SECONDS, FaultyApp
from tests.browser.test_ask import answers, ask, upload

pytestmark = pytest.mark.browser


@pytest.fixture
def talk(page: Page, faulty: FaultyApp, red_circle: Path) -> Page:
    """A page with one answered question."""
    faulty.behave(answer="Red, **round**.")
    page.goto(faulty.url)
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)
    upload(page, red_circle)
    ask(page, "What colour is it?")
    page.wait_for_url(re.compile("chat="))
    return page


def shown_row(page: Page) -> Locator:
    """The open conversation in the list."""
    return page.locator("#vqa-talks li:has([aria-current])")


def press(row: Locator, act: str) -> None:
    row.hover()
    row.locator(f"[data-act={act}]").click()


def saved(page: Page, button: str, path: Path) -> str:
    with page.expect_download(timeout=SECONDS) as caught:
        page.locator("#vqa-conversations").get_by_text(button).click()
    caught.value.save_as(path)
    return path.read_text(encoding="utf-8")


def test_a_conversation_is_named_and_found_by_its_name_after_a_reload(talk: Page) -> None:
    press(shown_row(talk), "rename")
    talk.locator("#vqa-talks input").fill("Talk of <b>roundabouts</b>")
    talk.keyboard.press("Enter")
    expect(talk.locator("#vqa-chat-title")).to_have_text("Talk of <b>roundabouts</b>", timeout=SECONDS)
    talk.reload()
    expect(talk.locator("#vqa-chat-title")).to_have_text("Talk of <b>roundabouts</b>", timeout=SECONDS)
    talk.get_by_label("Search").fill("roundabouts")
    # A list: one text would fail at once where there still are several conversations, instead of waiting.
    expect(talk.locator("#vqa-talks li")).to_have_text([re.compile("Talk of <b>roundabouts</b>")], timeout=SECONDS)
    # As while the page still comes: what is typed stands in the box, and nobody hears of it.
    talk.get_by_label("Search").evaluate("""(box) => {
      box.addEventListener("input", (event) => event.stopImmediatePropagation(), { capture: true, once: true });
      box.value = "nobody said this";
      box.dispatchEvent(new Event("input", { bubbles: true }));
    }""")
    expect(talk.locator("#vqa-talks li")).to_have_count(0, timeout=SECONDS)


def test_a_deleted_conversation_comes_back_with_its_pictures(talk: Page) -> None:
    press(shown_row(talk), "rename")
    talk.locator("#vqa-talks input").fill("A talk to lose")
    talk.keyboard.press("Enter")
    row = talk.locator("#vqa-talks li", has_text="A talk to lose")
    expect(row).to_have_count(1, timeout=SECONDS)
    press(row, "delete")
    expect(talk.locator("#vqa-chat .message")).to_have_count(0, timeout=SECONDS)
    expect(row).to_have_count(0)
    talk.get_by_role("button", name="Undo").click()
    expect(row).to_have_count(1, timeout=SECONDS)
    expect(talk.locator("#vqa-chat .message.user").last).to_contain_text("What colour is it?", timeout=SECONDS)
    expect(talk.locator("#vqa-received figure")).to_have_count(1)


def test_on_a_phone_the_conversations_are_a_drawer_that_closes_behind_the_one_that_is_opened(talk: Page) -> None:
    talk.set_viewport_size({"width": 390, "height": 844})
    drawer = talk.locator("#vqa-conversations")
    expect(drawer).to_be_hidden()
    talk.get_by_role("button", name="Conversations").click()
    expect(drawer).to_be_visible()
    talk.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    talk.get_by_role("button", name="Conversations").click()
    talk.locator("#vqa-talks .open").last.click()
    expect(drawer).to_be_hidden()
    expect(answers(talk)).not_to_have_count(0, timeout=SECONDS)


def test_a_conversation_is_saved_as_markdown_and_as_json(talk: Page, tmp_path: Path) -> None:
    text = saved(talk, "Markdown", tmp_path / "talk.md")
    assert "What colour is it?" in text
    assert "Red, **round**." in text
    assert "red-circle.png" in text
    stored = json.loads(saved(talk, "JSON", tmp_path / "talk.json"))
    assert [message["role"] for message in stored["messages"]] == ["user", "assistant"]
    assert stored["messages"][1]["answer"]["text"] == "Red, **round**."


def begun(page: Page, faulty: FaultyApp, picture: Path) -> None:
    """Asks a question whose answer takes about ten seconds, and waits for its first words."""
    faulty.behave(seconds_per_token=0.5, answer="one two three four five six seven eight nine ten " * 2)
    page.goto(faulty.url)
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)
    upload(page, picture)
    page.locator("#vqa-composer textarea").fill("Count.")
    page.locator("#vqa-composer textarea").press("Enter")
    expect(page.locator("#vqa-chat .message.bot")).to_contain_text("two", timeout=SECONDS)


def last_answer(data_dir: Path) -> dict[str, object]:
    """The newest message of all conversations, once it is an answer."""
    for _ in range(100):
        with contextlib.closing(sqlite3.connect(data_dir / "vqa.db")) as store:
            (row,) = store.execute("select message from chat_messages order by id desc limit 1").fetchone()
        message: dict[str, object] = json.loads(row)
        if message["role"] == "assistant":
            return message
        time.sleep(0.2)
    raise AssertionError(f"no answer was stored, but {message}")


def test_a_new_conversation_ends_the_answer_on_its_way_and_keeps_what_had_come(
    page: Page, faulty: FaultyApp, red_circle: Path
) -> None:
    begun(page, faulty, red_circle)
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator("#vqa-chat .message.user")).to_have_count(0, timeout=SECONDS)
    expect(page.locator("#vqa-composer .submit-button")).to_be_visible(timeout=SECONDS)
    message = last_answer(faulty.data_dir)
    assert (str(message["text"])[:7], message["stopped"]) == ("one two", True)
    expect(page.locator("#vqa-chat .message")).to_have_count(0)
    faulty.behave(answer="Fresh.")
    with page.expect_file_chooser() as chooser:
        page.locator("#vqa-composer [data-testid=upload-button]").click()
    chooser.value.set_files(red_circle)  # the same file once more
    expect(page.locator("#vqa-tray img")).to_be_visible(timeout=SECONDS)
    ask(page, "And now?")
    expect(answers(page)).to_have_count(1)
    expect(page.locator("#vqa-chat .message.bot").first).to_contain_text("Fresh.")


def test_an_answer_is_stored_as_far_as_it_came_when_the_page_is_closed(
    page: Page, faulty: FaultyApp, red_circle: Path
) -> None:
    begun(page, faulty, red_circle)
    page.close()
    message = last_answer(faulty.data_dir)
    assert (str(message["text"])[:7], message["stopped"]) == ("one two", True)


def test_the_code_is_that_of_the_conversation_which_is_shown(talk: Page) -> None:
    address, code = talk.url, talk.locator("#vqa-code")
    code.locator("> button").click()
    expect(code).to_contain_text("What colour is it?", timeout=SECONDS)
    talk.get_by_role("button", name="New conversation").click()
    expect(code).not_to_contain_text("What colour is it?", timeout=SECONDS)
    talk.goto(address)
    expect(answers(talk)).to_have_count(1, timeout=SECONDS)
    code.locator("> button").click()
    expect(code).to_contain_text("What colour is it?", timeout=SECONDS)


def test_an_answer_that_cannot_be_stored_is_shown_and_the_conversation_goes_on(
    talk: Page, faulty: FaultyApp, red_circle: Path
) -> None:
    with contextlib.closing(sqlite3.connect(faulty.data_dir / "vqa.db", timeout=20)) as store:
        store.execute("alter table chat_messages rename to gone")
        try:
            ask(talk, "And its shape?")
            expect(talk.get_by_text("This conversation can no longer be stored")).to_have_count(1, timeout=SECONDS)
            ask(talk, "And its size?")
            expect(answers(talk)).to_have_count(3)
            expect(talk.locator("#vqa-composer .submit-button")).to_be_visible()
        finally:
            store.execute("alter table gone rename to chat_messages")
