"""Finds a data set's tables in what a user gave: a file, a folder or a zip; and streams their records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO

from vqa.errors import InputError
from vqa.evaluate.reading.encoding import find_encoding
from vqa.evaluate.reading.parquet import count_records, parquet_records
from vqa.evaluate.reading.places import TABLE_ENDINGS, Archive, Folder, Place
from vqa.evaluate.reading.records import Record, is_lines, json_records, line_records, table_records

SHARD = re.compile(r"-\d{4,5}-of-\d{4,5}")
NOT_ROWS = re.compile(r"(^|[/_.-])(annotations?|answers?|config|dataset_infos?|package|metadata_schema)([_.-]|$)")
PICTURE_TABLE = re.compile(r"_images(/|\.)")
DEPTH = 3
TELLING = ("question", "metadata", "test", "val", "data")


@dataclass(frozen=True)
class Table:
    """One file of records."""

    name: str
    """Its path within the place that it was found in."""
    open: Callable[[], IO[bytes]]
    forced: str | None = None
    """The encoding that a user named."""

    @property
    def ending(self) -> str:
        """The file's ending in small letters."""
        return PurePosixPath(self.name).suffix.lower()

    @cached_property
    def encoding(self) -> str:
        """The encoding of a text file; empty for Parquet.

        Raises:
            InputError: it cannot be told.
        """
        if self.ending == ".parquet":
            return ""
        if self.forced:
            return self.forced
        with closing(self.open()) as file:
            return find_encoding(file, self.name)

    def records(self) -> Iterator[Record]:
        """Yields the records from the first one on, each time it is called.

        Raises:
            InputError: the file cannot be read.
        """
        with closing(self.open()) as file:
            if self.ending == ".parquet":
                yield from parquet_records(file, self.name)
            elif self.ending in {".csv", ".tsv"}:
                yield from table_records(file, self.encoding, "\t" if self.ending == ".tsv" else None)
            elif self.ending in {".jsonl", ".ndjson"} or is_lines(file, self.encoding):
                yield from line_records(file, self.encoding)
            else:
                size = file.seek(0, 2)
                file.seek(0)
                yield from json_records(file, self.encoding, self.name, size)

    def count(self, most: int | None = None) -> int:
        """Returns how many records there are, of text `most` at most; Parquet's gigabytes of pictures are not read."""
        if self.ending != ".parquet":
            return sum(1 for _ in islice(self.records(), most))
        with closing(self.open()) as file:
            return count_records(file, self.name)


@dataclass(frozen=True)
class Found:
    """What was found in the place that a user named."""

    place: Place
    tables: tuple[Table, ...]
    """The files of records, several where a data set is split into shards."""
    annotations: Table | None = None
    pictures: Table | None = None
    """A Parquet file of ids and pictures, as GQA has one."""


def find_tables(path: Path, *, encoding: str | None = None, confined: bool = False) -> Found:
    """Returns the tables of a file, a folder or a zip.

    Raises:
        InputError: there is none, or several that are not shards of one.
    """
    try:
        if path.is_dir():
            return _within(Folder(path, confined=confined), path, encoding)
        if not path.is_file():
            raise InputError("dataset_unreadable", path=path, reason="no such file")
    except OSError as problem:
        raise InputError("dataset_unreadable", path=path, reason=str(problem.strerror)) from problem
    if path.suffix.lower() == ".zip":
        return _within(Archive(path), path, encoding)
    place = Folder(path.parent, confined=confined)
    table = _table(place, path.name, encoding)
    if table.ending not in TABLE_ENDINGS:
        raise InputError("dataset_ending", path=path, known=", ".join((*TABLE_ENDINGS, ".zip")))
    beside = [each.name for each in path.parent.iterdir() if each.suffix.lower() == ".json"]
    return Found(
        place, (table,), _annotations(place, path.name, beside, encoding), _pictures_beside(place, path, encoding)
    )


def table_of(path: Path, encoding: str | None = None) -> Table:
    """Returns the table of one file."""
    return _table(Folder(path.parent), path.name, encoding)


def _table(place: Place, name: str, encoding: str | None) -> Table:
    return Table(name, lambda: _opened(place, name), encoding)


def _opened(place: Place, name: str) -> IO[bytes]:
    try:
        return place.open(name)
    except OSError as problem:
        raise InputError("dataset_unreadable", path=name, reason=str(problem.strerror)) from problem


def _within(place: Place, path: Path, encoding: str | None) -> Found:
    names = [
        name
        for name in place.names()
        if name.lower().endswith(TABLE_ENDINGS) and name.count("/") < DEPTH and not name.startswith(".")
    ]
    pictures = [name for name in names if PICTURE_TABLE.search(name) and name.endswith(".parquet")]
    rows = [name for name in names if not NOT_ROWS.search(name.lower()) and name not in pictures] or names
    if not rows:
        raise InputError("dataset_no_table", path=path, known=", ".join(TABLE_ENDINGS))
    groups: dict[str, list[str]] = {}
    for name in sorted(rows):
        groups.setdefault(SHARD.sub("", name), []).append(name)
    if len(groups) > 1:
        shallow = min(name.count("/") for name in groups)
        groups = {key: each for key, each in groups.items() if key.count("/") == shallow}
    if len(groups) > 1:
        for word in TELLING:
            telling = {key: each for key, each in groups.items() if word in PurePosixPath(key).name.lower()}
            if len(telling) == 1:
                groups = telling
                break
    if len(groups) > 1:
        raise InputError("dataset_several", path=path, known=", ".join(sorted(groups)[:10]))
    (chosen,) = groups.values()
    return Found(
        place,
        tuple(_table(place, name, encoding) for name in chosen),
        _annotations(place, chosen[0], names, encoding),
        _table(place, pictures[0], encoding) if len(pictures) == 1 else None,
    )


def _annotations(place: Place, name: str, others: list[str], encoding: str | None) -> Table | None:
    """Returns the annotations that lie beside VQAv2's questions, if just one file can be meant."""
    own = PurePosixPath(name)
    if "question" not in own.name.lower() or own.suffix.lower() != ".json":
        return None
    found = [
        other
        for other in others
        if "annotation" in PurePosixPath(other).name.lower() and PurePosixPath(other).parent == own.parent
    ]
    if len(found) > 1:
        split = re.search(r"(train|val|test)(-?dev)?\d*", own.name.lower())
        found = [other for other in found if split and split[0] in PurePosixPath(other).name.lower()]
    return _table(place, found[0], encoding) if len(found) == 1 else None


def _pictures_beside(place: Place, path: Path, encoding: str | None) -> Table | None:
    """Returns the Parquet file of pictures that GQA keeps beside one of instructions."""
    if "_instructions" not in path.as_posix():
        return None
    if "_instructions" in path.name:
        other = path.with_name(path.name.replace("_instructions", "_images"))
    else:
        other = path.parent.with_name(path.parent.name.replace("_instructions", "_images")) / path.name
    return _table(Folder(other.parent), other.name, encoding) if other.is_file() else None
