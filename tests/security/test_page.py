"""HTML and script in questions, answers and file names are text in Chromium; the page asks nobody else for anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import RunningApp
from tests.security.conftest import HOSTILE, PASSWORD, USER

HOSTILE_NAME = "<img src=x onerror=window.pwned=3>.png"
SECONDS = 120_000
expect.set_options(timeout=SECONDS)


class Watched:
    """A page whose dialogs, requests and console are noted."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.dialogs: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(SECONDS)
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: self.requests.append(request.url))

    def check(self) -> None:
        """Fails when anything of the payload ran, or anything was asked of another origin."""
        assert self.dialogs == []
        assert self.page.evaluate("window.pwned") is None
        own = (f"{self.url}/", "data:", "blob:")
        assert [address for address in self.requests if not address.startswith(own)] == []
        live = "script, img[src='x'], form, .pwned"
        places = ("#vqa-chat", ".vl", "#vqa-talks")
        assert sum(self.page.locator(place).locator(live).count() for place in places) == 0


@pytest.fixture
def watched(browser: Browser, private: RunningApp) -> Iterator[Watched]:
    """The private app, whose server answers with hostile HTML, behind its login."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
    context.request.post(f"{private.url}/login", form={"username": USER, "password": PASSWORD})
    found = Watched(context.new_page(), private.url)
    yield found
    context.close()


def picture(folder: Path, red_circle: Path) -> Path:
    """A picture with a hostile name."""
    path = folder / HOSTILE_NAME
    path.write_bytes(red_circle.read_bytes())
    return path


def test_hostile_words_are_shown_as_words(watched: Watched, tmp_path: Path, red_circle: Path) -> None:
    page = watched.page
    page.goto(watched.url)
    box = page.locator("#vqa-composer textarea")
    expect(box).to_be_visible()
    page.locator("#vqa-composer input[type=file]").set_input_files(picture(tmp_path, red_circle))
    expect(page.locator("#vqa-tray img").first).to_be_visible()
    box.fill(HOSTILE)
    box.press("Enter")
    expect(page.locator("#vqa-chat").get_by_text("window.pwned=1").nth(1)).to_be_visible()
    expect(page.locator("#vqa-received figure")).to_be_visible()
    watched.check()


def test_a_hostile_run_and_its_report_run_nothing(watched: Watched, tmp_path: Path, red_circle: Path) -> None:
    page = watched.page
    page.goto(f"{watched.url}/?tab=repeat")
    tab = page.locator("#tab-repeat")
    expect(page.locator("#repeat-start")).to_be_visible()
    tab.locator("input[type=file]").first.set_input_files(picture(tmp_path, red_circle))
    expect(tab.locator(".vqa-gallery img").first).to_be_visible()
    tab.locator("textarea").first.fill(HOSTILE)
    tab.locator("input[type=number]").first.fill("3")
    page.locator("#repeat-start").click()
    expect(page.locator("#repeat-exports")).to_be_visible()
    expect(page.locator("#repeat-groups")).to_contain_text("window.pwned=1")
    watched.check()
    with page.expect_download() as download:
        page.locator("#repeat-export-html").click()
    report = tmp_path / "report.html"
    download.value.save_as(report)
    assert not re.search(r"<script>window\.pwned|<img src=x", report.read_text(encoding="utf-8"))
    shown = Watched(page.context.new_page(), "file://")
    shown.page.goto(report.as_uri())
    expect(shown.page.get_by_text("window.pwned=1").first).to_be_attached()
    shown.check()


def test_hostile_words_in_the_address_run_nothing(watched: Watched) -> None:
    for query in (
        "tab=<script>alert(1)</script>",
        "run=%22%3E%3Cimg src=x onerror=alert(1)%3E&tab=repeat",
        "chat='\"><svg onload=alert(1)>",
    ):
        watched.page.goto(f"{watched.url}/?{query}")
        expect(watched.page.locator("#vqa-composer textarea, #repeat-start").first).to_be_attached()
        watched.check()
