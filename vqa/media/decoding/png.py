"""PNG files: whether a usual one is whole, and what mends one that is refused only for huge texts or a missing end."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import deflate

START = b"\x89PNG\r\n\x1a\n"
BESIDE = {b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME"}
HEAD = struct.Struct(">IIBBBBB")
PALETTE = 3
SAMPLES = {0: 1, 2: 3, PALETTE: 1}
"""Of one pixel, by the header's colour type: grey, RGB, palette."""
LAST_FILTER = 4
END = struct.pack(">I", 0) + b"IEND" + b"\xaeB`\x82"


def without_texts(data: bytes) -> bytes:
    """Returns a PNG with the same compressed pixels and colours, but without texts, and with an end."""
    kept = [START]
    for name, chunk in _chunks(data):
        if name == b"IEND":
            break
        if name not in BESIDE:
            kept.append(chunk)
    return b"".join([*kept, END])


def has_end(data: bytes) -> bool:
    """Returns whether the file's last chunk is there."""
    return any(name == b"IEND" for name, _ in _chunks(data))


def is_whole(data: bytes) -> bool:
    """Returns whether all pixels of a usual PNG are there: eight bits or fewer, no alpha, one picture, no interlacing.

    What decoding it would tell, in a fifth of the time: its pixels are inflated and their checksum, their
    number and the filter of each line looked at (https://www.w3.org/TR/png-3/#9Filters). False where it cannot tell.
    """
    if not data.startswith(START) or data[12:16] != b"IHDR" or len(data) < 33:
        return False
    width, height, depth, colour, _, _, interlaced = HEAD.unpack_from(data, 16)
    if interlaced or depth > 8 or colour not in SAMPLES:
        return False
    pixels: list[bytes] = []
    names: list[bytes] = []
    for name, chunk in _chunks(data):
        if pixels and name not in {b"IDAT", b"IEND"}:  # what turns it may stand behind its pixels
            return False
        if name == b"IDAT":
            pixels.append(chunk[8:-4])
        names.append(name)
    if not pixels or names[-1] != b"IEND" or (colour == PALETTE and b"PLTE" not in names):
        return False
    line = 1 + (width * depth * SAMPLES[colour] + 7) // 8
    try:
        lines = deflate.zlib_decompress(b"".join(pixels), line * height)
    except deflate.DeflateError:
        return False
    return len(lines) == line * height and max(lines[::line], default=0) <= LAST_FILTER


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(START)
    while at + 8 < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + size > len(data):
            if data[at + 4 : at + 8] == b"IDAT":
                body = data[at + 4 : at + 8 + size]
                yield b"IDAT", struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
            return
        yield data[at + 4 : at + 8], data[at : at + 12 + size]
        at += 12 + size
