"""The pictures of Repeat and Diagnose in a real browser: pages, tones and background as on Ask."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab_app import SECONDS, FaultyApp, open_tab, start_and_wait

pytestmark = pytest.mark.browser


def pictures(page: Page, tab: str) -> Locator:
    return page.locator(f"#tab-{tab} .vqa-gallery .thumbnail-item")


def attach(page: Page, tab: str, path: Path) -> None:
    page.locator(f"#tab-{tab} .vqa-gallery input[type=file]").first.set_input_files(path)


def choose(page: Page, tab: str, name: str) -> None:
    """Takes another background; the section has opened by itself."""
    page.locator(f"#{tab}-background input").click()
    page.locator(f"#{tab}-background").get_by_role("option", name=name).click()


def test_repeat_asks_about_the_pages_that_were_chosen_made_ready_as_was_chosen(
    page: Page, faulty: FaultyApp, tmp_path: Path
) -> None:
    faulty.behave()
    pages = [Image.new("RGB", (60, 40), (n * 40, 0, 0)) for n in range(5)]
    pages[0].save(tmp_path / "scan.pdf", "PDF", save_all=True, append_images=pages[1:])
    logo = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    logo.paste((255, 255, 255, 255), (20, 10, 40, 30))
    logo.save(tmp_path / "logo.png")
    open_tab(page, faulty.url, "repeat")
    attach(page, "repeat", tmp_path / "scan.pdf")
    expect(pictures(page, "repeat")).to_have_count(5, timeout=SECONDS)
    words = page.locator("#repeat-pages").locator("input, textarea").first
    words.fill("1,5")
    words.press("Enter")
    expect(pictures(page, "repeat")).to_have_count(2, timeout=SECONDS)
    expect(page.locator("#repeat-pictures")).to_contain_text("page 5 of 5", timeout=SECONDS)
    attach(page, "repeat", tmp_path / "logo.png")
    expect(page.locator("#repeat-pictures")).to_contain_text("transparent parts put onto black", timeout=SECONDS)
    choose(page, "repeat", "Gray")
    expect(page.locator("#repeat-pictures")).to_contain_text("transparent parts put onto gray", timeout=SECONDS)
    page.locator("#repeat-questions textarea").fill("What is it?")
    page.locator("#tab-repeat input[type=number]").first.fill("2")
    start_and_wait(page, "repeat")
    content = faulty.server.bodies[-1]["messages"][-1]["content"]
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    sent = [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB") for url in urls]
    assert len(sent) == 3
    assert sent[2].getpixel((1, 1)) == (128, 128, 128)


def test_diagnose_shows_a_tiff_of_several_pages_as_it_will_be_sent(
    page: Page, faulty: FaultyApp, tmp_path: Path
) -> None:
    ramp = np.linspace(900, 3000, 60).astype(np.uint16)[None, :].repeat(40, 0)
    pages = [Image.fromarray(np.roll(ramp, 9 * n)) for n in range(3)]
    pages[0].save(tmp_path / "xray.tif", save_all=True, append_images=pages[1:])
    faulty.behave()
    open_tab(page, faulty.url, "diagnose")
    attach(page, "diagnose", tmp_path / "xray.tif")
    expect(pictures(page, "diagnose")).to_have_count(3, timeout=SECONDS)
    expect(page.locator("#diagnose-pictures")).to_contain_text("by its own range, 900 to 3000", timeout=SECONDS)
    tones = page.locator("#diagnose-tones input")
    tones.fill("0:4000")
    tones.press("Enter")
    expect(page.locator("#diagnose-pictures")).to_contain_text("0 is black, 4000 is white", timeout=SECONDS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
