"""A box on a picture: checked, cut out, or drawn into it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from PIL import ImageDraw

from vqa.answers import Json
from vqa.errors import InputError
from vqa.media.images import ImagePayload, encoded

LINE = "#e11d48"
LINE_SHARE = 160
"""The drawn line is this part of the picture's longest side wide, and never under three pixels."""


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


def cut_out(image: ImagePayload, box: Box) -> ImagePayload:
    """Returns the part of the picture within the box."""
    part = image.picture().crop((box.left, box.top, box.left + box.width, box.top + box.height))
    return _made(image, *encoded(part, as_jpeg=image.mime == "image/jpeg"), (box.width, box.height), "region")


def marked(image: ImagePayload, box: Box) -> ImagePayload:
    """Returns the picture with the box drawn into it, in red, along the inside of its edges."""
    picture = image.picture().convert("RGB")
    line = max(3, max(picture.size) // LINE_SHARE)
    corners = (box.left, box.top, box.left + box.width - 1, box.top + box.height - 1)
    ImageDraw.Draw(picture).rectangle(corners, outline=LINE, width=line)
    return _made(image, *encoded(picture, as_jpeg=image.mime == "image/jpeg"), picture.size, "marked")


def _made(image: ImagePayload, data: bytes, mime: str, size: tuple[int, int], word: str) -> ImagePayload:
    name = f"{Path(image.given_name).stem or 'picture'}-{word}"
    return replace(image, data=data, mime=mime, width=size[0], height=size[1], given_name=name, notes=())
