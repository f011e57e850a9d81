"""What a JPEG says of itself before anything decodes it: its kind, and whether its end is missing. Pure."""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import Image

END = b"\xff\xd9"
USUAL_FRAMES = {0xC0, 0xC1, 0xC2}
"""Baseline, extended sequential and progressive, with Huffman coding (ITU-T T.81, table B.1)."""
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
ALONE = {0x01, *range(0xD0, 0xDA)}
"""Markers without a length."""
FILLERS = (b"", b"\x2b\x91\x6e" * 400)
"""What may follow data that are whole, without any change to the pixels. Without the byte 0xFF."""
EIGHTH = 8


def is_usual(data: bytes) -> bool:
    """Returns whether every decoder knows a JPEG of this kind: eight bits, Huffman coding, 1 or 3 components."""
    for marker, body in _segments(data):
        if marker in FRAMES:
            count = body[5] if len(body) > 5 else 0
            factors = body[7 : 6 + 3 * count : 3]
            ordinary = all(factor >> 4 in {1, 2, 4} and factor & 15 in {1, 2, 4} for factor in factors)
            return marker in USUAL_FRAMES and body[0] == 8 and count in {1, 3, 4} and ordinary
    return False


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, data[at + 4 : at + 2 + size]
        if marker == 0xDA:
            return
        at += 2 + size


def with_end(data: bytes) -> bytes | None:
    """Returns a JPEG that lacks its end marker together with one; None where pixels are missing as well.

    Pixels that are missing would be read from whatever follows the data. So if they come out the same whatever that
    is, none are.
    """
    body = data[:-1] if data.endswith(b"\xff") else data
    seen = {_pixels(body + filler + END) for filler in FILLERS}
    return body + END if len(seen) == 1 and None not in seen else None


def _pixels(data: bytes) -> bytes | None:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            picture.load()
            return picture.tobytes()
    except (OSError, ValueError, SyntaxError):
        return None


def draft(picture: Image.Image, scale: int) -> None:
    """Has a JPEG decoded at 1/2, 1/4 or 1/8 of its sides, at a fraction of the cost."""
    if scale > 1:
        picture.draft(picture.mode, (max(1, picture.width // scale), max(1, picture.height // scale)))


def scale_for(width: int, height: int, max_side: int, max_pixels: int) -> int:
    """Returns by how much to reduce while decoding: not below what is sent, unless that were too much at once."""
    scale = 1
    while scale < EIGHTH and max(width, height) // (2 * scale) >= max_side:
        scale *= 2
    while scale < EIGHTH and width * height // scale**2 > max_pixels:
        scale *= 2
    return scale
