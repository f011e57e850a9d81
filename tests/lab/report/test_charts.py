"""Plots: numbers in, markup out; legible at 20 and small at 10,000."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import pytest
from PIL import Image

from vqa.lab.report import cells, charts


def bitmap(markup: str) -> Image.Image:
    found = re.search(r"base64,([^\"]+)", markup)
    assert found is not None
    return Image.open(io.BytesIO(base64.b64decode(found.group(1)))).convert("RGBA")


def well_formed(markup: str) -> ElementTree.Element:
    closed = re.sub(r"(<img[^>]*)>", r"\1/>", markup)
    return ElementTree.fromstring(f"<root>{closed}</root>")


def test_strip_of_twenty_sets_the_first_apart_and_letters_every_cell() -> None:
    markup = cells.strip([1, *[0] * 19], 20, "en")
    root = well_formed(markup)
    first = root.find(".//span[@class='vl-first']/i")
    assert first is not None and first.text == "B" and cells.colour(1) in first.get("style", "")
    rest = root.findall(".//span[@class='vl-cells']/i")
    assert [cell.text for cell in rest] == ["A"] * 19
    assert "Request 1 gave answer B; of the 19 later ones 0 gave the same" in markup


def test_strip_shows_pending_and_failed_requests_as_such() -> None:
    root = well_formed(cells.strip([0, cells.ERROR], 4, "en"))
    classes = [cell.get("class") for cell in root.iter("i")]
    assert classes == ["vl-cell", "vl-cell vl-error", "vl-cell vl-pending", "vl-cell vl-pending"]


def test_strip_of_ten_thousand_is_one_small_bitmap_with_a_pixel_for_each_request() -> None:
    groups = [2, *[0] * 9_999]
    groups[5_000] = 1
    groups[6_000] = cells.ERROR
    markup = cells.strip(groups, 10_000, "en")
    assert len(markup) < 5_000
    picture = bitmap(markup)
    assert picture.width * picture.height >= 9_999
    colours = {f"#{bytes(pixel[:3]).hex()}": count for count, pixel in picture.getcolors() or () if pixel[3] > 50}
    assert colours == {cells.colour(0): 9_997, cells.colour(1): 1, cells.ERROR_COLOUR: 1}


@pytest.mark.parametrize("n", [241, 999, 2_500, 9_999])
def test_bitmap_strip_is_wider_than_high(n: int) -> None:
    picture = bitmap(cells.strip([0] * n, n, "en"))
    assert picture.width >= 2 * picture.height


def test_groups_beyond_the_palette_share_a_colour_but_not_a_letter() -> None:
    assert cells.colour(8) == cells.colour(200) == cells.OTHER_COLOUR
    assert [cells.letter(group) for group in (0, 25, 26, 27, 52, cells.ERROR)] == ["A", "Z", "AA", "AB", "BA", "!"]


@pytest.mark.parametrize("colour", [*cells.PALETTE, cells.OTHER_COLOUR, cells.ERROR_COLOUR])
def test_white_letters_on_every_colour_have_enough_contrast(colour: str) -> None:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (luminance + 0.05) >= 4.5


def test_latency_puts_the_first_request_into_a_panel_of_its_own() -> None:
    root = well_formed(charts.latency([4.2, *[0.9] * 19], [1, *[0] * 19], "en"))
    panels = root.findall(".//div[@class='vl-plot']/div/svg")
    dots = [len(panel.findall("circle")) for panel in panels]
    assert dots == [1, 19]
    text = "".join(root.itertext())
    assert "First request 4.2 s" in text and "logarithmic" in text


def test_latency_is_linear_when_requests_take_alike() -> None:
    assert "logarithmic" not in charts.latency([1.0, 0.9, 1.1], [0, 0, 0], "en")


def test_latency_of_ten_thousand_is_drawn_in_buckets() -> None:
    markup = charts.latency([1.0 + index % 7 / 10 for index in range(10_000)], [0] * 10_000, "en")
    assert len(markup) < 60_000 and markup.count("<circle") == 1 and markup.count("vl-range") == 200


def test_latency_without_an_answer_draws_nothing() -> None:
    assert charts.latency([None, None], [cells.ERROR] * 2, "en") == ""
    assert "First request –" in charts.latency([None, 1.0], [cells.ERROR, 0], "en")


def test_margins_mark_fragile_and_split_positions_and_name_the_smallest() -> None:
    markup = charts.margins([2.0, 0.004, 1.0], ["a", "<b>", "c"], "en", threshold=0.01, fragile=[1], splits=[2])
    root = well_formed(markup)
    assert [bar.get("class") for bar in root.iter("rect")] == ["vl-margin", "vl-fragile", "vl-split"]
    assert root.find(".//line[@class='vl-threshold']") is not None
    assert "at token 1 “<b>”" in "".join(root.itertext())


def test_a_higher_margin_is_drawn_higher_and_near_zero_is_enlarged() -> None:
    root = well_formed(charts.margins([0.0, 0.05, 1.0, 10.0], ["a"] * 4, "en"))
    heights = [float((bar.get("height") or "").rstrip("%")) for bar in root.iter("rect")]
    assert heights == sorted(heights)
    assert heights[1] > 10 * 100 * 0.05 / 10


def test_margins_of_a_long_answer_keep_the_smallest_of_each_bucket() -> None:
    values = [1.0] * 8_000
    values[4_321] = 0.0
    markup = charts.margins(values, ["x"] * 8_000, "en", fragile=[4_321])
    assert len(markup) < 80_000 and markup.count('class="vl-fragile"') == 1


def test_margins_without_logprobs_draw_nothing() -> None:
    assert charts.margins([], [], "en") == ""
    assert charts.margins([None], ["a"], "en") == ""


def test_every_plot_speaks_chinese_too() -> None:
    drawn = cells.strip([0, 1], 2, "zh") + charts.latency([1.0, 1.0], [0, 1], "zh") + charts.margins([1.0], ["a"], "zh")
    assert "首次" in drawn and "First" not in drawn
