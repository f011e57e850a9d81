"""Picture, answer and composer in one view, and the way from an answer to its proof and its report, in few presses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab_app import SECONDS, FaultyApp, faulty
from tests.browser.test_ask import answers, ask, upload

__all__ = ["faulty"]  # a store of its own: one run at a time
pytestmark = pytest.mark.browser


def opened(page: Page, faulty: FaultyApp) -> None:
    page.goto(faulty.url)
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=SECONDS)


def card(page: Page) -> Locator:
    return page.locator("#vqa-chat .examples button")


def seen(page: Page, place: Locator) -> bool:
    """Whether the whole of an element is in the window."""
    box, window = place.bounding_box(), page.viewport_size
    assert box is not None and window is not None
    return box["y"] >= 0 and box["y"] + box["height"] <= window["height"]


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_an_example_is_asked_in_one_press_and_picture_answer_and_composer_are_in_one_view(
    page: Page, faulty: FaultyApp, size: tuple[int, int]
) -> None:
    faulty.behave(answer="Three green shapes.")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    opened(page, faulty)
    expect(card(page)).to_have_count(4)
    for panel in ("#vqa-received-part", "#vqa-sure-part", "#vqa-code"):
        expect(page.locator(panel)).to_be_hidden()
    assert seen(page, page.locator("#vqa-composer"))
    card(page).nth(1).click()
    expect(answers(page)).to_have_count(1, timeout=SECONDS)
    picture, answer = page.locator("#vqa-chat .message.user img"), page.locator("#vqa-chat .message.bot").first
    expect(answer).to_contain_text("Three green shapes.")
    box = picture.bounding_box()
    assert box is not None and 0 < box["height"] <= 160
    for place in (answer, answers(page), page.get_by_role("link", name="Repeat 20×"), page.locator("#vqa-composer")):
        assert seen(page, place), place
    if size[0] > 640:
        assert seen(page, picture)
    expect(page.locator("#vqa-received-part")).to_be_visible()
    picture.click()
    large = page.locator("dialog.vqa-large img")
    expect(large).to_be_visible()
    page.keyboard.press("Escape")
    expect(large).to_have_count(0)


AT_ONCE = """([press, seen]) => {
  document.querySelectorAll(press[0])[press[1]].click();
  const box = document.querySelector("#vqa-composer textarea");
  return [document.querySelectorAll(seen).length, box.value, document.querySelector(".vqa-pending p")?.textContent];
}"""
"""Presses, and returns what stands there before anybody else, the server least of all, has had a moment."""
EXAMPLE, SEND = "#vqa-gallery button.thumbnail-item", "#vqa-composer .submit-button"


def test_what_a_press_brings_about_is_drawn_with_the_press_and_is_what_the_server_is_asked(
    page: Page, faulty: FaultyApp
) -> None:
    faulty.behave(answer="Three green shapes.")
    opened(page, faulty)
    number, shape = "What number is written?", "What shape is the red object?"
    assert page.evaluate(AT_ONCE, [[EXAMPLE, 4], ".vqa-coming img"]) == [1, number, None]
    expect(page.locator("#vqa-tray li img")).to_have_count(1, timeout=SECONDS)
    expect(page.locator(".vqa-coming")).to_have_count(0, timeout=SECONDS)
    assert page.evaluate(AT_ONCE, [[SEND, 0], ".vqa-pending img"])[::2] == [1, number]
    expect(answers(page)).to_have_count(1, timeout=SECONDS)
    expect(page.locator(".vqa-pending")).to_have_count(0)
    page.locator("#vqa-new").click()
    expect(card(page)).to_have_count(4, timeout=SECONDS)
    assert page.evaluate(AT_ONCE, [["#vqa-chat .examples button", 1], ".vqa-pending img"])[0] == 1
    expect(answers(page)).to_have_count(1, timeout=SECONDS)
    page.locator("#vqa-new").click()
    expect(card(page)).to_have_count(4, timeout=SECONDS)
    page.evaluate(AT_ONCE, [[EXAMPLE, 7], ".vqa-coming img"])  # sent before the server has put its picture there
    assert page.evaluate(AT_ONCE, [[SEND, 0], ".vqa-pending img"]) == [1, shape, shape]
    expect(answers(page)).to_have_count(1, timeout=SECONDS)
    expect(page.locator(".vqa-pending, .vqa-coming")).to_have_count(0)
    kinds = [part["type"] for part in faulty.server.bodies[-1]["messages"][-1]["content"]]
    assert sorted(kinds) == ["image_url", "text"]
    assert shape in str(faulty.server.bodies[-1]["messages"][-1]["content"][kinds.index("text")])


def test_enter_sends_an_edited_question_and_what_is_read_out_are_words(page: Page, faulty: FaultyApp) -> None:
    faulty.behave(answer="Three <b>green</b> shapes.")
    opened(page, faulty)
    card(page).nth(1).click()
    expect(answers(page)).to_have_count(1, timeout=SECONDS)
    expect(page.locator('#vqa-chat [aria-label*="Repeat 20×"]')).to_have_count(1)
    labels = page.eval_on_selector_all("#vqa-chat [aria-label]", "(all) => all.map((each) => each.ariaLabel)")
    assert not [label for label in labels if re.search(r"<(small|span|a)\b|href=", label)]
    box, edit = page.locator("#vqa-chat textarea"), page.locator('#vqa-chat button[aria-label="Edit"]').last
    edit.click()
    box.fill("Never mind")
    box.press("Escape")
    expect(box).to_have_count(0)
    edit.click()
    box.fill("How many are red?")
    box.press("Shift+Enter")
    expect(box).to_have_value("How many are red?\n")
    box.press("Enter")
    expect(page.get_by_text("Version 2 of 2")).to_be_visible(timeout=SECONDS)
    expect(answers(page)).to_have_count(1, timeout=SECONDS)
    expect(page.locator("#vqa-chat .message.user").last).to_have_text("How many are red?")
    assert "How many are red?" in str(faulty.server.bodies[-1]) and "Never mind" not in str(faulty.server.bodies)


def test_from_opening_the_page_to_a_report_takes_no_more_than_four_presses(
    page: Page, faulty: FaultyApp, tmp_path: Path
) -> None:
    faulty.behave(answer="Three green shapes.")
    opened(page, faulty)
    presses = [card(page).nth(1), page.get_by_role("link", name="Repeat 20×"), page.locator("#repeat-export-html")]
    assert len(presses) <= 4
    presses[0].click()
    expect(answers(page)).to_have_count(1, timeout=SECONDS)
    presses[1].click()
    expect(page.locator("#repeat-progress .vl-ended")).to_contain_text("20 of 20", timeout=3 * SECONDS)
    expect(page.locator("#repeat-asked")).to_contain_text("How many green shapes are there?")
    expect(page.locator("#tab-repeat textarea").first).to_have_value("How many green shapes are there?")
    expect(page).to_have_url(re.compile("tab=repeat&(.*&)?run=[0-9a-f]{12}"))
    with page.expect_download(timeout=SECONDS) as download:
        presses[2].click()
    download.value.save_as(tmp_path / "report.html")
    assert "How many green shapes are there?" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_why_could_it_change_starts_a_diagnosis_of_that_question(
    page: Page, faulty: FaultyApp, red_circle: Path
) -> None:
    faulty.behave(answer="Red.")
    opened(page, faulty)
    upload(page, red_circle)
    ask(page, "What colour is it?")
    page.get_by_role("link", name="Why could it change?").click()
    expect(page).to_have_url(re.compile("tab=diagnose&(.*&)?run=[0-9a-f]{12}"), timeout=SECONDS)
    expect(page.locator("#tab-diagnose textarea").first).to_have_value("What colour is it?")
    expect(page.locator("#diagnose-asked")).to_contain_text("What colour is it?", timeout=SECONDS)
    expect(page.locator("#diagnose-progress .vl-ended")).to_be_visible(timeout=3 * SECONDS)


def test_two_answers_stand_side_by_side_with_their_differences_and_still_do_after_a_reload(
    page: Page, faulty: FaultyApp, red_circle: Path
) -> None:
    faulty.behave()
    opened(page, faulty)
    page.get_by_role("button", name="Compare").click()
    page.get_by_label("Answer every question twice").check()
    page.keyboard.press("Escape")
    upload(page, red_circle)
    ask(page, "What is it?")
    pair = page.locator("#vqa-chat .vqa-compared")
    expect(pair).to_contain_text("temperature 0.0")
    expect(pair).to_contain_text("temperature 1.0")
    expect(pair.locator(".verdict")).to_have_text("the answers differ; differences are marked")
    expect(pair.locator("mark").first).to_be_visible()
    assert {body["temperature"] for body in faulty.server.bodies[-2:]} == {0.0, 1.0}  # asked at once: in either order
    expect(page.get_by_text(re.compile("Version . of"))).to_have_count(0)
    page.wait_for_url(re.compile("chat="))
    page.reload()
    expect(pair.locator(".verdict")).to_have_text("the answers differ; differences are marked", timeout=SECONDS)
    faulty.behave(fails_every=1)  # a pair that failed is no pair of identical answers
    page.get_by_role("button", name="Compare").click()
    page.get_by_label("Answer every question twice").check()
    page.keyboard.press("Escape")
    ask(page, "And now?")
    expect(pair.last.locator(".vqa-badge.bad")).to_have_count(2)
    expect(pair.last.locator(".verdict")).to_have_count(0)


def test_the_last_card_shows_answers_that_differ(page: Page, faulty: FaultyApp) -> None:
    faulty.behave()
    opened(page, faulty)
    expect(card(page).nth(3)).to_contain_text("At temperature 1, the answers differ.")
    card(page).nth(3).click()
    expect(answers(page)).to_have_count(1, timeout=SECONDS)
    assert faulty.server.bodies[-1]["temperature"] == 1.0
    expect(page.locator("#vqa-chat .message.user").last).to_have_text("What number is written?")
    page.get_by_role("link", name="Repeat 20×").click()
    expect(page.locator("#repeat-progress .vl-ended")).to_contain_text("20 of 20", timeout=3 * SECONDS)
    expect(page.locator("#repeat-verdict .vl-verdict strong").first).not_to_contain_text("identical")
    expect(page.locator("#repeat-verdict .vl-verdict strong").first).to_contain_text("differ")
