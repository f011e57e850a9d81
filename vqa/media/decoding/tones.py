"""From samples of more than eight bits, or of floating point, to the eight bits that a model is sent. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vqa.media.decoding.values import RefusedError
from vqa.media.notes import note

Samples = npt.NDArray[np.generic]
OUTLIERS = (0.1, 99.9)
"""Percentiles beyond which samples are left out where they alone would leave the rest an eighth of the range."""
ROBUST = (1.0, 99.0)
CROWDED = 8
MOST_SORTED = 2_000_000
"""Samples of which percentiles are taken; of more, each so-many-th."""
WINDOW = re.compile(r"window[\s_-]*(center|centre|level|width)\W{1,4}(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)", re.IGNORECASE)
"""How programs write DICOM's (0028,1050) and (0028,1051) into other files."""


@dataclass(frozen=True)
class Deep:
    """A picture before it has eight bits."""

    values: Samples
    """Of shape (height, width) in gray, or (height, width, 3) in colour."""
    full: tuple[float, float]
    """The least and the greatest value that its type can hold; 0 and 1 in floating point."""
    alpha: Samples | None = None
    """Of shape (height, width), in the same type."""
    inverted: bool = False
    """Whether the least value is white."""
    window: tuple[float, float] | None = None
    """The values that the file itself names for black and white."""
    turn: int = 1
    """EXIF's orientation."""
    meaning: Mapping[str, Any] = field(default_factory=dict)
    """What the file says about its colours, as Pillow's `info` holds it: a profile, an exponent."""
    multiplied: bool = False
    """Whether the values have been multiplied by `alpha` already."""


def full_range(values: Samples, bits: int = 0) -> tuple[float, float]:
    """Returns the least and the greatest value of the samples' type, of so many bits where fewer are used."""
    if values.dtype.kind == "f":
        return 0.0, 1.0
    if values.dtype.kind not in "iu":
        raise RefusedError("image_kind_unsupported", kind=str(values.dtype))
    if bits and values.dtype.kind == "u":
        return 0.0, float(2**bits - 1)
    return float(np.iinfo(values.dtype).min), float(np.iinfo(values.dtype).max)  # type: ignore[type-var]


def window_of(text: str) -> tuple[float, float] | None:
    """Returns the values for black and white that a file's text names by a DICOM window's centre and width."""
    found = {name.lower(): float(value) for name, value in WINDOW.findall(text)}
    center = found.get("center", found.get("centre", found.get("level")))
    width = found.get("width")
    return None if center is None or not width or width <= 0 else (center - width / 2, center + width / 2)


def to_eight(deep: Deep, tones: str) -> tuple[Image.Image, str]:
    """Returns the picture in L, RGB, LA or RGBA, and the note that says how it was scaled."""
    (low, high), how = _range(deep, tones)
    share = deep.alpha if deep.multiplied else None
    values = _scaled(deep.values, low, high, share, deep.full[1])
    if deep.inverted:
        values = 255 - values
    picture = Image.fromarray(values)
    if deep.alpha is not None:
        picture.putalpha(Image.fromarray(_scaled(deep.alpha, *deep.full)))
    picture.info.update(deep.meaning)
    return picture, note(f"toned_{how}", low=_figure(low), high=_figure(high))


def _range(deep: Deep, tones: str) -> tuple[tuple[float, float], str]:
    if ":" in tones:
        low, _, high = tones.partition(":")
        return (float(low), float(high)), "chosen"
    if tones == "full":
        return deep.full, "full"
    if tones == "auto" and deep.window is not None:
        return deep.window, "window"
    finite = _some(deep.values)
    if not finite.size:
        return deep.full, "full"
    least, most = (float(end) for end in (np.min(finite), np.max(finite)))
    if least == most:
        return deep.full, "full"
    if tones == "robust":
        return _percentiles(finite, ROBUST, (least, most)), "robust"
    if tones == "auto" and (deep.values.ndim == 3 or deep.meaning.get("icc_profile")):
        # Photographs have all of the range, and their black is no matter of the darkest pixel.
        top = deep.full[1]
        return (deep.full, "full") if top / 2 <= most <= top and least >= deep.full[0] else ((0.0, most), "range")
    if tones == "auto":
        inner = _percentiles(finite, OUTLIERS, (least, most))
        if 0 < (inner[1] - inner[0]) * CROWDED < most - least:
            return inner, "outliers"
    return (least, most), "range"


def _some(values: Samples) -> npt.NDArray[np.float64]:
    """Returns the finite samples; the ends of all, and evenly taken ones between, where they are very many."""
    flat = values.reshape(-1)
    if values.dtype.kind == "f":
        flat = flat[np.isfinite(flat)]
    if flat.size > MOST_SORTED:
        ends = np.array([flat.min(), flat.max()], dtype=flat.dtype)
        flat = np.concatenate([flat[:: flat.size // MOST_SORTED + 1], ends])
    return flat.astype(np.float64)


def _percentiles(
    samples: npt.NDArray[np.float64], ends: tuple[float, float], otherwise: tuple[float, float]
) -> tuple[float, float]:
    low, high = (float(value) for value in np.percentile(samples, ends))
    return (low, high) if high > low else otherwise


def _scaled(
    values: Samples, low: float, high: float, share: Samples | None = None, whole: float = 1.0
) -> npt.NDArray[np.uint8]:
    """Returns the samples in eight bits, `low` as 0 and `high` as 255; what is no number is black. In strips, to
    need little memory.

    Samples that hold only their pixel's `share` of `whole` are given all of it.
    """
    out = np.empty(values.shape, np.uint8)
    factor = 255.0 / (high - low if high != low else 1.0)
    step = max(1, 4_000_000 // max(1, values[:1].size))
    for row in range(0, len(values), step):
        strip = values[row : row + step].astype(np.float64)
        if share is not None:
            part = np.maximum(share[row : row + step].astype(np.float64) / whole, 1e-6)
            strip /= part if strip.ndim == part.ndim else part[..., None]
        strip = (strip - low) * factor
        out[row : row + step] = np.rint(np.clip(np.nan_to_num(strip, nan=0.0, posinf=255.0, neginf=0.0), 0, 255))
    return out


def _figure(value: float) -> str:
    return (
        f"{value:.4g}"
        if abs(value) < 1e4 and value != int(value)
        else f"{value:.0f}"
        if abs(value) < 1e15
        else f"{value:.3g}"
    )


def clipped(picture: Image.Image) -> Image.Image:
    """Returns a picture of more than eight bits with everything above 255 white, as engines read one."""
    values = np.nan_to_num(np.asarray(picture).astype(np.float64), nan=0.0, posinf=255.0, neginf=0.0)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
