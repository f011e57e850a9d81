"""The pictures of a matrix: squares of random colours in any size, or a user's own ones made to fit."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from vqa.media.images import ImagePayload, stretched

SQUARES = 8
"""Along the shorter side."""


def drawn(width: int, height: int, seed: int) -> ImagePayload:
    """Returns a PNG of that many pixels, squares of random colours; the same bytes for the same values."""
    import numpy as np
    from PIL import Image

    side = max(1, min(width, height) // SQUARES)
    rows, columns = -(-height // side), -(-width // side)
    squares = np.random.default_rng((width, height, seed)).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    pixels = squares.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    data = out.getvalue()
    name = f"{width}x{height}-{seed + 1}.png"
    return ImagePayload(data, "image/png", width, height, name, "PNG", len(data), width, height)


def pictures(
    sizes: Iterable[tuple[int, int]], count: int, own: Sequence[ImagePayload] = ()
) -> tuple[ImagePayload, ...]:
    """Returns `count` pictures of each size, all of them different: drawn, or `own` ones in turn, stretched to it.

    Raises:
        InputError: an own one cannot be decoded.
    """
    if not own:
        return tuple(drawn(width, height, seed) for width, height in sizes for seed in range(count))
    return tuple(stretched(own[place % len(own)], size, place // len(own)) for size in sizes for place in range(count))
