"""Other copies of a picture that was made ready: small, stretched, marked, encoded. Pure; runs in the child only."""

from __future__ import annotations

from PIL import Image, ImageDraw

from vqa.media.decoding.prepare import encoded, seen

LINE = "#e11d48"
LINE_SHARE = 160
"""The drawn line is this part of the picture's longest side wide, and never under three pixels."""
Box = tuple[int, int, int, int]


def small(data: bytes, side: int, *, as_jpeg: bool = False) -> tuple[bytes, str, int, int]:
    """Returns a copy at most `side` pixels wide and high, as an engine sees the picture."""
    picture = seen(data, side)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return *encoded(picture, as_jpeg=as_jpeg), *picture.size


def boxed(data: bytes, box: Box, *, as_jpeg: bool) -> tuple[bytes, str, int, int]:
    """Returns the picture with a box (left, top, right, bottom) drawn into it in red, along the inside of its edges."""
    picture = seen(data)
    line = max(3, max(picture.size) // LINE_SHARE)
    left, top, right, bottom = box
    ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), outline=LINE, width=line)
    return *encoded(picture, as_jpeg=as_jpeg), *picture.size


def stretched(data: bytes, size: tuple[int, int], turns: int) -> tuple[bytes, str, int, int]:
    """Returns the picture, turned by so many quarters, as a PNG of exactly that size."""
    picture = seen(data)
    picture = picture.rotate(90 * (turns % 4), expand=True).resize(size, Image.Resampling.LANCZOS)
    return *encoded(picture, as_jpeg=False), *picture.size


def again(data: bytes, level: int) -> tuple[bytes, str, int, int]:
    """Returns the same pixels as a PNG of that compression level (0 to 9)."""
    picture = seen(data)
    return *encoded(picture, as_jpeg=False, level=level), *picture.size
