"""The pictures of a question before it is sent: their order, a video's frames, a box on one; in a real browser."""

from __future__ import annotations

import base64
import io
import re
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.lab_app import SECONDS, FaultyApp
from tests.browser.test_ask import ask, composer
from tests.media.test_video import COLOURS, colour, make_gif, make_video

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def opened(page: Page, faulty: FaultyApp) -> None:
    faulty.behave()
    page.goto(faulty.url)
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)


@pytest.fixture
def flags(tmp_path: Path) -> list[Path]:
    """A red, a green and a blue picture."""
    paths = [tmp_path / f"{name}.png" for name in COLOURS[:3]]
    for path in paths:
        Image.new("RGB", (60, 40), path.stem).save(path)
    return paths


def attach(page: Page, *paths: Path) -> None:
    page.locator("#vqa-composer input[type=file]").first.set_input_files([str(path) for path in paths])


def shown(page: Page) -> Locator:
    return page.locator("#vqa-tray li img")


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def place(page: Page, number: int) -> Locator:
    return page.get_by_role("button", name=f"Ask about a region of picture {number}")


def drag(page: Page, start: int, end: int) -> None:
    """Drags the picture at one place of the row onto another."""
    boxes = [each.bounding_box() for each in page.locator("#vqa-tray li").all()]
    (left, right) = boxes[start], boxes[end]
    assert left is not None and right is not None
    page.mouse.move(left["x"] + 20, left["y"] + 30)
    page.mouse.down()
    page.mouse.move(right["x"] + right["width"] / 2, right["y"] + 30, steps=12)
    page.mouse.up()


def names(page: Page) -> list[str]:
    """What the pictures are called, all read at one moment: the server may draw the row anew meanwhile."""
    return list(shown(page).evaluate_all("pictures => pictures.map(picture => picture.alt)"))


@pytest.fixture
def two_pages(tmp_path: Path) -> Path:
    """A PDF of two pages."""
    first, second = (Image.new("RGB", (60, 40), name) for name in COLOURS[:2])
    first.save(tmp_path / "pages.pdf", "PDF", save_all=True, append_images=[second])
    return tmp_path / "pages.pdf"


def attach_over_a_slow_network(page: Page, path: Path) -> list[Route]:
    """Attaches a file; the event that reads it is on its way until the returned requests are let go."""
    held: list[Route] = []
    page.route("**/queue/join*", lambda route: route.continue_() if held else held.append(route))
    attach(page, path)
    expect(page.locator("#vqa-composer .thumbnail-wrapper")).to_have_count(1)
    for _ in range(100):
        if held:
            break
        page.wait_for_timeout(50)
    return held


def test_what_is_written_while_a_pdf_is_read_stays(page: Page, two_pages: Path) -> None:
    (held,) = attach_over_a_slow_network(page, two_pages)
    composer(page).fill("Which colours")
    held.continue_()
    composer(page).press_sequentially(" are these?", delay=20)
    expect(shown(page)).to_have_count(2)
    expect(page.locator("#vqa-composer .thumbnail-wrapper")).to_have_count(2)
    expect(composer(page)).to_have_value("Which colours are these?")


def test_a_pdf_that_was_sent_before_it_was_read_does_not_come_back(
    page: Page, faulty: FaultyApp, two_pages: Path
) -> None:
    (held,) = attach_over_a_slow_network(page, two_pages)
    ask(page, "Which colours are these?")
    assert len(sent(faulty.server)) == 2
    with page.expect_response("**/queue/join*"):
        held.continue_()
    page.wait_for_timeout(2000)
    expect(page.locator("#vqa-composer .thumbnail-wrapper")).to_have_count(0)
    expect(composer(page)).to_have_value("")
    expect(shown(page)).to_have_count(0)


def sent(server: Any) -> list[Image.Image]:
    """The pictures of the last request, in its order."""
    parts = server.bodies[-1]["messages"][-1]["content"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) for url in urls]


