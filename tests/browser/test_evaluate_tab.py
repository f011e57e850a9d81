"""The Evaluate tab in a real browser: looked at, asked, stopped, gone on with, gone through, opened elsewhere."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab_app import SECONDS, FaultyApp, faulty, open_tab
from tests.fakes.openai_server import FakeServer

__all__ = ["faulty"]
pytestmark = pytest.mark.browser
ROWS = 48
"""Of the scenes that come with the app."""


def rows(page: Page) -> Locator:
    return page.locator("#evaluate-rows .ve-row")


def ended(page: Page) -> None:
    expect(page.locator("#evaluate-progress .vl-ended")).to_be_visible(timeout=2 * SECONDS)


def try_it(page: Page) -> None:
    """Takes the example, whose first rows are shown at once."""
    page.locator("#evaluate-example").click()
    expect(page.locator("#evaluate-preview .ve-row img")).to_have_count(10, timeout=SECONDS)
    expect(page.locator("#evaluate-preview .ve-row img").first).to_be_visible()


def asked(server: FakeServer) -> Counter[str]:
    """How often each row was asked."""
    return Counter(str(body["messages"][-1]["content"]) for body in server.bodies)


def test_a_data_set_is_seen_asked_gone_through_and_opened_elsewhere(page: Page, faulty: FaultyApp) -> None:
    faulty.behave(answer="red")
    page.set_viewport_size({"width": 1280, "height": 800})
    open_tab(page, faulty.url, "evaluate")
    try_it(page)
    expect(page.locator("#evaluate-start")).to_be_in_viewport(ratio=1)
    expect(page.locator("#evaluate-preview")).to_contain_text("expected:")
    page.locator("#evaluate-start").click()
    ended(page)
    expect(page.locator("#evaluate-result .ve-big")).to_have_text(re.compile(r"\d+(\.\d+)? ?%"))
    expect(page.locator("#evaluate-result .ve-big")).to_be_visible()
    assert page.locator("#evaluate-result .ve-track").count() > 1, "a bar for each type of question"
    expect(rows(page)).to_have_count(20, timeout=SECONDS)
    expect(rows(page).first.locator("img")).to_be_visible()
    page.locator("#evaluate-later").click()
    expect(page.locator("#evaluate-rows")).to_contain_text("#21", timeout=SECONDS)
    page.locator("#evaluate-filter").get_by_label("wrong", exact=True).check()
    expect(page.locator("#evaluate-rows")).not_to_contain_text("#21 ", timeout=SECONDS)
    wrong = rows(page).first
    question = wrong.locator("p").nth(1).inner_text()
    wrong.get_by_role("button", name="Ask on about this row").click()
    expect(page.locator("#vqa-chat")).to_contain_text("red", timeout=SECONDS)
    expect(page.locator("#vqa-chat")).to_contain_text(question.splitlines()[0])
    expect(page.locator("#vqa-chat img").first).to_be_visible(timeout=SECONDS)
    page.locator("#vqa-composer textarea").fill("And what else?")
    page.keyboard.press("Enter")
    expect(page.locator("#vqa-chat .vqa-line")).to_have_count(2, timeout=SECONDS)
    sent = faulty.server.bodies[-1]["messages"]
    assert [each["role"] for each in sent if each["role"] != "system"] == ["user", "assistant", "user"]
    page.go_back()
    expect(page.locator("#tab-evaluate")).to_be_visible(timeout=SECONDS)
    open_tab(page, faulty.url, "evaluate")


def test_a_row_is_repeated(page: Page, faulty: FaultyApp) -> None:
    faulty.behave(answer="red")
    open_tab(page, faulty.url, "evaluate")
    try_it(page)
    page.locator("#evaluate-start").click()
    ended(page)
    rows(page).nth(2).get_by_role("button", name="Repeat this row").click()
    expect(page.locator("#repeat-progress")).to_contain_text("20 of 20", timeout=2 * SECONDS)
    expect(page.locator("#tab-repeat .vqa-gallery img").first).to_be_visible(timeout=SECONDS)


def test_a_run_that_was_stopped_goes_on_where_it_was(page: Page, faulty: FaultyApp) -> None:
    faulty.behave(answer="red", prefill_seconds=4.0)
    open_tab(page, faulty.url, "evaluate")
    try_it(page)
    faulty.server.bodies.clear()
    page.locator("#evaluate-start").click()
    expect(page.locator("#evaluate-progress")).to_contain_text(
        re.compile(r"(^|\D)([1-9]|[123]\d|4[0-7]) of 48"), timeout=SECONDS
    )
    expect(page.locator("#evaluate-progress .ve")).to_be_visible()
    page.locator("#evaluate-stop").click()
    ended(page)
    stopped = page.locator("#evaluate-progress").inner_text()
    assert (found := re.search(r"(\d+) of 48", stopped)) and 0 < int(found.group(1)) < ROWS, stopped
    before = asked(faulty.server)
    faulty.behave(answer="red")
    expect(page.locator("#evaluate-resume")).to_be_enabled(timeout=SECONDS)
    page.locator("#evaluate-resume").click()
    expect(page.locator("#evaluate-progress")).to_contain_text(f"{ROWS} of {ROWS}", timeout=2 * SECONDS)
    ended(page)
    after = asked(faulty.server)
    assert len(after) == ROWS
    assert sum((after - before).values()) == ROWS - int(found.group(1)), "what was answered is not asked again"
    expect(page.locator("#evaluate-result .ve-big")).to_be_visible(timeout=SECONDS)


def test_a_phone_shows_it_and_a_reload_brings_the_run_back(page: Page, faulty: FaultyApp) -> None:
    faulty.behave(answer="red", prefill_seconds=0.4)
    page.set_viewport_size({"width": 390, "height": 800})
    open_tab(page, faulty.url, "evaluate")
    try_it(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#evaluate-start").click()
    expect(page.locator("#evaluate-progress")).to_contain_text("of 48", timeout=SECONDS)
    expect(page).to_have_url(re.compile(r"run=[0-9a-f]{12}"), timeout=SECONDS)
    page.reload()
    expect(page.locator("#evaluate-progress")).to_contain_text("of 48", timeout=SECONDS)
    expect(page.locator("#evaluate-progress")).to_be_visible()
    ended(page)
    expect(rows(page)).to_have_count(20, timeout=SECONDS)
    expect(rows(page).first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
