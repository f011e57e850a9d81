"""Any picture a user gives, checked and made ready to send: bytes in, ImagePayload out.

A JPEG, PNG or WebP that needs nothing goes out byte for byte, so that its hash stays the same from request to request.
Nothing is decoded in this process: see `vqa.media.runner`.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import io
import math
import os
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqa.errors import InputError
from vqa.media.runner import decode, decode_each
from vqa.media.treatment import Treatment
from vqa.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

MAX_TILES = 16
READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""Not blocking: a pipe that nobody writes to would be waited for."""
NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO}


@dataclass(frozen=True)
class ImageLimits:
    """What is accepted and how large it may go out."""

    max_bytes: int = 50_000_000
    max_pixels: int = 64_000_000
    """What may be decoded at once; a JPEG, which is reduced while it is decoded, may have four times as many."""
    max_side: int = 4096
    """Pixels; a longer picture is scaled down."""

    @classmethod
    def of(cls, settings: Settings) -> ImageLimits:
        """Returns the limits that the settings give."""
        return cls(settings.max_image_bytes, settings.max_image_pixels, settings.max_image_side)

    def bounds(self) -> dict[str, int]:
        """Returns what a decoder needs to know of them."""
        return {"max_pixels": self.max_pixels, "max_side": self.max_side}


@dataclass(frozen=True)
class ImagePayload:
    """One picture as it is sent, and what it was when it was given."""

    data: bytes
    mime: str
    width: int
    height: int
    given_name: str = ""
    given_format: str = ""
    given_bytes: int = 0
    given_width: int = 0
    given_height: int = 0
    notes: tuple[str, ...] = ()
    """What was done, as `vqa.media.notes` writes it, such as `images.scaled`; empty when it goes out byte for byte."""

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the bytes sent, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def data_url(self) -> str:
        """The bytes sent, as a base64 data URL with their MIME type."""
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}"

    def picture(self) -> PILImage:
        """Returns the picture, decoded in this process: for pictures of one's own making only."""
        from PIL import Image

        return Image.open(io.BytesIO(self.data))

    def thumbnail(self, side: int = 256) -> bytes:
        """Returns a PNG of what is sent, as an engine sees it, at most `side` pixels wide and high.

        Raises:
            InputError: it cannot be decoded.
        """
        return small_copy(self, side).data

    def facts(self) -> dict[str, Any]:
        """Returns what was given and what is sent, without the bytes, as plain values."""
        kept = {name: value for name, value in asdict(self).items() if name not in {"data", "notes"}}
        return {**kept, "bytes": len(self.data), "sha256": self.sha256, "notes": list(self.notes)}


def load_image(
    source: str | Path | bytes,
    limits: ImageLimits | None = None,
    *,
    name: str = "",
    treatment: Treatment | None = None,
    part: tuple[float, float, float, float] | None = None,
) -> ImagePayload:
    """Returns the payload of a file or of bytes; web addresses are fetched by `vqa.media.fetch`.

    A very long picture comes whole, whatever the treatment says; `load_tiles` cuts it. `part` is what is wanted of the
    picture as it is seen: left, top, right and bottom as shares of its sides, with all the pixels that the file has.

    Raises:
        InputError: missing, empty, too large, not a picture, damaged, or one that ends its decoder.
    """
    whole = replace(treatment or Treatment(), shape="whole")
    return _prepared(source, limits or ImageLimits(), name, whole.check().wanted(1) | {"part": part or ()})[0]


def load_images(
    given: Sequence[tuple[bytes, str]], limits: ImageLimits | None = None
) -> list[ImagePayload | InputError]:
    """Returns the payloads of some small pictures, each bytes and name, or why there is none; as `load_image` would.

    They share one message to a decoder: see `vqa.media.runner.decode_each`.
    """
    if not given:
        return []
    limits = limits or ImageLimits()
    wanted = Treatment(shape="whole").check().wanted(1) | {"part": ()}
    told = {"do": "prepare", "bounds": limits.bounds(), "wanted": wanted}
    made = decode_each([told | {"name": name} for _, name in given], [data for data, _ in given])
    return [
        each if isinstance(each, InputError) else payloads(*each, name=name, given=data)[0]
        for each, (data, name) in zip(made, given, strict=True)
    ]


def load_tiles(
    source: str | Path | bytes,
    limits: ImageLimits | None = None,
    *,
    name: str = "",
    treatment: Treatment | None = None,
    at_most: int = MAX_TILES,
) -> tuple[ImagePayload, ...]:
    """Returns as `load_image` does; of a very long picture its tiles, where the treatment wants them."""
    chosen = (treatment or Treatment()).check()
    return _prepared(source, limits or ImageLimits(), name, chosen.wanted(at_most))


