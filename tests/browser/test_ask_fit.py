"""A message that does not fit into the model's context, in a real browser: told before it is sent, and made to fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab_app import SECONDS, FaultyApp
from tests.browser.test_ask import answers, composer, send, upload

pytestmark = pytest.mark.browser


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    path = tmp_path / "wide.png"
    Image.linear_gradient("L").resize((1000, 500)).save(path)
    return path


@pytest.fixture
def tight(page: Page, faulty: FaultyApp) -> FaultyApp:
    """A model that counts a picture by its pixels and holds 2048 tokens; the page is open."""
    faulty.behave(pixels_per_token=200)
    page.goto(faulty.url)
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)
    return faulty


def notice(page: Page) -> Locator:
    return page.locator("#vqa-fit")


def test_a_picture_that_is_too_large_is_told_before_sending_and_resized_in_sight(
    page: Page, tight: FaultyApp, wide: Path
) -> None:
    asked = len(tight.server.bodies)
    upload(page, wide)
    send(page, "What is this?")
    expect(notice(page)).to_contain_text("does not fit into the model's context", timeout=SECONDS)
    expect(notice(page)).to_contain_text("2564")
    expect(notice(page)).to_contain_text("2048")
    expect(composer(page)).to_have_value("What is this?")
    expect(page.locator("#vqa-composer .thumbnail-wrapper")).to_have_count(1)
    expect(page.locator("#vqa-chat .message.user")).to_have_count(0)
    assert len(tight.server.bodies) == asked
    page.get_by_role("button", name="Resize the picture to 750×375 and send").click()
    expect(answers(page)).to_have_count(1, timeout=SECONDS)
    expect(notice(page)).to_be_hidden()
    expect(composer(page)).to_have_value("")
    expect(page.locator("#vqa-received")).to_contain_text("1000×500 → 750×375")
    expect(page.locator("#vqa-received")).to_contain_text("resized to fit into the model's context")
    assert len(tight.server.bodies) == asked + 1


def test_the_notice_goes_away_and_the_message_stays_and_can_be_changed(
    page: Page, tight: FaultyApp, wide: Path, red_circle: Path
) -> None:
    upload(page, wide)
    send(page, "What is this?")
    page.get_by_role("button", name="Not now").click()
    expect(notice(page)).to_be_hidden(timeout=SECONDS)
    expect(composer(page)).to_have_value("What is this?")
    page.get_by_role("button", name="Remove picture 1").click()
    expect(page.locator("#vqa-composer .thumbnail-wrapper")).to_have_count(0, timeout=SECONDS)
    upload(page, red_circle)
    composer(page).press("Enter")
    expect(answers(page)).to_have_count(1, timeout=SECONDS)


def test_a_server_that_does_not_count_tells_afterwards(page: Page, faulty: FaultyApp, wide: Path) -> None:
    faulty.behave(pixels_per_token=200, counts=False)
    page.goto(faulty.url)
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)
    upload(page, wide)
    send(page, "What is this?")
    expect(page.locator("#vqa-chat")).to_contain_text("do not fit into the model's context", timeout=SECONDS)
    expect(notice(page)).to_be_hidden()
