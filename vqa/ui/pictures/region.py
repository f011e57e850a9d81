"""A box on a picture: checked, cut out, or drawn into it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from vqa.answers import Json
from vqa.errors import InputError
from vqa.media.images import ImageLimits, ImagePayload, boxed, load_image
from vqa.media.treatment import Treatment


@dataclass(frozen=True)
class Box:
    """A part of a picture, in its pixels."""

    left: int
    top: int
    width: int
    height: int


def box_of(values: dict[str, Json], image: ImagePayload) -> Box:
    """Returns the box that the page names, cut down to the picture.

    Raises:
        InputError: it has no area within the picture.
    """
    try:
        left, top, width, height = (round(float(values[name])) for name in ("left", "top", "width", "height"))
    except (KeyError, TypeError, ValueError, OverflowError) as problem:
        raise InputError("region_empty") from problem
    right, bottom = min(left + width, image.width), min(top + height, image.height)
    left, top = max(left, 0), max(top, 0)
    if right <= left or bottom <= top:
        raise InputError("region_empty")
    return Box(left, top, right - left, bottom - top)


def cut_out(
    source: Path, shown: ImagePayload, box: Box, limits: ImageLimits, treatment: Treatment | None = None
) -> ImagePayload:
    """Returns the part of a picture within a box on `shown`, with all the pixels that its file has.

    Raises:
        InputError: the file can no longer be read.
    """
    left, top, right, bottom = _corners(box)
    width, height = shown.width, shown.height
    part = (left / width, top / height, right / width, bottom / height)
    return _named(load_image(source, limits, treatment=treatment, part=part), "region")


def marked(image: ImagePayload, box: Box) -> ImagePayload:
    """Returns the picture with the box drawn into it, in red, along the inside of its edges."""
    return _named(boxed(image, _corners(box)), "marked")


def _corners(box: Box) -> tuple[int, int, int, int]:
    return box.left, box.top, box.left + box.width, box.top + box.height


def _named(image: ImagePayload, word: str) -> ImagePayload:
    return replace(image, given_name=f"{Path(image.given_name).stem or 'picture'}-{word}")
