"""Bytes of one picture in, what is sent of it out: as given where it is plain, else with notes on what was done.

A JPEG, PNG or WebP that needs nothing goes out byte for byte, so that its hash stays the same from request to request.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from vqa.media.decoding import colours, jpeg, opening, png, shapes, tones
from vqa.media.decoding.deep import deep_of, is_tiff, kind_of, tiff_page, tiff_pages
from vqa.media.decoding.values import SENT_AS_GIVEN, Bounds, Ready, RefusedError
from vqa.media.notes import note

ORIENTATION = 0x0112
JPEG_QUALITY = 95
JPEGS = {"JPEG", "MPO"}
JPEG_FACTOR = 4
"""So many times the pixels may a JPEG have that is reduced while it is decoded: its decoder holds them compressed."""
MARGIN = 1.05
"""Sensors of 50 megapixels have up to 50.4 million."""
_T = Image.Transpose
TURNS = {
    2: _T.FLIP_LEFT_RIGHT, 3: _T.ROTATE_180, 4: _T.FLIP_TOP_BOTTOM, 5: _T.TRANSPOSE, 6: _T.ROTATE_270,
    7: _T.TRANSVERSE, 8: _T.ROTATE_90,
}  # fmt: skip
"""What turns a picture upright, for each value of EXIF's orientation."""


@dataclass(frozen=True)
class Wanted:
    """How a picture is to be made ready, as `vqa.media.treatment.Treatment`."""

    tones: str = "auto"
    background: str = "auto"
    shape: str = "whole"
    at_most: int = 1
    """Tiles."""
    part: Sequence[float] = ()
    """Left, top, right and bottom of what is wanted of the picture as it is seen, as shares of its sides."""


def prepare(data: bytes, name: str, bounds: Bounds, wanted: Wanted) -> list[Ready]:
    """Returns the picture ready to send, or its tiles; data are missing from one that goes out as it was given.

    Raises:
        RefusedError: it is no picture, too large, or of a kind that nothing here reads right.
        OSError, ValueError, …: it is damaged (`opening.DAMAGE`).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _prepare(data, name, bounds, wanted)


def _prepare(data: bytes, name: str, bounds: Bounds, wanted: Wanted) -> list[Ready]:
    found: list[_Decoded] = []

    def decode(attempt: bytes) -> None:
        found[:] = [_decoded(attempt, name, bounds, wanted)]

    data, mended = opening.mended(data, name, decode)
    one = found[0]
    one.notes[:0] = [note(each) for each in mended]
    if one.picture is None:
        sent = data if mended else None
        mime = SENT_AS_GIVEN[one.kind]
        return [Ready(one.width, one.height, tuple(one.notes), sent, mime, one.kind, one.width, one.height)]
    picture, size = one.picture, (one.width, one.height)
    if wanted.part:
        picture = picture.crop(_corners(picture, wanted.part))
        size = picture.size
    made = sent_of(picture, size, bounds, wanted, one.notes, as_jpeg=one.kind in JPEGS)
    return [replace(each, format=one.kind, given_width=one.width, given_height=one.height) for each in made]


def _corners(picture: Image.Image, part: Sequence[float]) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(share * picture.size[n % 2]) for n, share in enumerate(part))
    left, top = min(left, picture.width - 1), min(top, picture.height - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)


@dataclass
class _Decoded:
    """A picture after decoding; `picture` is missing where it goes out as it was given."""

    kind: str
    width: int
    height: int
    """Of the file, in pixels."""
    notes: list[str]
    picture: Image.Image | None


def _decoded(data: bytes, name: str, bounds: Bounds, wanted: Wanted) -> _Decoded:
    if is_tiff(data) and (samples := tiff_page(data, tiff_pages(data)[0], bounds)) is not None:
        return _toned(samples, "TIFF", _pages_note(data), wanted)
    picture = opened(data, name)
    kind, (width, height) = picture.format or "", picture.size
    scale = _check(picture, kind, bounds, max(picture.size) if wanted.part else bounds.max_side)
    notes = _notes(picture, kind, data)
    long = max(width, height) > bounds.max_side
    whole = not long and not wanted.part and not _tiled(picture.size, bounds, wanted)
    plain = not notes and whole and not colours.needs_conversion(picture)
    if kind == "PNG" and plain and not picture.has_transparency_data and png.is_whole(data) and not _turned(picture):
        return _Decoded(kind, width, height, _extreme((width, height), (width, height), bounds), None)
    if kind in JPEGS and plain and picture.getexif().get(ORIENTATION, 1) not in TURNS and jpeg.is_usual(data):
        # Read to its last byte, so that a truncated one is found here, at an eighth of the cost.
        jpeg.draft(picture, jpeg.EIGHTH)
        picture.load()
        return _Decoded(kind, width, height, _extreme((width, height), (width, height), bounds), None)
    if (deep := deep_of(data, picture)) is not None:
        return _toned(deep, kind, notes, wanted)
    jpeg.draft(picture, scale)
    turn = loaded(picture, notes)
    shown: Image.Image = picture
    if kind in JPEGS and not jpeg.is_usual(data):
        notes.append(note("unusual_jpeg"))
    shown = finished(shown, turn, notes, wanted)
    if not notes and whole:
        return _Decoded(kind, width, height, _extreme((width, height), (width, height), bounds), None)
    return _Decoded(kind, width, height, notes, shown)


def _turned(picture: Image.Image) -> bool:
    """Returns whether what stands before a PNG's pixels turns it; to look behind them would decode it."""
    return Image.Image.getexif(picture).get(ORIENTATION, 1) in TURNS


