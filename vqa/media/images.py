"""Any picture a user gives, checked and made ready to send: bytes in, ImagePayload out.

A JPEG, PNG or WebP within the limits goes out byte for byte, so that its hash stays the same from request to request.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
import warnings
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from vqa.errors import InputError
from vqa.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

SENT_AS_GIVEN = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
CONVERTED = ("GIF", "BMP", "TIFF", "HEIF", "AVIF", "ICO", "PPM")
ORIENTATION = 0x0112
JPEG_QUALITY = 95


@dataclass(frozen=True)
class ImageLimits:
    """What is accepted and how large it may go out."""

    max_bytes: int = 20_000_000
    max_pixels: int = 50_000_000
    max_side: int = 4096
    """Pixels; a longer picture is scaled down."""

    @classmethod
    def of(cls, settings: Settings) -> ImageLimits:
        """Returns the limits that the settings give."""
        return cls(settings.max_image_bytes, settings.max_image_pixels, settings.max_image_side)


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
    """Text keys that say what was changed, such as `images.scaled`; empty when it goes out byte for byte."""

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the bytes sent, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def data_url(self) -> str:
        """The bytes sent, as a base64 data URL with their MIME type."""
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}"

    def picture(self) -> PILImage:
        """Returns the picture, decoded from the bytes that are sent."""
        return Image.open(io.BytesIO(self.data))

    def thumbnail(self, side: int = 256) -> bytes:
        """Returns a PNG of the picture, at most `side` pixels wide and high."""
        small = self.picture()
        small.thumbnail((side, side))
        out = io.BytesIO()
        small.convert("RGBA" if "A" in small.getbands() else "RGB").save(out, "PNG")
        return out.getvalue()


def resized(image: ImagePayload, side: int) -> ImagePayload:
    """Returns the picture with its longest side at most `side` pixels, and a note that says so; else as it is."""
    if max(image.width, image.height) <= side:
        return image
    picture = image.picture()
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    data, mime = encoded(picture, as_jpeg=image.mime == "image/jpeg")
    notes = (*image.notes, *(("images.resized",) if "images.resized" not in image.notes else ()))
    return replace(image, data=data, mime=mime, width=picture.width, height=picture.height, notes=notes)


def load_image(source: str | Path | bytes, limits: ImageLimits | None = None, *, name: str = "") -> ImagePayload:
    """Returns the payload of a file or of bytes; web addresses are fetched by `vqa.media.fetch`.

    Raises:
        InputError: missing, empty, too large, not a picture, damaged, or a decompression bomb.
    """
    limits = limits or ImageLimits()
    if isinstance(source, bytes):
        data, name = source, name or "image"
    else:
        data, name = _read(Path(source), limits, name), name or Path(source).name
    if not data:
        raise InputError("image_empty", name=name)
    if len(data) > limits.max_bytes:
        raise _too_large(name, len(data), limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _prepare(data, name, limits)
    except InputError:
        raise
    except UnidentifiedImageError as problem:
        raise InputError("image_not_a_picture", name=name) from problem
    except Image.DecompressionBombError as problem:
        raise InputError("image_too_many_pixels", name=name, limit=limits.max_pixels // 1_000_000) from problem
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError, MemoryError) as problem:
        # Pillow's decoders raise any of these on damaged bytes.
        raise InputError("image_damaged", name=name, reason=str(problem) or type(problem).__name__) from problem
    except Exception as problem:
        # A plug-in's own error classes (struct.error, zlib.error, …) say nothing more to a user.
        raise InputError("image_damaged", name=name, reason=type(problem).__name__) from problem


def _read(path: Path, limits: ImageLimits, name: str) -> bytes:
    try:
        if not path.is_file():
            raise InputError("image_missing", path=name or path)
        if (size := path.stat().st_size) > limits.max_bytes:
            raise _too_large(name or path.name, size, limits)
        with path.open("rb") as file:
            return file.read(limits.max_bytes + 1)
    except OSError as problem:
        raise InputError("image_unreadable", path=name or path, reason=problem.strerror) from problem


def _too_large(name: str, size: int, limits: ImageLimits) -> InputError:
    return InputError("image_too_large", name=name, size=_megabytes(size), limit=f"{limits.max_bytes / 1e6:.1f}")


def _prepare(data: bytes, name: str, limits: ImageLimits) -> ImagePayload:
    picture = Image.open(io.BytesIO(data), formats=_formats())
    kind, (width, height) = picture.format or "", picture.size
    if width * height > limits.max_pixels:
        raise InputError("image_too_many_pixels", name=name, limit=limits.max_pixels // 1_000_000)
    turned = picture.getexif().get(ORIENTATION, 1) not in {0, 1}
    frames = 1 if kind == "MPO" else getattr(picture, "n_frames", 1)
    notes = _notes(kind, turned=turned, animated=frames > 1, scaled=max(width, height) > limits.max_side)
    if not notes:
        _decode_fully(picture, kind)
        return ImagePayload(data, SENT_AS_GIVEN[kind], width, height, name, kind, len(data), width, height)
    picture.seek(0)
    picture.load()
    upright = ImageOps.exif_transpose(picture)
    upright.thumbnail((limits.max_side, limits.max_side), Image.Resampling.LANCZOS)
    sent, mime = encoded(upright, as_jpeg=kind in {"JPEG", "MPO"})
    return ImagePayload(sent, mime, *upright.size, name, kind, len(data), width, height, notes)


def _notes(kind: str, *, turned: bool, animated: bool, scaled: bool) -> tuple[str, ...]:
    converted = kind not in SENT_AS_GIVEN
    told = {"converted": converted, "first_frame": animated, "rotated": turned, "scaled": scaled}
    return tuple(f"images.{note}" for note, true in told.items() if true)


def _decode_fully(picture: ImageFile.ImageFile, kind: str) -> None:
    """Decodes to the last byte, so that a truncated file is found here; JPEG at an eighth of the cost."""
    if kind in {"JPEG", "MPO"}:
        picture.draft("L", (max(1, picture.width // 8), max(1, picture.height // 8)))
    picture.load()


def encoded(picture: PILImage, *, as_jpeg: bool) -> tuple[bytes, str]:
    """Returns the bytes of a picture and their MIME type: JPEG in best quality, or PNG."""
    out = io.BytesIO()
    if as_jpeg:
        picture.convert("RGB").save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        return out.getvalue(), "image/jpeg"
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    picture.convert(mode).save(out, "PNG", compress_level=4)
    return out.getvalue(), "image/png"


@cache
def _formats() -> tuple[str, ...]:
    """Returns the formats to open; HEIC and HEIF too where the optional plug-in `pillow-heif` is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        pass
    else:
        register_heif_opener()
    Image.init()
    return tuple(kind for kind in (*SENT_AS_GIVEN, *CONVERTED) if kind in Image.OPEN)


def _megabytes(count: int) -> str:
    return f"{math.ceil(count / 1e5) / 10:.1f}"
