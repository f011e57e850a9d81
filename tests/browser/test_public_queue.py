"""A public demo in several browsers at once: whoever has to wait is told how many are before them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.lab_app import SECONDS
from tests.conftest import RunningApp, stop_app
from tests.fakes.behaviour import Behaviour
from tests.fakes.openai_server import FakeServer
from tests.security.conftest import start

pytestmark = pytest.mark.browser
AHEAD = {"en": re.compile("1 ahead of you"), "zh": re.compile("前面还有 2 位")}
NEXT = re.compile("You are next")


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer() as slow:
        yield slow


@pytest.fixture(scope="module")
def narrow(server: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """A public demo that answers one visitor at a time."""
    started = start(tmp_path_factory.mktemp("queue") / "app", server.base_url, public="true", public_at_once=1)
    try:
        yield started.wait()
    finally:
        stop_app(started.process)


def guests(browser: Browser, url: str) -> list[Page]:
    """Four visitors; the last one reads Chinese."""
    pages = []
    for number in range(4):
        chinese = number == 3
        context = browser.new_context(
            viewport={"width": 390 if chinese else 1280, "height": 844},
            locale="zh-CN" if chinese else "en-US",
            extra_http_headers={"X-Forwarded-For": f"10.0.8.{number + 1}"},
        )
        page = context.new_page()
        page.goto(f"{url}/zh" if chinese else url)
        expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)
        pages.append(page)
    return pages


def test_visitors_who_wait_are_told_their_place_in_both_languages(
    browser: Browser, narrow: RunningApp, server: FakeServer
) -> None:
    server.behaviour = Behaviour(held_after=1)  # until all four have looked where they are in the queue
    pages = guests(browser, narrow.url)
    for page in pages:
        page.locator("#vqa-gallery button.thumbnail-item").first.click()
        expect(page.locator("#vqa-tray img")).to_have_count(1, timeout=SECONDS)  # before that, Send waits for it
    for page in pages:
        page.locator("#vqa-composer .submit-button").click()
        page.wait_for_timeout(400)
    told = [page.locator("#vqa-composer .progress-text") for page in pages]
    expect(told[1]).to_have_text(NEXT, timeout=SECONDS)
    expect(told[2]).to_have_text(AHEAD["en"])
    expect(told[3]).to_have_text(AHEAD["zh"])
    expect(told[3]).to_be_in_viewport()
    server.behaviour = Behaviour()
    for page in pages:
        expect(page.locator("#vqa-chat .vqa-line")).to_have_count(1, timeout=SECONDS)
        expect(page.locator("#vqa-composer .progress-text")).to_have_count(0)
        page.context.close()


def test_visitors_whose_runs_wait_are_told_their_place(
    browser: Browser, narrow: RunningApp, server: FakeServer
) -> None:
    server.behaviour = Behaviour(seconds_per_token=0.5)
    pages = guests(browser, narrow.url)
    for page in pages:
        page.locator("#tab-repeat-button").click()
        page.locator("#repeat-example").click()
        expect(page.locator("#tab-repeat .vqa-gallery img").first).to_be_visible(timeout=SECONDS)
        page.locator("#tab-repeat input[type=number]").first.fill("4")
    for page in pages:
        page.locator("#repeat-start").click()
        page.wait_for_timeout(400)
    # The first one runs, the second one's turn is next to come, the others wait behind it.
    told = [page.locator("#tab-repeat .progress-text") for page in pages]
    expect(told[2]).to_have_text(NEXT, timeout=SECONDS)
    expect(told[3]).to_have_text(re.compile("前面还有 1 位"))
    server.behaviour = Behaviour()
    for page in pages:
        expect(page.locator("#repeat-progress .vl-ended")).to_be_visible(timeout=SECONDS)
        page.context.close()