def test_pictures_are_moved_and_removed_and_sent_in_the_order_that_is_shown(
    page: Page, faulty: FaultyApp, flags: list[Path]
) -> None:
    attach(page, *flags)
    expect(shown(page)).to_have_count(3, timeout=SECONDS)
    drag(page, 2, 0)
    expect(shown(page).first).to_have_attribute("alt", "blue.png", timeout=SECONDS)
    page.wait_for_timeout(300)  # moved by the pointer, then drawn by the server: the same
    drag(page, 1, 2)
    expect(shown(page).last).to_have_attribute("alt", "red.png", timeout=SECONDS)
    assert names(page) == ["blue.png", "green.png", "red.png"]
    expect(page.locator("#vqa-box .area")).to_have_count(0)  # a drag is no press
    press(page, "Remove picture 2")
    expect(shown(page)).to_have_count(2, timeout=SECONDS)
    ask(page, "Which?")
    assert [colour(each) for each in sent(faulty.server)] == ["blue", "red"]
    expect(shown(page)).to_have_count(0, timeout=SECONDS)


def test_the_keyboard_moves_a_picture_and_stays_with_it(page: Page, flags: list[Path]) -> None:
    attach(page, *flags)
    expect(shown(page)).to_have_count(3, timeout=SECONDS)
    place(page, 1).focus()
    page.keyboard.press("ArrowRight")
    expect(shown(page).nth(1)).to_have_attribute("alt", "red.png", timeout=SECONDS)
    expect(place(page, 2)).to_be_focused(timeout=SECONDS)
    page.keyboard.press("End")
    expect(shown(page).nth(2)).to_have_attribute("alt", "red.png", timeout=SECONDS)
    expect(place(page, 3)).to_be_focused(timeout=SECONDS)
    page.keyboard.press("Delete")
    # The server's redraw of the move before it may come in between, with all three once more.
    end = time.monotonic() + SECONDS / 1000
    while names(page) != ["green.png", "blue.png"] and time.monotonic() < end:
        page.wait_for_timeout(50)
    assert names(page) == ["green.png", "blue.png"]


def test_a_picture_taken_out_of_the_composer_or_added_there_shows_in_the_tray(page: Page, flags: list[Path]) -> None:
    attach(page, flags[0])
    expect(shown(page)).to_have_count(1, timeout=SECONDS)
    attach(page, flags[1])
    expect(shown(page)).to_have_count(2, timeout=SECONDS)
    composer(page).fill("typed in between")
    press(page, "Remove picture 1")
    expect(shown(page)).to_have_count(1, timeout=SECONDS)
    expect(composer(page)).to_have_value("typed in between")


@pytest.mark.parametrize("make", ["clip.mp4", "moving.gif"])
def test_a_video_becomes_its_first_frames_and_another_number_of_them(
    page: Page, faulty: FaultyApp, tmp_path: Path, make: str
) -> None:
    path = make_gif(tmp_path / make) if make.endswith("gif") else make_video(tmp_path / make)
    attach(page, path)
    expect(shown(page)).to_have_count(4, timeout=SECONDS)
    number = page.locator("#vqa-frames input[type=number]")
    expect(number).to_have_value("4")
    number.fill("2")
    number.press("Tab")
    expect(shown(page)).to_have_count(2, timeout=SECONDS)
    ask(page, "What happens?")
    assert [colour(each) for each in sent(faulty.server)] == ["red", "blue"]


def test_a_broken_video_is_told_and_taken_out(page: Page, tmp_path: Path, flags: list[Path]) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypisom" + b"\7" * 300)
    attach(page, flags[0], broken)
    told = page.locator(".toast-body, .toast-wrap").get_by_text("is damaged or cannot be decoded")
    expect(told.first).to_be_visible(timeout=SECONDS)
    expect(shown(page)).to_have_count(1, timeout=SECONDS)


def test_a_box_drawn_with_the_mouse_is_what_is_asked_about(page: Page, faulty: FaultyApp, tmp_path: Path) -> None:
    picture = Image.new("RGB", (400, 200), "blue")
    picture.paste("red", (200, 0, 400, 200))
    picture.save(tmp_path / "halves.png")
    attach(page, tmp_path / "halves.png")
    press(page, "Ask about a region of picture 1")
    area = page.locator("#vqa-box .area")
    expect(area).to_be_visible(timeout=SECONDS)
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.55 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.5 * box["height"], steps=4)
    page.mouse.move(box["x"] + 0.95 * box["width"], box["y"] + 0.9 * box["height"], steps=4)
    page.mouse.up()
    expect(page.locator("#vqa-box .frame")).to_be_visible()
    press(page, "Ask about this region")
    expect(shown(page)).to_have_attribute("alt", re.compile("halves-region"), timeout=SECONDS)
    ask(page, "What colour?")
    (region,) = sent(faulty.server)
    assert colour(region) == "red"
    assert region.width == pytest.approx(160, abs=4)
    assert region.height == pytest.approx(140, abs=4)


