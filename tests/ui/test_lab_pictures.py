"""The pictures of a run are made ready as those of a question: pages, tones, tiles, and what was done is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from tests.ui.test_limits_of_forms import form
from vqa.errors import InputError
from vqa.settings import Settings
from vqa.ui.lab import lab_form, lab_pictures
from vqa.ui.lab.lab_pictures import LabPictureFlow, paths_of
from vqa.ui.pictures.treatment_box import UNTOUCHED
from vqa.ui.services import Services


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A TIFF of three pages of sixteen bits."""
    pages = [
        Image.fromarray(np.linspace(800, 3000, 400 + n).astype(np.uint16)[None, :].repeat(30, 0)) for n in range(3)
    ]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    return tmp_path / "stack.tif"


def paper(folder: Path) -> Path:
    """A PDF of two pages."""
    first, second = (Image.new("RGB", (60, 40), colour) for colour in ("red", "blue"))
    first.save(folder / "paper.pdf", "PDF", save_all=True, append_images=[second])
    return folder / "paper.pdf"


def spec_of(folder: Path, *files: Path, settings: Settings | None = None, **changes: Any) -> Any:
    values = {"images": [(str(path), None) for path in files]} | changes
    return lab_form.read(form(folder, **values), settings or Settings())


def test_a_run_asks_about_the_pages_of_a_document_and_each_may_be_asked_by_itself(tmp_path: Path, stack: Path) -> None:
    spec = spec_of(tmp_path, stack, paper(tmp_path), each_image=True)
    assert len(spec.images) == len(spec.cases) == 5
    assert [image.given_format for image in spec.images] == ["TIFF"] * 3 + ["PDF"] * 2


def test_what_is_chosen_is_what_is_sent(tmp_path: Path, stack: Path) -> None:
    automatic, chosen = spec_of(tmp_path, stack), spec_of(tmp_path, stack, tones="0:65535")
    assert automatic.images[0].sha256 != chosen.images[0].sha256
    assert any("chosen" in note for note in chosen.images[0].notes)
    Image.new("RGB", (60, 9000), "red").save(tmp_path / "long.png")
    whole, tiles = (spec_of(tmp_path, tmp_path / "long.png", shape=shape) for shape in ("whole", "tiles"))
    assert (len(whole.images), len(tiles.images)) == (1, 16)
    logo = Image.new("RGBA", (60, 40), (255, 255, 255, 0))
    logo.paste((255, 255, 255, 255), (10, 10, 30, 30))
    logo.save(tmp_path / "logo.png")
    (image,) = spec_of(tmp_path, tmp_path / "logo.png", background="#ff0000").images
    assert image.picture().convert("RGB").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("values", [{"tones": "bright"}, {"background": "sky"}, {"shape": "round"}])
def test_a_choice_that_makes_no_sense_starts_no_run(tmp_path: Path, stack: Path, values: dict[str, str]) -> None:
    with pytest.raises(InputError) as told:
        spec_of(tmp_path, stack, **values)
    assert told.value.code == "choice_invalid"


def test_pages_and_tiles_are_a_visitors_pictures_as_all_others_are(tmp_path: Path, stack: Path) -> None:
    public = Settings(public=True).for_visitors()
    with pytest.raises(InputError) as told:
        spec_of(tmp_path, stack, paper(tmp_path), paper(tmp_path), settings=public)
    assert told.value.code == "too_many_pictures"
    assert len(spec_of(tmp_path, stack, paper(tmp_path), settings=public).images) == public.public_max_pictures


@pytest.fixture
def flow() -> LabPictureFlow:
    services = Services(Settings(), None, None, None)  # type: ignore[arg-type]
    with gr.Blocks():
        parts = lab_pictures.render("en", "repeat", 60)
    return LabPictureFlow(services, parts, "en")


async def last(flow: LabPictureFlow, given: Any, opened: Any = None, pages: str = "") -> dict[str, Any]:
    """The last update of the gallery's own change, by the name of the part."""
    names = {part: name for name, part in vars(flow._parts).items() if name != "treatment"}
    names[flow._parts.treatment.section] = "section"
    found: dict[str, Any] = {}
    async for update in flow.changed(given, opened, pages, *UNTOUCHED):
        found = {names[part]: value for part, value in update.items()}
    return found


async def test_the_gallery_unfolds_a_document_and_takes_other_pages_of_it(flow: LabPictureFlow, stack: Path) -> None:
    Image.new("RGB", (60, 40), "red").save(stack.parent / "red.png")
    given = [(str(stack.parent / "red.png"), None), (str(stack), None)]
    unfolded = await last(flow, given)
    paths = paths_of(unfolded["gallery"])
    assert [Path(path).suffix for path in paths] == [".png"] * 4
    assert paths[0] == given[0][0]
    assert "3 pages" in unfolded["pages"].info
    made = await last(flow, unfolded["gallery"], unfolded["opened"])
    assert made["made"].count("<li>") == 4
    assert "page 2 of 3" in made["made"]
    assert "data-do" not in made["made"]
    assert made["section"].open, "the tones may be wanted otherwise"
    other = await flow.treated(unfolded["gallery"], unfolded["opened"], "3", *UNTOUCHED)
    assert len(paths_of(other[flow._parts.gallery])) == 2
    same = await flow.treated(other[flow._parts.gallery], other[flow._parts.opened], "3", *UNTOUCHED)
    assert flow._parts.gallery not in same, "nothing is read again that was read"


async def test_a_picture_to_which_nothing_is_done_is_shown_once(flow: LabPictureFlow, tmp_path: Path) -> None:
    Image.new("RGB", (60, 40), "red").save(tmp_path / "red.png")
    assert (await last(flow, [(str(tmp_path / "red.png"), None)]))["made"] == ""
    assert (await last(flow, None))["made"] == ""


async def test_a_document_that_cannot_be_read_is_taken_out(flow: LabPictureFlow, tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    found: list[dict[Any, Any]] = []
    with pytest.raises(InputError):
        async for update in flow.changed([(str(tmp_path / "broken.pdf"), None)], None, "", *UNTOUCHED):
            found.append(update)
    assert found == [{flow._parts.gallery: []}]
