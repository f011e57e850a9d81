"""A PDF becomes pictures in a process of its own; a damaged, a slow and many at once do no harm."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from vqa.errors import InputError
from vqa.media import pdf
from vqa.media.images import ImageLimits
from vqa.media.pdf import pdf_pages

COLOURS = ((255, 0, 0), (0, 0, 255), (0, 128, 0))


@pytest.fixture
def three(tmp_path: Path) -> Path:
    pages = [Image.new("RGB", (144, 72), colour) for colour in COLOURS]
    pages[0].save(tmp_path / "three.pdf", "PDF", save_all=True, append_images=pages[1:], resolution=72)
    return tmp_path / "three.pdf"


def test_pages_come_in_order_and_no_more_than_wanted(three: Path) -> None:
    pages = pdf_pages(three, ImageLimits(), at_most=2)
    assert [page.given_name for page in pages] == ["three-1.png", "three-2.png"]
    assert [(page.width, page.height) for page in pages] == [(288, 144)] * 2
    for page, colour in zip(pages, COLOURS, strict=False):
        seen = page.picture().convert("RGB").getpixel((140, 70))
        assert all(abs(one - other) < 8 for one, other in zip(seen, colour, strict=True))


def test_a_page_is_no_longer_than_what_is_sent(three: Path) -> None:
    (page,) = pdf_pages(three, ImageLimits(max_side=100), at_most=1)
    assert max(page.width, page.height) == 100


def test_many_at_once_are_all_read(three: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: pdf_pages(three, ImageLimits(), at_most=3), range(6)))
    assert [[page.sha256 for page in pages] for pages in found] == [[page.sha256 for page in found[0]]] * 6


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_what_is_no_pdf_is_told(three: Path, damage: str) -> None:
    data = {"truncated": three.read_bytes()[:200], "empty": b"%PDF-1.7\n%%EOF", "text": b"hello"}[damage]
    three.write_bytes(data)
    with pytest.raises(InputError) as told:
        pdf_pages(three, ImageLimits(), at_most=3)
    assert told.value.code == "image_damaged"


def test_one_that_takes_too_long_is_ended(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "SECONDS", 0.0005)  # a process that stands ready is quick
    with pytest.raises(InputError) as told:
        pdf_pages(three, ImageLimits(), at_most=3)
    assert told.value.code == "pdf_slow"
