"""Working without a mouse, and without looking: shortcuts, their list, and word of a run's end in another window."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab_app import SECONDS, FaultyApp, fill, open_tab

pytestmark = pytest.mark.browser
AWAY = """window.away = true; window.told = [];
Object.defineProperty(document, 'hidden', {get: () => window.away});
window.Notification = class { static permission = 'granted'; constructor(title, more) { window.told.push(more.body); }
  close() {} };"""
"""Another window is in front, and this page may tell of itself; what it tells is kept in `told`."""


def test_keys_open_the_tabs_the_composer_and_their_own_list(page: Page, faulty: FaultyApp) -> None:
    open_tab(page, faulty.url, "ask")
    page.locator("h1").click()
    page.keyboard.press("?")
    listed = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(listed).to_be_visible()
    expect(listed.locator("kbd")).to_have_count(8)
    expect(listed).to_contain_text("1–6")
    page.keyboard.press("2")
    expect(page.locator("#tab-ask")).to_be_visible()
    page.keyboard.press("Escape")
    expect(listed).to_have_count(0)
    page.keyboard.press("2")
    expect(page.locator("#tab-repeat")).to_be_visible()
    page.keyboard.press("/")
    composer = page.locator("#vqa-composer textarea")
    expect(composer).to_be_focused()
    page.keyboard.type("Is 2 more than 1? n")
    expect(composer).to_have_value("Is 2 more than 1? n")
    expect(page.locator("#tab-ask")).to_be_visible()
    expect(listed).to_have_count(0)


def test_a_run_that_ends_while_another_window_is_in_front_is_told_there(
    page: Page, faulty: FaultyApp, red_circle: Path
) -> None:
    faulty.behave()
    page.add_init_script(AWAY)
    open_tab(page, faulty.url, "repeat")
    fill(page, "repeat", red_circle, n=3)
    page.locator("#repeat-start").click()
    page.wait_for_function("document.title.startsWith('✓')", timeout=SECONDS)
    assert len(page.evaluate("told")) == 1
    assert "3" in page.evaluate("told[0]")
    page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange', {bubbles: true}))")
    expect(page).to_have_title("VQA Lab")