def _prepared(
    source: str | Path | bytes, limits: ImageLimits, name: str, wanted: dict[str, Any]
) -> tuple[ImagePayload, ...]:
    data, name = read_source(source, limits, name)
    return payloads(*decode("prepare", [data], name=name, bounds=limits.bounds(), wanted=wanted), name=name, given=data)


def read_source(source: str | Path | bytes, limits: ImageLimits, name: str = "") -> tuple[bytes, str]:
    """Returns the bytes of a file and its name.

    Raises:
        InputError: it is missing, empty or too large, or cannot be read.
    """
    if isinstance(source, bytes):
        data, name = source, name or "image"
    else:
        data, name = _read(Path(source), limits, name), name or Path(source).name
    if not data:
        raise InputError("image_empty", name=name)
    if len(data) > limits.max_bytes:
        raise _too_large(name, len(data), limits)
    return data, name


def payloads(
    answered: dict[str, Any], blobs: list[bytes], *, name: str, given: bytes | None = None, given_bytes: int = 0
) -> tuple[ImagePayload, ...]:
    """Returns the pictures that a decoder made ready; `given` is sent where it had nothing to do."""
    waiting, made = list(blobs), []
    for row in answered["pictures"]:
        data = waiting.pop(0) if row["data"] else given or b""
        sizes = {key: int(row[key]) for key in ("width", "height", "given_width", "given_height")}
        path = Path(name)
        suffix = ".png" if row["mime"] == "image/png" else path.suffix
        called = f"{path.stem[:60]}{row['name']}{suffix}" if row["name"] else name
        size = given_bytes or len(given or data)
        notes = tuple(str(each) for each in row["notes"])
        made.append(
            ImagePayload(
                data, str(row["mime"]), **sizes, given_name=called, given_format=str(row["format"]), given_bytes=size,
                notes=notes,
            )
        )  # fmt: skip
    return tuple(made)


def _read(path: Path, limits: ImageLimits, name: str) -> bytes:
    # The system's own calls: a data set is read by threads, each of which waits for its turn after every call.
    try:
        opened = os.open(path, READING)
    except (OSError, ValueError) as problem:  # ValueError: a name that no file can have
        if not isinstance(problem, OSError) or problem.errno in NO_FILE:
            raise InputError("image_missing", path=name or path) from problem
        raise InputError("image_unreadable", path=name or path, reason=problem.strerror) from problem
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            raise InputError("image_missing", path=name or path)
        if found.st_size > limits.max_bytes:
            raise _too_large(name or path.name, found.st_size, limits)
        data = os.read(opened, found.st_size)
        while len(data) < found.st_size and (more := os.read(opened, found.st_size - len(data))):
            data += more
        return data
    except OSError as problem:
        raise InputError("image_unreadable", path=name or path, reason=problem.strerror) from problem
    finally:
        os.close(opened)


def _too_large(name: str, size: int, limits: ImageLimits) -> InputError:
    return InputError("image_too_large", name=name, size=_megabytes(size), limit=f"{limits.max_bytes / 1e6:.1f}")


def _megabytes(count: int) -> str:
    return f"{math.ceil(count / 1e5) / 10:.1f}"


Box = tuple[int, int, int, int]


def small_copy(image: ImagePayload, side: int, *, as_jpeg: bool = False) -> ImagePayload:
    """Returns a copy at most `side` pixels wide and high, in sRGB, as an engine sees what is sent."""
    return _copy(image, "small", side=side, as_jpeg=as_jpeg)


def resized(image: ImagePayload, side: int) -> ImagePayload:
    """Returns the picture with its longest side at most `side` pixels, and a note that says so; else as it is."""
    if max(image.width, image.height) <= side:
        return image
    made = small_copy(image, side, as_jpeg=image.mime == "image/jpeg")
    return replace(made, notes=tuple(dict.fromkeys((*image.notes, "images.resized"))))


def boxed(image: ImagePayload, box: Box) -> ImagePayload:
    """Returns the picture with a box (left, top, right, bottom), in its pixels, drawn into it."""
    return _copy(image, "boxed", box=box, as_jpeg=image.mime == "image/jpeg")


def stretched(image: ImagePayload, size: tuple[int, int], turns: int = 0) -> ImagePayload:
    """Returns the picture, turned by so many quarters, as a PNG of exactly `size` (width and height in pixels).

    Raises:
        InputError: it cannot be decoded.
    """
    return _copy(image, "stretched", size=size, turns=turns)


def encoded_again(image: ImagePayload, level: int) -> ImagePayload:
    """Returns the same pixels as a PNG of that compression level (0 to 9): other bytes, other hash."""
    return _copy(image, "again", level=level)


def _copy(image: ImagePayload, do: str, **values: Any) -> ImagePayload:
    answered, (data,) = decode(do, [image.data], name=image.given_name or "image", **values)
    width, height = int(answered["width"]), int(answered["height"])
    return replace(image, data=data, mime=str(answered["mime"]), width=width, height=height)
