"""Streams the values of one column of a Parquet file, one value at a time in memory.

pyarrow holds a page whole, packed and unpacked, and with pictures in it a page is what a writer wrote in one go: 100 MB
for 200 photographs. The format: https://github.com/apache/parquet-format. Knows byte arrays only.
"""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

from vqa.evaluate.reading.snappy import SnappyReader

BUFFER = 1 << 16
ENCODINGS = frozenset({"PLAIN", "RLE", "BIT_PACKED", "PLAIN_DICTIONARY", "RLE_DICTIONARY"})
STREAMED = frozenset({"GZIP", "ZSTD", "BROTLI"})
"""What pyarrow unpacks as it reads."""
COMPRESSIONS = frozenset({"UNCOMPRESSED", "SNAPPY", *STREAMED})
DATA, DICTIONARY, DATA_2 = 0, 2, 3
"""Types of pages."""
PLAIN = 0
Read = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Value:
    """One value as the format has it: with its levels; None where it is not defined."""

    repetition: int
    definition: int
    data: bytes | None


class Chunk:
    """A column within a row group."""

    def __init__(self, file: IO[bytes], column: Any, definition: int, repetition: int) -> None:
        """`column` is pyarrow's description; the levels are the highest of the column."""
        self._column = column
        self._levels = repetition, definition
        start = column.data_page_offset
        if column.has_dictionary_page and column.dictionary_page_offset:
            start = min(start, column.dictionary_page_offset)
        self._file: IO[bytes] = io.BufferedReader(_Section(file, start, start + column.total_compressed_size), BUFFER)

    def values(self) -> Iterator[Value]:
        """Yields every value.

        Raises:
            ValueError, LookupError: the file is damaged, or encoded otherwise than it says of itself.
        """
        told, dictionary = 0, None
        while told < self._column.num_values:
            header = _struct(self._exactly)
            read = self._page(header)
            if header[1] == DICTIONARY:
                dictionary = _Dictionary(read, header[7][1])
            elif header[1] in {DATA, DATA_2}:
                told += header[5 if header[1] == DATA else 8][1]
                if told > self._column.num_values:
                    raise ValueError("a page has more values than its column")
                yield from self._data(header, read, dictionary)
            self._rest()

    def _exactly(self, size: int) -> bytes:
        found = self._file.read(size)
        if len(found) != size:
            raise ValueError("the file ends within a column")
        return found

    def _page(self, header: dict[int, Any]) -> Read:
        """Returns what reads the page's bytes, unpacked but for the levels of version 2, which are never packed."""
        end = self._file.tell() + header[3]
        ahead = b""
        if header[1] == DATA_2:
            ahead = self._exactly(header[8][6] + header[8][5])
        within = _Within(self._file, end)
        self._rest = within.skip
        packed = self._column.compression if header[1] != DATA_2 or header[8].get(7, True) else "UNCOMPRESSED"
        rest = _unpacked(within, packed) if end > self._file.tell() else within.read
        if not ahead:
            return exactly(rest)
        levels = io.BytesIO(ahead)
        return exactly(lambda size: levels.read(size) or rest(size))

    def _data(self, header: dict[int, Any], read: Read, dictionary: _Dictionary | None) -> Iterator[Value]:
        about = header[5 if header[1] == DATA else 8]
        count = about[1]
        found = []
        for highest, sizes in zip(self._levels, (6, 5), strict=True):
            width = highest.bit_length()
            if header[1] == DATA_2:
                packed = read(about[sizes]) if about[sizes] else b""
            else:
                packed = read(int.from_bytes(read(4), "little")) if width else b""
            found.append(list(islice(_hybrid(_reader(packed), width), count)) if width else [0] * count)
        encoding = about[2 if header[1] == DATA else 4]
        defined = found[1].count(self._levels[1])
        values = _plain(read, defined) if encoding == PLAIN else _looked_up(read, defined, dictionary)
        for repetition, definition in zip(*found, strict=True):
            data = next(values) if definition == self._levels[1] else None
            yield Value(repetition, definition, data)


