"""A picture from the camera is asked about: Chromium's own fake camera, a green field with a clock, is the device."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.lab_app import SECONDS, FaultyApp
from tests.browser.test_ask import ask

pytestmark = pytest.mark.browser


def test_a_picture_taken_with_the_camera_is_sent(page: Page, faulty: FaultyApp) -> None:
    faulty.behave()
    page.goto(faulty.url)
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)
    page.get_by_role("button", name="Web, camera").click()
    camera = page.locator("#vqa-camera")
    camera.get_by_text("Click to Access Webcam").click()
    expect(camera.locator("video")).to_be_visible(timeout=SECONDS)
    page.wait_for_function("() => document.querySelector('#vqa-camera video').videoWidth > 0")
    camera.get_by_role("button", name="capture photo").click()
    page.get_by_role("button", name="Use this picture").click()
    expect(page.locator("#vqa-tray li img")).to_have_count(1, timeout=SECONDS)
    ask(page, "What is before the camera?")
    url = faulty.server.bodies[-1]["messages"][-1]["content"][0]["image_url"]["url"]
    taken = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")
    assert min(taken.size) >= 240
    red, green, blue = taken.resize((1, 1)).getpixel((0, 0))
    assert green > red
    assert green > blue
