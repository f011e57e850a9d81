"""Unpacks Snappy's block format as it is read, which pyarrow does for a whole block at a time only.

The format: https://github.com/google/snappy/blob/main/format_description.txt. Compressors look back within 64 kB.
"""

from __future__ import annotations

from collections.abc import Callable

WINDOW = 1 << 16
SPARE = 1 << 20
"""Bytes that were read already and are kept before they are thrown away together."""


class SnappyReader:
    """Reads what a block holds from a source of packed bytes; `read` returns fewer than asked for at the end only."""

    def __init__(self, packed: Callable[[int], bytes]) -> None:
        """`packed` returns the next so many bytes."""
        self._packed = packed
        self._left = self._number()
        self._held = bytearray()
        self._at = 0

    def read(self, size: int) -> bytes:
        """Returns the next bytes.

        Raises:
            ValueError: the block is damaged, or looks back further than compressors do.
        """
        while len(self._held) - self._at < size and self._left > 0:
            before = len(self._held)
            self._element()
            self._left -= len(self._held) - before
        found = bytes(self._held[self._at : self._at + size])
        self._at += len(found)
        if self._at > SPARE:
            gone = self._at - WINDOW
            del self._held[:gone]
            self._at -= gone
        return found

    def _number(self) -> int:
        value = shift = 0
        while True:
            byte = self._packed(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def _little(self, size: int) -> int:
        return int.from_bytes(self._packed(size), "little")

    def _element(self) -> None:
        tag = self._packed(1)[0]
        if tag & 3 == 0:
            size = tag >> 2
            size = 1 + (size if size < 60 else self._little(size - 59))
            self._held += self._packed(size)
            return
        if tag & 3 == 1:
            size, back = 4 + (tag >> 2 & 7), (tag >> 5) << 8 | self._little(1)
        else:
            size, back = 1 + (tag >> 2), self._little(2 if tag & 3 == 2 else 4)
        start = len(self._held) - back
        if back == 0 or start < 0:
            raise ValueError(f"Snappy looks back {back} bytes")
        if back >= size:
            self._held += self._held[start : start + size]
        else:  # what is copied reaches into itself
            pattern = bytes(self._held[start:])
            self._held += (pattern * (size // back + 1))[:size]
