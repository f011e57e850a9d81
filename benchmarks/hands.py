"""How soon the page follows the hand: Send to one's own message, and an example to the composer; in Chromium."""

from __future__ import annotations

import os
import shutil
from statistics import median

from playwright.sync_api import Page, sync_playwright

from benchmarks import Row
from benchmarks.page_load import BROWSERS, FLAGS, LIMIT, served

TURNS = 7
OWN_BOUND, EXAMPLE_BOUND = 100.0, 150.0  # milliseconds
WATCH = """([press, ...wanted]) => new Promise((done) => {
  const began = performance.now(), found = wanted.map(() => null);
  const look = () => {
    wanted.forEach((each, place) => {
      const seen = document.querySelector(each);
      if (found[place] === null && seen && seen.value !== "") found[place] = performance.now() - began;
    });
    if (found.every((each) => each !== null)) done(found); else requestAnimationFrame(look);
  };
  document.querySelector(press).click();
  look();
})"""
"""Presses something, and returns after how many milliseconds each thing was there, in its frames."""
EXAMPLE, FILLED = "#vqa-gallery button.thumbnail-item", "#vqa-dock .vqa-tray img"
OWN, SERVERS = "#vqa-chat .vqa-pending", "#vqa-chat .message-row.user-row"
SEND, BOX = "#vqa-composer .submit-button", "#vqa-composer textarea"


def run(base_url: str) -> list[Row]:
    """Returns the medians in milliseconds; the message that the browser draws beside the server's of the same one."""
    own: list[float] = []
    servers: list[float] = []
    example: list[float] = []
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    with served(["app.py"], base_url) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-US")
        page.set_default_timeout(LIMIT * 1000)
        page.goto(address)
        page.locator(".vqa-strip.good").wait_for()
        for turn in range(TURNS + 1):
            times = _one_turn(page)
            if turn:  # the first warms the server up
                for values, seconds in zip((example, own, servers), times, strict=True):
                    values.append(seconds)
        browser.close()
    mine, theirs, filled = median(own), median(servers), median(example)
    return [
        Row("Send to one's own message, beside the server's drawing of it", mine, theirs, "ms",
            f"at most {OWN_BOUND:g} ms", mine <= OWN_BOUND, f"{mine:.0f} ms"),
        Row("an example to the composer, beside the server's drawing of a message", filled, theirs, "ms",
            f"at most {EXAMPLE_BOUND:g} ms", filled <= EXAMPLE_BOUND, f"{filled:.0f} ms"),
    ]  # fmt: skip


def _one_turn(page: Page) -> tuple[float, float, float]:
    page.locator("#vqa-new").click()
    page.locator(SERVERS).first.wait_for(state="detached")
    page.locator(EXAMPLE).first.wait_for()
    filled = max(page.evaluate(WATCH, [EXAMPLE, BOX, FILLED]))
    page.locator("#vqa-tray li img").first.wait_for()  # the server's own drawing of it
    own, servers = page.evaluate(WATCH, [SEND, OWN, SERVERS])
    page.locator("#vqa-chat .vqa-line").first.wait_for()
    page.locator(SEND).wait_for()
    return filled, own, servers
