"""Pictures in an order, and a box on one: moved, cut out and drawn in without a page."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vqa.errors import InputError
from vqa.media.images import ImageLimits, ImagePayload, load_image
from vqa.media.notes import named
from vqa.media.treatment import Treatment
from vqa.settings import Settings
from vqa.ui.ask import asking
from vqa.ui.pictures import region
from vqa.ui.pictures.region import Box, box_of
from vqa.ui.pictures.region_box import area_html
from vqa.ui.pictures.tray import moved, tray_html


@pytest.fixture
def image() -> ImagePayload:
    out = io.BytesIO()
    picture = Image.new("RGB", (400, 200), "blue")
    picture.paste("red", (200, 0, 400, 200))
    picture.save(out, "PNG")
    return load_image(out.getvalue(), name="<halves>.png")


@pytest.mark.parametrize(
    ("act", "place", "to", "after"),
    [
        ("move", 2, 0, "cab"),
        ("move", 0, 2, "bca"),
        ("move", 1, 0, "bac"),
        ("move", 1, 2, "acb"),
        ("move", 1, 1, "abc"),
        ("move", 0, -1, "abc"),
        ("move", 2, 3, "abc"),
        ("remove", 1, 1, "ac"),
        ("region", 1, 1, "abc"),
        ("nonsense", 1, 0, "abc"),
        ("remove", 7, 7, "abc"),
        ("remove", -1, -1, "abc"),
    ],
)
def test_moving(act: str, place: int, to: int, after: str) -> None:
    assert moved(list("abc"), act, place, to) == list(after)


@pytest.mark.parametrize(
    ("values", "box"),
    [
        ({"left": 10, "top": 20, "width": 30, "height": 40}, Box(10, 20, 30, 40)),
        ({"left": "10", "top": 20.4, "width": 30.6, "height": 40}, Box(10, 20, 31, 40)),
        ({"left": -5, "top": -5, "width": 10, "height": 10}, Box(0, 0, 5, 5)),
        ({"left": 390, "top": 190, "width": 100, "height": 100}, Box(390, 190, 10, 10)),
    ],
)
def test_a_box_is_cut_down_to_the_picture(image: ImagePayload, values: dict[str, object], box: Box) -> None:
    assert box_of(values, image) == box


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"left": 0, "top": 0, "width": 0, "height": 9},
        {"left": 500, "top": 0, "width": 9, "height": 9},
        {"left": "x", "top": 0, "width": 9, "height": 9},
        {"left": None, "top": 0, "width": 9, "height": 9},
        {"left": float("nan"), "top": 0, "width": 9, "height": 9},
        {"left": float("inf"), "top": 0, "width": 9, "height": 9},
    ],
)
def test_a_box_without_area_is_refused(image: ImagePayload, values: dict[str, object]) -> None:
    with pytest.raises(InputError) as told:
        box_of(values, image)
    assert told.value.code == "region_empty"


def test_a_region_is_cut_out_and_a_box_is_drawn_in(image: ImagePayload, tmp_path: Path) -> None:
    box, path = Box(200, 50, 100, 60), tmp_path / "<halves>.png"
    path.write_bytes(image.data)
    part, drawn = region.cut_out(path, image, box, ImageLimits()), region.marked(image, box)
    assert part.picture().size == (part.width, part.height) == (100, 60)
    assert part.picture().getcolors() == [(6000, (255, 0, 0))]
    assert part.given_name == "<halves>-region"
    assert drawn.picture().size == (400, 200)
    edge, inside, outside = (drawn.picture().getpixel(at) for at in ((299, 109), (250, 80), (300, 110)))
    assert (edge, inside, outside) == ((225, 29, 72), (255, 0, 0), (255, 0, 0))


@pytest.mark.parametrize(("kind", "size"), [("PNG", (9000, 60)), ("JPEG", (9000, 3000)), ("TIFF", (9000, 60))])
def test_a_region_has_the_pixels_of_the_file_and_not_of_what_is_sent_of_the_whole(
    kind: str, size: tuple[int, int], tmp_path: Path
) -> None:
    picture, path = Image.new("RGB", size), tmp_path / f"long.{kind.lower()}"
    picture.paste("red", (3000, 0, 3500, size[1]))
    picture.save(path, kind)
    shown = load_image(path)
    assert shown.width == ImageLimits().max_side
    scale = shown.width / size[0]
    box = Box(round(3000 * scale), 0, round(500 * scale), shown.height)
    part = region.cut_out(path, shown, box, ImageLimits())
    assert abs(part.width - 500) <= 4 and part.height == size[1]
    red = np.asarray(part.picture().convert("RGB"))[part.height // 2, 4:-4]
    assert red[:, 0].min() > 240 and red[:, 1].max() < 16


def test_a_region_of_a_picture_that_lies_on_its_side_is_where_it_was_drawn(tmp_path: Path) -> None:
    picture, exif = Image.new("RGB", (200, 100)), Image.Exif()
    picture.paste("red", (0, 50, 50, 100))
    exif[274] = 6  # its left edge is what is on top
    picture.save(tmp_path / "side.png", exif=exif)
    shown = load_image(tmp_path / "side.png")
    part = region.cut_out(tmp_path / "side.png", shown, Box(0, 0, 50, 50), ImageLimits())
    assert part.picture().convert("RGB").getcolors() == [(2500, (255, 0, 0))]


def test_a_box_is_drawn_on_and_cut_out_of_what_was_chosen(tmp_path: Path) -> None:
    values = np.linspace(0, 4000, 100).astype(np.uint16)[None, :].repeat(20, 0)
    Image.fromarray(values).save(tmp_path / "xray.png")
    shown = load_image(tmp_path / "xray.png", treatment=Treatment(tones="0:8000"))
    part = region.cut_out(tmp_path / "xray.png", shown, Box(50, 0, 50, 20), ImageLimits(), Treatment(tones="0:8000"))
    assert part.picture().convert("L").getextrema()[1] == shown.picture().convert("L").getextrema()[1] < 130
    assert named("toned_chosen", part.notes), "what was done to the whole was done to the part"


def test_the_tray_shows_what_is_there_and_what_cannot_be_read(image: ImagePayload, tmp_path: Path) -> None:
    good, bad = tmp_path / "a'<b>.png", tmp_path / "words.png"
    good.write_bytes(image.data)
    bad.write_text("words")
    html = tray_html([str(good), str(bad)], ImageLimits(), "en")
    assert html.count("<li>") == 2
    assert html.count("<button") == 4, "a picture is one button, and taking it out another"
    assert html.count("<img") == 1
    assert "⚠ words.png" in html
    assert "words.png is not a picture in a format known here" in html
    assert "<b>.png" not in html
    assert 'aria-label="Ask about a region of picture 2"' in html
    assert "<button" not in tray_html([str(good)], ImageLimits(), "en", acts=False)
    assert tray_html([], ImageLimits(), "zh") == ""


def test_the_area_names_the_picture_harmlessly_and_in_its_pixels(image: ImagePayload) -> None:
    html = area_html(image, "zh")
    assert 'data-width="400" data-height="200"' in html
    assert "&lt;halves&gt;" in html
    assert "<halves>" not in html


def test_a_visitor_of_a_public_demo_gets_no_more_pictures_out_of_a_file_than_may_be_sent() -> None:
    assert asking.most_pictures(Settings(public=True)) == 4
    assert asking.most_pictures(Settings()) == asking.MAX_PICTURES
