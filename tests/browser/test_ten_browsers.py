"""Ten browsers at once on the real engine: everybody gets the answer to their own picture, and none is lost."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from vqa.ui.examples import FOLDER

pytestmark = [pytest.mark.browser, pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(1500)]
SECONDS = 240_000
"""No bound of the product: ten browsers and an engine share what cores there are, and each waits for the others."""
BROWSERS, REPEATERS = 10, 2
REPEATS = 30
"""So many that the first run is still under way when the second is refused."""
"""The second one to repeat is told that a run is under way, since two would disturb each other, and starts later."""
ROWS = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))


def opened(browser: Browser, url: str, number: int) -> Page:
    """A browser of its own; the first two will repeat, the others ask."""
    context = browser.new_context(viewport={"width": 1000, "height": 700}, locale="en-US")
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    page.goto(f"{url}/?tab={'repeat' if number < REPEATERS else 'ask'}")
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)
    return page


def prepare(page: Page, number: int) -> None:
    """Puts browser `number`'s own picture and question in."""
    picture = FOLDER / Path(ROWS[number]["file"])
    if number < REPEATERS:
        page.locator("#tab-repeat .vqa-gallery input[type=file]").set_input_files(picture)
        expect(page.locator("#tab-repeat .vqa-gallery img").first).to_be_visible(timeout=SECONDS)
        page.locator("#tab-repeat textarea").first.fill(ROWS[number]["question_en"])
        page.locator("#tab-repeat input[type=number]").first.fill(str(REPEATS))
    else:
        page.locator("#vqa-composer input[type=file]").first.set_input_files(picture)
        expect(page.locator("#vqa-composer .thumbnail-wrapper")).to_have_count(1, timeout=SECONDS)
        page.locator("#vqa-composer textarea").fill(ROWS[number]["question_en"])


def repeated(page: Page, number: int) -> None:
    """Waits for the run of browser `number`, and looks whether it is theirs and whole."""
    done = page.locator("#repeat-progress .vl-ended")
    expect(done).to_contain_text(f"{REPEATS} of {REPEATS}", timeout=SECONDS)
    expect(page.locator("#repeat-asked")).to_contain_text(ROWS[number]["question_en"])
    answers = page.locator("#repeat-groups .vl-answer").all_inner_texts()
    assert answers and all(right(number) in answer for answer in answers), (number, answers)


def right(number: int) -> str:
    """What an answer to question `number` must say.

    Beside others' requests a long description may come out with another word; it still is of this picture.
    """
    return str(ROWS[number]["answer_en"]).rstrip(".").split()[-1]


def test_ten_browsers_at_once_get_their_own_right_answers(browser: Browser, app_url: str) -> None:
    pages = [opened(browser, app_url, number) for number in range(BROWSERS)]
    for number, page in enumerate(pages):
        prepare(page, number)
    first, second = pages[:REPEATERS]
    first.locator("#repeat-start").click()
    expect(first.locator("#repeat-stop")).to_be_enabled(timeout=SECONDS)
    second.locator("#repeat-start").click()  # what it is told stands there for ten seconds
    expect(second.get_by_text("two runs at once would disturb each other")).to_be_visible(timeout=SECONDS)
    for page in pages[REPEATERS:]:
        page.locator("#vqa-composer .submit-button").click()
    for number, page in enumerate(pages[REPEATERS:], REPEATERS):
        expect(page.locator("#vqa-chat .vqa-line")).to_have_count(1, timeout=SECONDS)
        expect(page.locator("#vqa-chat .message.user").last).to_contain_text(ROWS[number]["question_en"])
        expect(page.locator("#vqa-chat .message.bot").first).to_contain_text(right(number), ignore_case=True)
    repeated(first, 0)
    second.locator("#repeat-start").click()
    repeated(second, 1)
    named = [re.search(r"(?:chat|run)=([0-9a-f]{12})", page.url) for page in pages]
    assert len({found.group(1) for found in named if found}) == BROWSERS
    for page in pages:
        page.context.close()