def test_a_box_given_by_numbers_is_added_or_drawn_in(page: Page, faulty: FaultyApp, flags: list[Path]) -> None:
    attach(page, flags[0])
    expect(shown(page)).to_have_count(1, timeout=SECONDS)
    page.locator("#vqa-box > button").click()
    press(page, "Open the latest picture")
    numbers = page.locator("#vqa-box")
    expect(numbers.get_by_label("Width")).to_be_visible(timeout=SECONDS)
    expect(numbers.get_by_role("button", name="Ask about this region")).to_be_disabled()
    for name, value in (("Left", "10"), ("Top", "5"), ("Width", "30"), ("Height", "20")):
        numbers.get_by_label(name).fill(value)
    press(page, "Add the region beside the picture")
    expect(shown(page)).to_have_count(2, timeout=SECONDS)
    press(page, "Draw the box into the picture")
    expect(shown(page).first).to_have_attribute("alt", re.compile("red-marked"), timeout=SECONDS)
    ask(page, "What is in the box?")
    drawn, part = sent(faulty.server)
    assert (drawn.size, part.size) == ((60, 40), (30, 20))
    assert drawn.convert("RGB").getpixel((10, 5)) == (225, 29, 72)


def test_a_finger_draws_a_box_and_the_tray_fits_on_a_phone(page: Page, faulty: FaultyApp, flags: list[Path]) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    attach(page, *flags)
    expect(shown(page)).to_have_count(3, timeout=SECONDS)
    press(page, "Ask about a region of picture 2")
    area = page.locator("#vqa-box .area")
    expect(area).to_be_visible(timeout=SECONDS)
    area.evaluate(
        """(area) => {
            const seen = area.getBoundingClientRect();
            area.setPointerCapture = () => {};
            const send = (kind, x, y) => area.dispatchEvent(new PointerEvent(kind, {
                bubbles: true, cancelable: true, pointerType: 'touch', pointerId: 5, button: 0,
                clientX: seen.left + x * seen.width, clientY: seen.top + y * seen.height,
            }));
            send('pointerdown', .9, .9); send('pointermove', .5, .5); send('pointerup', .25, .25);
        }"""
    )
    expect(page.locator("#vqa-box").get_by_label("Left")).to_have_value("15")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_how_pictures_are_made_ready_is_seen_chosen_and_sent(page: Page, faulty: FaultyApp, tmp_path: Path) -> None:
    logo = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    logo.paste((255, 255, 255, 255), (20, 10, 40, 30))
    logo.save(tmp_path / "logo.png")
    attach(page, tmp_path / "logo.png")
    expect(page.locator("#vqa-tray")).to_contain_text("transparent parts put onto black", timeout=SECONDS)
    page.get_by_role("button", name="Preparation").click()
    page.locator("#vqa-background input").click()
    page.get_by_role("option", name="Gray").click()
    expect(page.locator("#vqa-tray")).to_contain_text("transparent parts put onto gray", timeout=SECONDS)
    ask(page, "What is it?")
    expect(page.locator("#vqa-received")).to_contain_text("transparent parts put onto gray", timeout=SECONDS)
    content = faulty.server.bodies[-1]["messages"][-1]["content"]
    url = next(part["image_url"]["url"] for part in content if part["type"] == "image_url")
    sent = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert (sent.mode, sent.getpixel((1, 1))) == ("RGB", (128, 128, 128))


def test_pages_of_a_long_document_can_be_chosen(page: Page, tmp_path: Path) -> None:
    pages = [Image.new("RGB", (60, 40), (n * 10, 0, 0)) for n in range(20)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    attach(page, tmp_path / "scan.tif")
    expect(shown(page)).to_have_count(16, timeout=SECONDS)
    words = page.locator("#vqa-pages").locator("input, textarea").first
    words.fill("2,18-20")
    words.press("Enter")
    expect(shown(page)).to_have_count(4, timeout=SECONDS)
    expect(page.locator("#vqa-tray")).to_contain_text("page 18 of 20")
