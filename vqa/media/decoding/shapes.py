"""Sides and parts of a picture: what is lost of a very long one when it is scaled, and the tiles it can be cut into.
Pure.
"""

from __future__ import annotations

import math

LONG = 8.0
"""Times as long as wide: from here on scaling down costs more than a model can spare."""
VERY_LONG = 30.0
"""…and from here on a model's own preparation squeezes it, whatever we do."""
TILE = 4.0
"""At most so many times as long as wide is a tile."""
OVERLAP = 0.05
"""The part of a tile's length that its neighbour shows again, so that no line of text is cut in both."""


def fitted(width: int, height: int, max_side: int) -> tuple[int, int]:
    """Returns the sides of a picture scaled down so that none is longer than `max_side` pixels."""
    if max(width, height) <= max_side:
        return width, height
    scale = max_side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def ratio(width: int, height: int) -> float:
    """Returns how many times as long as wide a picture is; at least 1."""
    return max(width, height) / max(1, min(width, height))


def is_extreme(width: int, height: int, max_side: int) -> bool:
    """Returns whether sending the whole picture at once loses what it shows."""
    long = ratio(width, height)
    return long >= VERY_LONG or (long >= LONG and max(width, height) > max_side)


def tiles(width: int, height: int, max_side: int, at_most: int) -> list[tuple[int, int, int, int]]:
    """Returns the boxes (left, top, right, bottom) of a picture's tiles along its longer side, from its beginning."""
    long, short = max(width, height), min(width, height)
    count = min(at_most, max(math.ceil(long / max_side), math.ceil(long / (short * TILE))))
    if count < 2:
        return [(0, 0, width, height)]
    step = long / count
    more = step * OVERLAP / 2
    ends = [(max(0, round(n * step - more)), min(long, round((n + 1) * step + more))) for n in range(count)]
    return [(begin, 0, end, height) if width >= height else (0, begin, width, end) for begin, end in ends]
