"""Finds pictures of more than eight bits and reads their samples as they stand in the file.

Pillow clips them, keeps their upper byte, or takes them for something else: it knows no unsigned 32-bit samples, no
order of the planes and not that the least value is white. So TIFF is read with tifffile, and colour PNG with FFmpeg.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from typing import Any

import numpy as np
from PIL import Image

from vqa.media.decoding.tones import Deep, full_range, window_of
from vqa.media.decoding.values import Bounds, RefusedError

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_START = b"\x89PNG\r\n\x1a\n"
DEEP_MODES = ("I", "F")
MOST_BYTES = 1 << 30
"""Of samples, before they have eight bits."""
GRAYS = ("MINISWHITE", "MINISBLACK")
ORIENTATION, PROFILE = 274, 34675
MULTIPLIED, ALPHA = 1, 2
"""What a TIFF's sample beside the colours may be (tag 338): alpha, by which the colours have been multiplied or not."""
IMAGEJ = re.compile(r"^(min|max)=(-?\d+(?:\.\d+)?)\s*$", re.MULTILINE)


def is_tiff(data: bytes) -> bool:
    """Returns whether the bytes begin as a TIFF does."""
    return data[:4] in TIFF_STARTS


def meaning_of(picture: Image.Image) -> dict[str, Any]:
    """Returns what a picture's file says about its colours."""
    return {
        name: picture.info[name] for name in ("icc_profile", "gamma", "srgb", "chromaticity") if name in picture.info
    }


def _turn(picture: Image.Image) -> int:
    return int(picture.getexif().get(ORIENTATION, 1))


def deep_of(data: bytes, picture: Image.Image) -> Deep | None:
    """Returns the samples of an opened picture that is no TIFF; None where it has eight bits and Pillow is right.

    Raises:
        RefusedError: it has a kind of samples that nothing here can read.
    """
    if data.startswith(PNG_START) and len(data) > 25 and data[24] == 16 and data[25] in {2, 4, 6}:
        return _png(data, picture)
    if not (picture.mode in DEEP_MODES or picture.mode.startswith("I;16")):
        return None
    picture.load()
    values = np.asarray(picture)
    text = " ".join(f"{key}: {value}" for key, value in picture.info.items() if isinstance(value, str | int | float))
    bits = 16 if picture.mode.startswith("I;16") or picture.format == "PPM" else 0
    full = full_range(values.astype(np.uint16) if bits else values)
    key = picture.info.get("transparency")  # one value stands for nothing
    alpha = np.where(values == key, *full).astype(np.float32) if isinstance(key, int) else None
    return Deep(values, full, alpha, window=window_of(text), turn=_turn(picture), meaning=meaning_of(picture))


def _png(data: bytes, picture: Image.Image) -> Deep | None:
    """Returns the samples of a 16-bit PNG in colour or with transparency; None where FFmpeg is not installed."""
    try:
        import av
    except ImportError:
        return None
    with av.open(io.BytesIO(data), format="png_pipe") as container:
        frame = next(container.decode(video=0))
    values = _frame(frame)
    if values is None:
        return None
    picture.load()  # what comes after the pixels, and whether the file is whole
    text = " ".join(f"{key}: {value}" for key, value in picture.info.items() if isinstance(value, str))
    alpha = None
    if values.shape[2] in {2, 4}:
        values, alpha = values[..., :-1], values[..., -1]
    shown = values[..., 0] if values.shape[2] == 1 else values
    turn, meaning = _turn(picture), meaning_of(picture)
    return Deep(shown, (0.0, 65535.0), alpha, window=window_of(text), turn=turn, meaning=meaning)


def _frame(frame: Any) -> np.ndarray[Any, Any] | None:
    channels = {"rgb48be": 3, "rgba64be": 4, "ya16be": 2, "gray16be": 1}.get(frame.format.name)
    if channels is None:
        return None
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(frame.height, plane.line_size)
    packed: np.ndarray[Any, Any] = rows[:, : frame.width * channels * 2].copy()
    samples: np.ndarray[Any, Any] = packed.view(np.dtype(">u2")).reshape(frame.height, frame.width, channels)
    return samples


def tiff_page(data: bytes, index: int, bounds: Bounds) -> Deep | None:
    """Returns the samples of a TIFF's page; None where it has eight bits, so that Pillow reads it right.

    Raises:
        RefusedError: it has a kind of samples or a compression that nothing here can read.
    """
    import tifffile

    try:
        with warnings.catch_warnings(), tifffile.TiffFile(io.BytesIO(data)) as file:
            warnings.simplefilter("ignore")
            page = file.pages[index]
            if page.bitspersample == 8 and page.dtype is not None and page.dtype.kind == "u":
                return None
            if page.bitspersample < 8 or page.photometric.name not in {*GRAYS, "RGB"}:
                return None
            return _tiff_samples(data, index, page, file, bounds)
    except (tifffile.TiffFileError, IndexError, KeyError, AttributeError, TypeError, struct.error):
        return None  # what Pillow makes of it, or says about it, is told


