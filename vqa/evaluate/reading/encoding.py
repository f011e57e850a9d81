"""Finds out in which encoding a text file is, by all of its bytes. Knows no format."""

from __future__ import annotations

import codecs
import unicodedata
from typing import IO

from vqa.errors import InputError

BLOCK = 1 << 20
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
LEAST_CHINESE = 0.8
"""Share of the characters beyond ASCII that must be Chinese for bytes that are not UTF-8 to pass as GB18030."""


def find_encoding(file: IO[bytes], name: str) -> str:
    """Returns `utf-8`, `utf-8-sig`, `utf-16` or `gb18030`; the file is at its beginning afterwards.

    Nearly any bytes decode as GB18030, so those that are not UTF-8 pass for it only where what comes out is Chinese.

    Raises:
        InputError: none of these.
    """
    file.seek(0)
    head = file.read(4)
    for mark, encoding in MARKS:
        if head.startswith(mark):
            file.seek(0)
            return encoding
    problem = _undecodable(file, "utf-8")
    if problem is None:
        file.seek(0)
        return "utf-8"
    if _undecodable(file, "gb18030") is None and _chinese(file) >= LEAST_CHINESE:
        file.seek(0)
        return "gb18030"
    raise InputError("dataset_encoding", path=name, place=problem)


def known_encoding(name: str) -> str:
    """Returns Python's name of an encoding that a user gave; raises InputError when there is none."""
    try:
        return codecs.lookup(name).name
    except LookupError as problem:
        raise InputError("choice_invalid", name="--encoding", value=name, known="utf-8, gb18030, utf-16") from problem


def _undecodable(file: IO[bytes], encoding: str) -> int | None:
    """Returns the place of the first byte that cannot be decoded, or None."""
    file.seek(0)
    decoder, place = codecs.getincrementaldecoder(encoding)(), 0
    try:
        while block := file.read(BLOCK):
            decoder.decode(block)
            place += len(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as problem:
        return place + problem.start
    return None


def _chinese(file: IO[bytes]) -> float:
    """Returns which share of the characters beyond ASCII in the first megabyte a Chinese text would hold."""
    file.seek(0)
    text = file.read(BLOCK).decode("gb18030", errors="ignore")
    wide = [char for char in text if ord(char) > 127]
    fitting = sum("\u4e00" <= char <= "\u9fff" or unicodedata.east_asian_width(char) in "WFA" for char in wide)
    return fitting / len(wide) if wide else 0.0