def opened(data: bytes, name: str) -> Image.Image:
    """Returns the picture, not decoded yet; of a TIFF that Pillow does not know it is said what it holds."""
    try:
        return opening.opened(data, name)
    except RefusedError:
        if is_tiff(data) and (kind := kind_of(data)):
            raise RefusedError("image_kind_unsupported", kind=kind) from None
        raise


def loaded(picture: Image.Image, notes: list[str]) -> int:
    """Decodes a picture and returns EXIF's orientation if it is still to be turned: Pillow turns a TIFF by itself."""
    turn = picture.getexif().get(ORIENTATION, 1)
    picture.load()
    left = int(picture.getexif().get(ORIENTATION, 1))
    if left != turn and turn in TURNS:
        notes.append(note("rotated"))
    return left


def _toned(samples: tones.Deep, kind: str, notes: list[str], wanted: Wanted) -> _Decoded:
    shown, told = tones.to_eight(samples, wanted.tones)
    width, height = shown.size
    notes.append(told)
    return _Decoded(kind, width, height, notes, finished(shown, samples.turn, notes, wanted))


def finished(picture: Image.Image, orientation: int, notes: list[str], wanted: Wanted) -> Image.Image:
    """Returns the picture upright, in sRGB, nothing of it transparent; adds notes on what was done."""
    if orientation in TURNS:
        notes.append(note("rotated"))
        picture = picture.transpose(TURNS[orientation])
    return coloured(picture, notes, wanted)


def _check(picture: Image.Image, kind: str, bounds: Bounds, side: int) -> int:
    """Returns by how much to reduce while decoding, where so many pixels of the longer side are needed.

    Raises:
        RefusedError: it has too many pixels even so.
    """
    width, height = picture.size
    most = round(bounds.max_pixels * MARGIN)
    scale = jpeg.scale_for(width, height, side, most) if kind in JPEGS else 1
    if width * height > (most * JPEG_FACTOR if kind in JPEGS else most):
        limit = bounds.max_pixels * (JPEG_FACTOR if kind in JPEGS else 1) // 1_000_000
        raise RefusedError("image_too_many_pixels", limit=limit)
    return scale


def _notes(picture: Image.Image, kind: str, data: bytes) -> list[str]:
    notes = [] if kind in SENT_AS_GIVEN else [note("converted")]
    if is_tiff(data):
        return _pages_note(data)
    pictures = getattr(picture, "n_frames", 1)
    if kind == "HEIF" and pictures > 1:
        notes.append(note("main_picture", pictures=pictures))  # it is open already, and need not be the first
    elif kind != "MPO" and pictures > 1:
        notes.append(note("first_frame"))
        # A PNG may hold a picture for programs that show no animations; everybody else begins after it.
        picture.seek(1 if getattr(picture, "default_image", False) else 0)
    return notes