def _tiff_samples(data: bytes, index: int, page: Any, file: Any, bounds: Bounds) -> Deep:
    gray = page.photometric.name in GRAYS
    name = _kind(page)
    if page.imagewidth * page.imagelength > bounds.max_pixels:
        raise RefusedError("image_too_many_pixels", limit=bounds.max_pixels // 1_000_000)
    if page.dtype is None or page.dtype.kind not in "iuf" or page.imagedepth > 1 or page.samplesperpixel > 4:
        raise RefusedError("image_kind_unsupported", kind=name)
    if page.imagewidth * page.imagelength * page.samplesperpixel * page.dtype.itemsize > MOST_BYTES:
        raise RefusedError("image_too_many_pixels", limit=bounds.max_pixels // 1_000_000)
    try:
        values = page.asarray()
    except (ValueError, RuntimeError, ImportError, NotImplementedError):
        values = _by_pillow(data, index, page, name)
    else:
        planes = page.samplesperpixel
        values = values.reshape((planes, page.imagelength, page.imagewidth)) if page.planarconfig == 2 else values
        values = np.moveaxis(values, 0, -1) if page.planarconfig == 2 else values
        values = values.reshape((page.imagelength, page.imagewidth, planes))
    colours = 1 if gray else 3
    if values.shape[2] < colours:
        raise RefusedError("image_kind_unsupported", kind=name)
    extra = int(page.extrasamples[0]) if values.shape[2] > colours and page.extrasamples else 0
    alpha = values[..., colours] if extra in {MULTIPLIED, ALPHA} else None
    shown = values[..., 0] if gray else values[..., :3]
    bits = page.bitspersample if page.dtype.kind == "u" else 0
    inverted = page.photometric.name == "MINISWHITE"
    turn = page.tags[ORIENTATION].value if ORIENTATION in page.tags else 1
    meaning = {"icc_profile": bytes(page.tags[PROFILE].value)} if PROFILE in page.tags else {}
    return Deep(
        shown, full_range(shown, bits), alpha, inverted, _tiff_window(page, shown), int(turn), meaning,
        multiplied=extra == MULTIPLIED,
    )  # fmt: skip


def kind_of(data: bytes) -> str:
    """Returns what kind of samples a TIFF's first page has, in its own words; empty where that cannot be told."""
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return _kind(file.pages[0])
    except (tifffile.TiffFileError, IndexError, KeyError, AttributeError, TypeError, ValueError, struct.error):
        return ""


def _kind(page: Any) -> str:
    samples = f"{page.samplesperpixel} × {page.bitspersample} bit"
    return f"TIFF, {page.photometric.name}, {samples}, {page.compression.name}"


def _by_pillow(data: bytes, index: int, page: Any, name: str) -> np.ndarray[Any, Any]:
    """Returns the samples of a compressed page in gray, which Pillow reads through libtiff."""
    if page.samplesperpixel == 1:
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as picture:
            picture.seek(index)
            picture.load()
            values = np.asarray(picture)
        if values.dtype.itemsize == page.dtype.itemsize and values.ndim == 2:
            same: np.ndarray[Any, Any] = values.view(page.dtype.newbyteorder("="))
            return same[..., None]
        if values.ndim == 2 and page.dtype.kind != "u":
            return values[..., None]
    raise RefusedError("image_kind_unsupported", kind=name)


def _tiff_window(page: Any, values: np.ndarray[Any, Any]) -> tuple[float, float] | None:
    """Returns the black and the white that a page's tags name, where they are narrower than its type."""
    text = str(page.description or "")
    if found := window_of(text):
        return found
    if text.startswith("ImageJ"):
        ends = {name: float(value) for name, value in IMAGEJ.findall(text)}
        if ends.get("min", 0.0) < ends.get("max", 0.0):
            return ends["min"], ends["max"]
    for least, most in ((340, 341), (280, 281)):
        low, high = (page.tags[tag].value if tag in page.tags else None for tag in (least, most))
        low, high = (one[0] if isinstance(one, tuple) and one else one for one in (low, high))
        if isinstance(low, int | float) and isinstance(high, int | float) and low < high:
            whole = full_range(values)
            if values.dtype.kind != "f" and (low, high) != whole and low >= whole[0] and high <= whole[1]:
                return float(low), float(high)
    return None


def tiff_pages(data: bytes) -> list[int]:
    """Returns the places of a TIFF's pages, without the small copies and masks that stand among them (tag 254)."""
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            found = [place for place, page in enumerate(file.pages) if not int(page.subfiletype) & 5]
    except (tifffile.TiffFileError, IndexError, KeyError, AttributeError, TypeError, ValueError, struct.error):
        found = []
    return found or [0]