class _Section(io.RawIOBase):
    """A part of a file that others read, too: its place is sought before each read."""

    def __init__(self, file: IO[bytes], start: int, end: int) -> None:
        self._file, self._at, self._end, self._start = file, start, end, start

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at - self._start

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._at)
        found = self._file.read(min(len(buffer), self._end - self._at))
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


class _Within(io.RawIOBase):
    """What is left of a page."""

    def __init__(self, file: IO[bytes], end: int) -> None:
        self._file, self._left = file, end - file.tell()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        found = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(found)
        return found

    def skip(self) -> None:
        """Goes to the page's end."""
        while self._left and self.read(BUFFER):
            pass


class _Dictionary:
    """The values that a column's pages number, in a temporary file."""

    def __init__(self, read: Read, count: int) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - read from as long as the column is
        self._places = []
        for value in _plain(read, count):
            self._places.append((self._file.tell(), len(value)))
            self._file.write(value)

    def __getitem__(self, number: int) -> bytes:
        start, length = self._places[number]
        self._file.seek(start)
        return self._file.read(length)


def _unpacked(within: _Within, compression: str) -> Read:
    if compression == "UNCOMPRESSED":
        return within.read
    if compression == "SNAPPY":
        return SnappyReader(exactly(within.read)).read
    import pyarrow as pa

    stream = pa.CompressedInputStream(pa.PythonFile(within, mode="r"), compression.lower())
    read: Read = stream.read
    return read


def exactly(read: Read) -> Read:
    """Returns a reader that gives as much as it is asked for, or raises ValueError where there is no more."""

    def read_all(size: int) -> bytes:
        parts = [read(size)]
        while (missing := size - sum(map(len, parts))) and parts[-1]:
            parts.append(read(missing))
        if missing:
            raise ValueError("a page ends too early")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    return read_all


def _reader(data: bytes) -> Read:
    return io.BytesIO(data).read


def _plain(read: Read, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield read(int.from_bytes(read(4), "little"))


def _looked_up(read: Read, count: int, dictionary: _Dictionary | None) -> Iterator[bytes]:
    if dictionary is None:
        raise ValueError("a page needs a dictionary that is not there")
    width = read(1)[0] if count else 0
    for number in islice(_hybrid(read, width), count):
        yield dictionary[number]


def _hybrid(read: Read, width: int) -> Iterator[int]:
    """Yields numbers of `width` bits, which stand in runs of one number and in packed groups of eight."""
    size = (width + 7) // 8
    while True:
        header = _varint(read)
        if header & 1:
            for _ in range(header >> 1):
                bits = int.from_bytes(read(width), "little")
                yield from (bits >> width * place & (1 << width) - 1 for place in range(8))
        else:
            number = int.from_bytes(read(size), "little") if size else 0
            for _ in range(header >> 1):
                yield number


def _varint(read: Read) -> int:
    value = shift = 0
    while True:
        found = read(1)
        if not found:
            raise ValueError("a page ends too early")
        value |= (found[0] & 0x7F) << shift
        if found[0] < 0x80:
            return value
        shift += 7


def _signed(read: Read) -> int:
    value = _varint(read)
    return value >> 1 ^ -(value & 1)


def _struct(read: Read) -> dict[int, Any]:
    """Returns the fields of a structure in Thrift's compact protocol, by their numbers."""
    fields: dict[int, Any] = {}
    number = 0
    while (head := read(1)[0]) & 0x0F:
        number = number + (head >> 4) if head >> 4 else _signed(read)
        fields[number] = _field(read, head & 0x0F)
    return fields


def _field(read: Read, kind: int) -> Any:
    match kind:
        case 1 | 2:
            return kind == 1
        case 3:
            return read(1)[0]
        case 4 | 5 | 6:
            return _signed(read)
        case 7:
            return struct.unpack("<d", read(8))[0]
        case 8:
            return read(_varint(read))
        case 9 | 10:
            head = read(1)[0]
            count = head >> 4 if head >> 4 != 15 else _varint(read)
            return [_field(read, head & 0x0F) for _ in range(count)]
        case 12:
            return _struct(read)
    raise ValueError(f"no page begins here (type {kind})")
