"""PNG files that are refused only for what stands beside their pixels: huge texts, an end that is missing. Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

START = b"\x89PNG\r\n\x1a\n"
BESIDE = {b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME"}
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
