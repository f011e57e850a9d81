"""Colours that a file names without a profile: PNG's gAMA and cHRM, and the code points of HEIC. Pure.

Formulas: PNG (W3C, third edition), annex C and D; matrices between primaries after SMPTE RP 177.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float64]
SCREEN = 2.2
"""The exponent of a screen, as gAMA is meant for one."""
SRGB = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
"""Red, green, blue and white, as CIE x and y."""
BY_CODE = {
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3140, 0.3510),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),
}
"""Wider ones than sRGB's, by their number in ITU-T H.273, table 2."""
MARKS = {"AVIF": (b"colrnclx", 2), "PNG": (b"cICP", 1)}
"""What stands before that number, and its bytes."""
HEAD = 65_536
"""Bytes of a file in which it is looked for."""
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SAME = 3
"""Levels of 255 by which colours may differ from sRGB's, and still be called that."""
STRIP = 1_000_000
"""Pixels that are converted at once."""


def exponent_of(info: Mapping[Any, Any]) -> float:
    """Returns what a file's samples are to be raised to, on a screen as sRGB has it; 1 where that cannot be seen."""
    gamma = info.get("gamma")
    if _told(info) or not isinstance(gamma, float) or not 0.05 < gamma < 5:
        return 1.0
    exponent = 1 / (gamma * SCREEN)
    return exponent if abs(0.5**exponent - 0.5) * 255 > SAME else 1.0


def matrix_of(info: Mapping[Any, Any]) -> Floats | None:
    """Returns what takes a file's colours, as light, to sRGB's; None where they are those."""
    primaries = () if _told(info) else _primaries(info)
    if not primaries or min(primaries) < 0 or 0 in primaries[1::2]:
        return None
    try:
        found = np.linalg.inv(_to_xyz(SRGB)) @ _adapted(primaries[6:], SRGB[6:]) @ _to_xyz(primaries)
    except np.linalg.LinAlgError:
        return None
    probe = np.vstack([np.eye(3), 0.5 * np.eye(3) + 0.2])
    seen = np.clip(probe @ found.T, 0, 1) ** (1 / SCREEN) - probe ** (1 / SCREEN)
    return found if np.abs(seen).max() * 255 > SAME else None


def converted(picture: Image.Image, exponent: float, matrix: Floats | None) -> Image.Image:
    """Returns a picture in L or RGB as sRGB shows it."""
    if matrix is None or picture.mode != "RGB":
        table = [round(255 * (level / 255) ** exponent) for level in range(256)]
        return picture.point(table * len(picture.getbands()))
    light = ((np.arange(256) / 255) ** (exponent * SCREEN)).astype(np.float32)
    pixels = np.asarray(picture)
    out, step = np.empty_like(pixels), max(1, STRIP // picture.width)
    for row in range(0, picture.height, step):
        mixed = light[pixels[row : row + step]] @ matrix.T.astype(np.float32)
        out[row : row + step] = np.rint(255 * np.clip(mixed, 0, 1) ** (1 / SCREEN))
    return Image.fromarray(out)


def named_by_code(data: bytes, kind: str) -> tuple[float, ...] | None:
    """Returns the primaries that an AVIF or PNG names by a number, white first as in cHRM; None for sRGB's or none."""
    mark, size = MARKS.get(kind, (b"", 0))
    at = data.find(mark, 0, HEAD) if mark else -1
    if at < 0:
        return None
    found = BY_CODE.get(int.from_bytes(data[at + len(mark) : at + len(mark) + size], "big"))
    return found and (*found[6:], *found[:6])


def _told(info: Mapping[Any, Any]) -> bool:
    """Returns whether the file says more exactly what its colours are."""
    return bool(info.get("icc_profile")) or "srgb" in info


def _primaries(info: Mapping[Any, Any]) -> tuple[float, ...]:
    if isinstance(nclx := info.get("nclx_profile"), Mapping):
        names = (f"color_primary_{colour}_{axis}" for colour in ("red", "green", "blue", "white") for axis in "xy")
        return tuple(float(nclx.get(name) or 0.0) for name in names)
    told = info.get("chromaticity")  # PNG begins with white
    return tuple(float(value) for value in (*told[2:], *told[:2])) if isinstance(told, tuple) and len(told) == 8 else ()


def _to_xyz(primaries: tuple[float, ...]) -> Floats:
    columns = np.stack([_xyz(*primaries[at : at + 2]) for at in (0, 2, 4)], axis=1)
    scaled: Floats = columns * np.linalg.solve(columns, _xyz(*primaries[6:]))
    return scaled


def _xyz(x: float, y: float) -> Floats:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _adapted(white: tuple[float, ...], wanted: tuple[float, ...]) -> Floats:
    """Returns what takes one white to another, after Bradford."""
    scale = (BRADFORD @ _xyz(*wanted)) / (BRADFORD @ _xyz(*white))
    found: Floats = np.linalg.inv(BRADFORD) @ np.diag(scale) @ BRADFORD
    return found
