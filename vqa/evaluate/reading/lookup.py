"""Finds the picture that a cell names: a file, a row of a table of pictures, or another row of the data set."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import IO

from vqa.evaluate.reading.cells import LONGEST_REFERENCE, empty, literal, pictures_of, text_of
from vqa.evaluate.reading.columns import Columns
from vqa.evaluate.reading.formats import Format
from vqa.evaluate.reading.parquet import ParquetPictures
from vqa.evaluate.reading.places import Place
from vqa.evaluate.reading.records import Record
from vqa.evaluate.reading.sources import Table
from vqa.evaluate.reading.values import PictureSource, RowError


class Lookup:
    """Called with what a cell says; returns the picture or None."""

    def __init__(
        self,
        places: Sequence[Place],
        table: Table | None,
        records: Callable[[], Iterator[Record]],
        columns: Columns,
        form: Format,
    ) -> None:
        self._places = places
        self._table = table
        self._records = records
        self._columns = columns
        self._referring = form.referring

    def __call__(self, name: str) -> PictureSource | None:
        """Returns the picture of that name, or None."""
        ways = [self._file, self._reference] if not self._referring else [self._reference, self._file]
        return next((found for way in (self._row_of_table, *ways) if (found := way(name)) is not None), None)

    def _file(self, name: str) -> PictureSource | None:
        return next((found for place in self._places if (found := place.find(name)) is not None), None)

    @cached_property
    def _pictures(self) -> ParquetPictures | None:
        return None if self._table is None else ParquetPictures(self._table.open(), self._table.name)

    def _row_of_table(self, name: str) -> PictureSource | None:
        if self._pictures is None:
            return None
        cell = self._pictures.get(name)
        found = pictures_of(cell, lambda _: None, name) if cell is not None else []
        return found[0] if found else None

    def _reference(self, name: str) -> PictureSource | None:
        if len(name) > LONGEST_REFERENCE or "id" not in self._columns.found or "image" not in self._columns.found:
            return None
        place = self._held.get(name.strip())
        if place is None:
            return None
        file, start, length = place
        file.seek(start)
        return PictureSource(f"row {name}", data=file.read(length))

    @cached_property
    def _held(self) -> dict[str, tuple[IO[bytes], int, int]]:
        """Where in a temporary file the pictures are that other rows refer to, by the id of the row that has them."""
        wanted = {name for _, cell in self._cells() for name in _short(cell)}
        held: dict[str, tuple[IO[bytes], int, int]] = {}
        if not wanted:
            return held
        spill = tempfile.TemporaryFile()  # noqa: SIM115 - read from as long as the data set is
        for key, cell in self._cells():
            if key not in wanted or key in held or _short(cell):
                continue
            try:
                found = pictures_of(cell, lambda _: None, key)
            except RowError:
                continue
            if found and found[0].data:
                held[key] = spill, spill.tell(), spill.write(found[0].data)
        return held

    def _cells(self) -> Iterator[tuple[str, object]]:
        key, column = self._columns.found["id"], self._columns.found["image"]
        for _, record in self._records():
            if not isinstance(record, RowError):
                yield text_of(record.get(key)), record.get(column)


def _short(cell: object) -> list[str]:
    """Returns the references in a cell: texts too short to be a picture."""
    value = literal(cell) if isinstance(cell, str) else cell
    each = value if isinstance(value, list) else [value]
    return [text_of(one).strip() for one in each if not empty(one) and isinstance(one, str | int | float)
            and len(str(one)) <= LONGEST_REFERENCE]  # fmt: skip
