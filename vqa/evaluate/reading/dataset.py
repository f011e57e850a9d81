"""A data set, opened: its format, its columns, and its rows one by one as often as wanted, in flat memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from vqa.answers import Json
from vqa.errors import InputError
from vqa.evaluate.reading.columns import Columns, Field, find_columns, plain
from vqa.evaluate.reading.encoding import known_encoding
from vqa.evaluate.reading.formats import AS_IS, LETTER, Format, Shape, find_format
from vqa.evaluate.reading.joined import Annotations, read_annotations
from vqa.evaluate.reading.lookup import Lookup
from vqa.evaluate.reading.making import RowMaker
from vqa.evaluate.reading.places import Archive, Folder, Place
from vqa.evaluate.reading.prompts import parse_prompt, prompt_of
from vqa.evaluate.reading.records import Record
from vqa.evaluate.reading.sources import Found, Table, find_tables, table_of
from vqa.evaluate.reading.values import BadRow, Row, RowError

HEAD = 50
"""Records that are looked at to tell the format."""


@dataclass(frozen=True)
class Reading:
    """How a user wants a data set to be read; everything is found by its shape where nothing is said."""

    path: Path
    annotations: Path | None = None
    images: tuple[Path, ...] = ()
    """Folders, zips, or a Parquet file of ids and pictures."""
    format: str | None = None
    columns: Mapping[str, str] | None = None
    """Column by field; an empty one means that the data set has none."""
    prompt: str | None = None
    system: str | None = None
    encoding: str | None = None
    confined: bool = False
    """Whether pictures outside the data set's own folder are refused, for a data set that came over the network."""


class Dataset:
    """Rows that can be read again and again. Use it in one thread at a time."""

    def __init__(self, reading: Reading) -> None:
        """Looks at the first records only.

        Raises:
            InputError: it cannot be read, is empty, or has no question.
        """
        self.reading = reading
        forced = known_encoding(reading.encoding) if reading.encoding else None
        self._found: Found = find_tables(reading.path, encoding=forced, confined=reading.confined)
        head = list(islice(self.records(), HEAD))
        records = [record for _, record in head if not isinstance(record, RowError)]
        if not head:
            raise InputError("dataset_empty", path=reading.path)
        if not records:
            number, problem = head[0]
            assert isinstance(problem, RowError)
            raise InputError("dataset_row_invalid", path=reading.path, row=number, reason=problem.message())
        names = list(dict.fromkeys(str(name) for record in records for name in record))
        shape = Shape(frozenset(map(plain, names)), tuple(records), self.tables[0].ending, frozenset(names))
        self.format: Format = find_format(shape, reading.format)
        self.columns: Columns = find_columns(names, reading.columns, self.format.columns, self.format.talks)
        self._refuse_unusable(names)
        self.prompt = parse_prompt(reading.prompt) if reading.prompt else self._usual_prompt()
        table = table_of(reading.annotations, forced) if reading.annotations else self._found.annotations
        self.annotations = table
        self._joined: Annotations | None = None
        self._first = 0
        self._lookup = Lookup(self._places(), self._picture_table(forced), self.records, self.columns, self.format)
        self._first = self._maker().numbers_from(records)

    def _usual_prompt(self) -> str:
        """Returns the format's prompt; a table of questions with options asks for the letter."""
        general = self.format.prompt == AS_IS and not self.format.talks
        return LETTER if general and ("options" in self.columns.found or self.columns.letters) else self.format.prompt

    @property
    def tables(self) -> tuple[Table, ...]:
        """The files of records."""
        return self._found.tables

    @property
    def encoding(self) -> str:
        """The encoding of the first file; empty for Parquet."""
        return self.tables[0].encoding

    def rows(self) -> Iterator[Row | BadRow]:
        """Yields every row from the first one on, each time it is called.

        Raises:
            InputError: the file can no longer be read.
        """
        if self.annotations is not None and self._joined is None:
            self._joined = read_annotations(self.annotations)
        maker = self._maker()
        for place, (number, record) in enumerate(self.records()):
            if isinstance(record, RowError):
                yield BadRow(place, number, record)
                continue
            try:
                yield maker.row(record, place, number)
            except RowError as problem:
                yield BadRow(place, number, problem, maker.id_of(record))

    def _maker(self) -> RowMaker:
        return RowMaker(self.format, self.columns, self._lookup, self._joined, self.reading.system, self._first)

    def text_of(self, row: Row) -> str:
        """Returns what is asked for a row."""
        return prompt_of(row, self.prompt)

    def record(self) -> dict[str, Json]:
        """Returns how it is read, as plain values; `reading_from_record` reads it back."""
        reading = self.reading
        return {
            "path": str(reading.path.absolute()),
            "annotations": str(reading.annotations.absolute()) if reading.annotations else None,
            "images": [str(path.absolute()) for path in reading.images],
            "format": self.format.name,
            "columns": dict(reading.columns or {}),
            "prompt": self.prompt,
            "system": reading.system,
            "encoding": self.encoding or None,
            "confined": reading.confined,
            "found": self.columns.shown(),
            "unknown": list(self.columns.unknown),
        }

    def records(self) -> Iterator[Record]:
        """Yields the records as they stand in the files."""
        start = 0
        for table in self._found.tables:
            last = 0
            for number, record in table.records():
                last = number
                yield start + number, record
            start += last

    def count(self, most: int | None = None) -> int:
        """Returns how many rows there are, bad ones included, `most` at most.

        Raises:
            InputError: a file can no longer be read.
        """
        counted = sum(table.count(most) for table in self.tables)
        return counted if most is None else min(counted, most)

    def _refuse_unusable(self, names: list[str]) -> None:
        found, wanted = self.columns.found, dict(self.reading.columns or {})
        if not self.format.talks and "question" not in found:
            missing: Field = "question"
        elif not self.format.talks and "image" not in wanted and not (found.get("image") or self.columns.pictures):
            # A table that could hold pictures under a name that we do not know is not asked without them.
            if not self.columns.unknown:
                return
            missing = "image"
        else:
            return
        raise InputError("dataset_no_column", path=self.reading.path, field=missing, known=", ".join(names))

    def _places(self) -> list[Place]:
        given: list[Place] = []
        for path in self.reading.images:
            if path.is_dir():
                given.append(Folder(path, confined=self.reading.confined))
            elif path.suffix.lower() == ".zip":
                given.append(Archive(path))
            elif path.suffix.lower() != ".parquet":
                raise InputError("dataset_images", path=path)
        return [*given, self._found.place]

    def _picture_table(self, encoding: str | None) -> Table | None:
        given = next((path for path in self.reading.images if path.suffix.lower() == ".parquet"), None)
        return self._found.pictures if given is None else table_of(given, encoding)


def open_dataset(path: Path | str, **options: Json) -> Dataset:
    """Returns a data set; the options are those of `Reading`.

    Raises:
        InputError: it cannot be read.
    """
    return Dataset(Reading(Path(path), **options))


def reading_from_record(record: Mapping[str, Json]) -> Reading:
    """Returns the reading that `Dataset.record` wrote."""
    return Reading(
        Path(record["path"]),
        annotations=Path(record["annotations"]) if record.get("annotations") else None,
        images=tuple(map(Path, record.get("images") or ())),
        format=record.get("format"),
        columns=record.get("columns") or None,
        prompt=record.get("prompt"),
        system=record.get("system"),
        encoding=record.get("encoding"),
        confined=bool(record.get("confined")),
    )
