"""Opens what may be a picture of any kind known here, and mends what stands beside whole pixels."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import PurePath

from PIL import Image, UnidentifiedImageError

from vqa.media.decoding import jpeg, png, primaries
from vqa.media.decoding.values import SENT_AS_GIVEN, RefusedError

CONVERTED = ("GIF", "BMP", "TIFF", "HEIF", "AVIF", "ICO", "PPM", "JPEG2000", "QOI")
TGA_SUFFIXES = {".tga", ".icb", ".vda", ".vst"}
TGA_FOOTER = b"TRUEVISION-XFILE.\0"
DAMAGE = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError)
"""What Pillow's decoders raise on damaged bytes."""
JPEG_START = b"\xff\xd8\xff"


@cache
def formats() -> tuple[str, ...]:
    """Returns the formats to open; HEIC and HEIF too where `pillow-heif` can be loaded."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        pass
    else:
        register_heif_opener()
    Image.init()
    Image.MAX_IMAGE_PIXELS = None  # each is measured here before it is decoded
    return tuple(kind for kind in (*SENT_AS_GIVEN, *CONVERTED) if kind in Image.OPEN)


def opened(data: bytes, name: str) -> Image.Image:
    """Returns the picture, not decoded yet.

    Raises:
        RefusedError: it is no picture known here.
    """
    kinds = formats()
    if PurePath(name).suffix.lower() in TGA_SUFFIXES or data.endswith(TGA_FOOTER):
        kinds = (*kinds, "TGA")  # has no mark at its beginning, so that words may pass for one
    try:
        picture = Image.open(io.BytesIO(data), formats=kinds)
    except UnidentifiedImageError as problem:
        raise RefusedError("image_not_a_picture") from problem
    if named := primaries.named_by_code(data, picture.format or ""):
        picture.info["chromaticity"] = named
    return picture


def mended(data: bytes, name: str, decode: Callable[[bytes], None]) -> tuple[bytes, tuple[str, ...]]:
    """Returns the data, with a missing end put in or huge texts taken out, and what was done; decodes them to the end.

    Raises:
        RefusedError: it is no picture, or pixels are missing.
    """
    try:
        decode(data)
        if data.startswith(png.START) and not png.has_end(data):
            return png.without_texts(data), ("end_added",)
        return data, ()
    except DAMAGE as problem:
        attempt, done = None, ""
        if data.startswith(JPEG_START):
            attempt, done = jpeg.with_end(data), "end_added"
        elif data.startswith(png.START):
            attempt, done = png.without_texts(data), "texts_dropped" if png.has_end(data) else "end_added"
        if attempt is None or attempt == data:
            raise
        try:
            decode(attempt)
        except DAMAGE:
            raise problem from None
        return attempt, (done,)