def _pages_note(data: bytes) -> list[str]:
    pages = len(tiff_pages(data))
    return [note("converted"), *([note("page", page=1, pages=pages)] if pages > 1 else [])]


def coloured(picture: Image.Image, notes: list[str], wanted: Wanted) -> Image.Image:
    """Returns the picture in sRGB, nothing of it transparent; adds notes on what was done."""
    if colours.needs_conversion(picture):
        picture = colours.to_srgb(picture)
        notes.append(note("srgb"))
    if colours.is_transparent(picture):
        picture, told = colours.on_background(picture, wanted.background)
        notes.append(told)
    return picture


def sent_of(
    picture: Image.Image, given: tuple[int, int], bounds: Bounds, wanted: Wanted, notes: list[str], *, as_jpeg: bool
) -> list[Ready]:
    """Returns a decoded picture as it is sent: whole and scaled down, or in tiles."""
    if picture.mode not in {"L", "RGB"}:
        # Of lines one pixel wide nearly half would vanish if they were scaled in black and white, or in a palette.
        picture = picture.convert("L" if picture.mode in {"1", "LA"} else "RGB")
    if _tiled(picture.size, bounds, wanted):
        boxes = shapes.tiles(*picture.size, bounds.max_side, wanted.at_most)
        return [
            _one(picture.crop(box), bounds, [*notes, note("tile", n=n, total=len(boxes))], as_jpeg, f" {n}")
            for n, box in enumerate(boxes, 1)
        ]
    if (given[0] < given[1]) != (picture.width < picture.height):
        given = given[::-1]  # it was turned
    size = shapes.fitted(*given, bounds.max_side)
    told = [note("scaled")] if size != given else []
    return [_one(picture, bounds, [*notes, *told, *_extreme(given, size, bounds)], as_jpeg, "", size)]


def _tiled(size: tuple[int, int], bounds: Bounds, wanted: Wanted) -> bool:
    return wanted.shape == "tiles" and shapes.is_extreme(*size, bounds.max_side)


def _extreme(given: tuple[int, int], sent: tuple[int, int], bounds: Bounds) -> list[str]:
    if not shapes.is_extreme(*given, bounds.max_side):
        return []
    return [note("extreme", ratio=f"{shapes.ratio(*given):.0f}", short=min(sent), given=min(given))]


def _one(
    picture: Image.Image,
    bounds: Bounds,
    notes: list[str],
    as_jpeg: bool,
    name: str,
    size: tuple[int, int] | None = None,
) -> Ready:
    if size is None:
        size = shapes.fitted(*picture.size, bounds.max_side)
        notes = [*notes, note("scaled")] if size != picture.size else notes
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    data, mime = encoded(picture, as_jpeg=as_jpeg)
    return Ready(*picture.size, tuple(dict.fromkeys(notes)), data, mime, name=name)


def encoded(picture: Image.Image, *, as_jpeg: bool, level: int = 4) -> tuple[bytes, str]:
    """Returns the bytes of a picture and their MIME type: JPEG in best quality, or PNG; without a profile or EXIF."""
    out = io.BytesIO()
    kept: dict[str, Any] = {"icc_profile": None}
    if as_jpeg:
        picture.convert("RGB").save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0, **kept)
        return out.getvalue(), "image/jpeg"
    plain = picture.convert("RGB")
    plain.info = {}
    plain.save(out, "PNG", compress_level=level)
    return out.getvalue(), "image/png"


def seen(data: bytes, side: int = 0) -> Image.Image:
    """Returns a picture that was sent, in RGB as an engine sees it: no profile, clear parts on white, and what has
    more than eight bits cut off above; reduced while decoding where `side` pixels are enough.
    """
    picture = opening.opened(data, "")
    if picture.format in JPEGS and side:
        width, height = picture.size
        scale = 1
        while scale < jpeg.EIGHTH and max(width, height) // (2 * scale) >= side:
            scale *= 2
        jpeg.draft(picture, scale)
    picture.load()
    picture.info.pop("icc_profile", None)
    if picture.mode in {"I", "F"} or picture.mode.startswith("I;16"):
        picture = tones.clipped(picture)
    if picture.has_transparency_data:
        picture = colours.on_background(picture, "white")[0]
    return picture.convert("RGB")
