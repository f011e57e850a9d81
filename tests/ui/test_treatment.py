"""How pictures are made ready is shown before they are sent, and what is chosen there is what is sent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vqa.errors import InputError
from vqa.media.images import ImageLimits, load_image
from vqa.media.several import load_file
from vqa.media.treatment import Treatment
from vqa.ui.ask.ask_views import received_html
from vqa.ui.ask.conversation import Message
from vqa.ui.pictures.known import Known, known
from vqa.ui.pictures.tray import notes_of, tray_html
from vqa.ui.pictures.treatment_box import calls_for, read
from vqa.ui.pictures.written import write


@pytest.fixture
def xray(tmp_path: Path) -> Path:
    Image.fromarray(np.linspace(800, 3000, 400).astype(np.uint16)[None, :].repeat(30, 0)).save(tmp_path / "xray.png")
    return tmp_path / "xray.png"


def test_the_tray_says_what_will_be_done_and_follows_the_choice(xray: Path) -> None:
    files, limits = [str(xray)], ImageLimits()
    automatic, chosen = (
        tray_html(files, limits, "en"),
        tray_html(files, limits, "en", read(["0:4000", "auto", "whole"])),
    )
    assert "by its own range, 800 to 3000" in automatic
    assert "0 is black, 4000 is white, as chosen" in chosen
    assert "按图片自身的范围" in tray_html(files, limits, "zh")
    assert automatic.split("<p")[0] != chosen.split("<p")[0], "the picture shown is the one that will be sent"
    assert calls_for(notes_of(files, limits))


def test_tiles_are_counted_and_an_ordinary_picture_needs_no_choice(tmp_path: Path) -> None:
    for name, size in (("long.png", (60, 9000)), ("usual.png", (60, 40))):
        Image.new("RGB", size, "red").save(tmp_path / name)
    long, usual = str(tmp_path / "long.png"), str(tmp_path / "usual.png")
    assert "16 tiles" in tray_html([long], ImageLimits(), "en", Treatment(shape="tiles"))
    assert calls_for(notes_of([usual, long], ImageLimits()))
    assert not calls_for(notes_of([usual], ImageLimits()))


@pytest.mark.parametrize(
    "values",
    [["bright", "auto", "whole"], ["auto", "sky", "whole"], ["3:3", "auto", "whole"], ["1e400:2", "auto", "whole"]],
)
def test_a_choice_that_cannot_be_used_is_told(values: list[str]) -> None:
    with pytest.raises(InputError) as told:
        read(values)
    assert told.value.code == "choice_invalid"


def test_what_the_model_received_says_how_the_picture_was_scaled(xray: Path) -> None:
    image = load_image(xray)
    message = Message(2, 1, "assistant", "a ramp")
    assert "by its own range, 800 to 3000" in received_html((image,), message, "en")


def test_the_page_itself_decodes_nothing_of_what_a_browser_sends(tmp_path: Path) -> None:
    import gradio as gr
    from gradio.data_classes import ImageData

    from vqa.ui.ask.components import _more_ways

    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(tmp_path / "deep.png")
    with gr.Blocks():
        _, _, camera, _ = _more_ways("en")
    taken = camera.preprocess(ImageData(path=str(tmp_path / "deep.png"), orig_name="deep.png"))
    assert taken == str(tmp_path / "deep.png"), "as it came, its sixteen bits in it"


def test_pages_and_frames_keep_what_was_done_to_them_while_they_stand_in_the_composer(tmp_path: Path) -> None:
    deep = [Image.fromarray(np.linspace(800, 3000, 400).astype(np.uint16)[None, :].repeat(30, 0)) for _ in range(2)]
    deep[0].save(tmp_path / "stack.tif", save_all=True, append_images=deep[1:])
    page = load_file(tmp_path / "stack.tif", ImageLimits())[1]
    written = Path(write(page))
    assert "page 2 of 2 · scaled to 8 bits by its own range" in tray_html([str(written)], ImageLimits(), "en")
    came_back = known.recalled(load_image(written))
    assert (came_back.notes, came_back.given_format) == (page.notes, "TIFF")


def test_pages_that_are_alike_are_told_apart(tmp_path: Path) -> None:
    pages = [Image.new("L", (60, 40), 255) for _ in range(3)]
    pages[0].save(tmp_path / "blank.tif", save_all=True, append_images=pages[1:])
    files = [write(page) for page in load_file(tmp_path / "blank.tif", ImageLimits())]
    shown = tray_html(files, ImageLimits(), "en")
    assert [f"page {n} of 3" in shown for n in (1, 2, 3)] == [True] * 3


def test_only_the_newest_pictures_are_remembered(xray: Path) -> None:
    few = Known(most=1)
    first, second = load_image(xray), load_image(xray, treatment=Treatment(tones="full"))
    for image in (first, second):
        few.remember(image)
    plain = [replace(image, notes=()) for image in (first, second)]
    assert [few.recalled(image).notes for image in plain] == [(), second.notes]
