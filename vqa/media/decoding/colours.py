"""Colours as a model will take them: converted to sRGB, and transparent parts on something that they show up on. Pure.

The engine ignores colour profiles and puts what is transparent onto white; other servers onto black. Both are settled
here, so that what is shown is what every one of them sees.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from vqa.media.decoding.primaries import SAME, converted, exponent_of, matrix_of
from vqa.media.notes import note

GRAYS = {"white": (255, 255, 255), "black": (0, 0, 0), "gray": (128, 128, 128)}
LOST = 48
"""Levels of 255 by which an edge must differ from what is behind it, to be seen."""
BEARABLE = 0.2
"""The share of edges that may be lost on white, before another background is taken."""
LOOKED_AT = 1024
"""Pixels of the longest side of the copy on which edges are looked for."""


@lru_cache(maxsize=32)
def _differs(profile: bytes, mode: str) -> bool | None:
    """Returns whether a profile is another than sRGB; None where it is none for such a picture."""
    made = _transform(profile, mode)
    if made is None or mode not in {"L", "RGB"}:
        return None if made is None else True
    if mode == "L":
        probe = Image.frombytes("L", (256, 1), bytes(range(256)))
    else:
        steps = np.linspace(0, 255, 6).round().astype(np.uint8)
        probe = Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(12, 18, 3))
    seen = ImageCms.applyTransform(probe, made)
    difference = np.abs(np.asarray(seen, int) - np.asarray(probe.convert("RGB"), int))
    return bool(difference.max() > SAME)


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> Any:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
        return ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def needs_conversion(picture: Image.Image) -> bool:
    """Returns whether a picture's colours mean something else than sRGB."""
    if exponent_of(picture.info) != 1 or (_base(picture) == "RGB" and matrix_of(picture.info) is not None):
        return True
    return picture.mode == "LAB" or (bool(_profile(picture)) and _differs(_profile(picture), _base(picture)) is True)


def _profile(picture: Image.Image) -> bytes:
    if picture.mode == "LAB":
        return b""
    return bytes(picture.info.get("icc_profile") or b"")


def _base(picture: Image.Image) -> str:
    return {"1": "L", "L": "L", "LA": "L", "CMYK": "CMYK", "LAB": "LAB"}.get(picture.mode, "RGB")


def to_srgb(picture: Image.Image) -> Image.Image:
    """Returns the picture with its colours converted to sRGB and no profile, its transparency kept."""
    profile, base = _profile(picture), _base(picture)
    alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
    plain = picture if picture.mode == base else picture.convert(base)
    exponent, matrix = exponent_of(picture.info), matrix_of(picture.info)
    made: Image.Image | None
    if exponent != 1 or matrix is not None:
        made = converted(plain, exponent, matrix)
    else:
        made = ImageCms.applyTransform(plain, _transform(profile, base))
    if made is None:
        return picture
    made.info = {}
    if alpha is not None:
        made.putalpha(alpha)
    return made


def is_transparent(picture: Image.Image) -> bool:
    """Returns whether any pixel lets something through."""
    if not picture.has_transparency_data:
        return False
    alpha = (picture if picture.mode in {"RGBA", "LA"} else picture.convert("RGBA")).getchannel("A")
    return bool(alpha.getextrema()[0] < 255)  # type: ignore[operator]


def on_background(picture: Image.Image, background: str) -> tuple[Image.Image, str]:
    """Returns the picture in RGB on a background (`auto`, a name of `GRAYS`, or #rrggbb), and the note on it."""
    drawn = picture.convert("RGBA")
    chosen = _seen_on(drawn) if background == "auto" else background
    colour = GRAYS.get(chosen) or tuple(int(chosen[at : at + 2], 16) for at in (1, 3, 5))
    behind = Image.new("RGBA", drawn.size, (*colour, 255))
    behind.alpha_composite(drawn)
    told = note(f"on_{chosen}") if chosen in GRAYS else note("on_colour", colour=chosen)
    return behind.convert("RGB"), told


def _seen_on(drawn: Image.Image) -> str:
    """Returns the background on which most of the edges against it can be seen: white, unless it hides too many."""
    small = drawn.copy()
    small.thumbnail((LOOKED_AT, LOOKED_AT), Image.Resampling.BOX)
    pixels = np.asarray(small).astype(np.float32)
    alpha = pixels[..., 3]
    inked = alpha > alpha.max() / 4
    clear = np.pad(alpha <= alpha.max() / 8, 2, constant_values=False)
    height, width = alpha.shape
    near = np.zeros_like(inked)
    for down in range(5):
        for right in range(5):
            near |= clear[down : down + height, right : right + width]
    edge = inked & near if (inked & near).any() else inked
    if not edge.any():
        return "white"
    share = alpha[edge][:, None] / 255
    lost = {}
    for name, colour in GRAYS.items():
        contrast = np.abs(pixels[edge][:, :3] - np.array(colour, np.float32)) * share
        lost[name] = float((contrast.max(axis=1) < min(LOST, alpha.max() / 4)).mean())
    return "white" if lost["white"] <= BEARABLE else min(lost, key=lambda name: lost[name])
