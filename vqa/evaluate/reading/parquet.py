"""Streams the rows of a Parquet file in a few megabytes of memory, however large its row groups are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from typing import IO, Any

from vqa.answers import Json
from vqa.errors import InputError
from vqa.evaluate.reading.heavy import heavy_columns, joined
from vqa.evaluate.reading.records import Record

ROWS_AT_ONCE = 8
BUFFER = 1 << 20


def open_parquet(file: IO[bytes], name: str) -> Any:
    """Returns pyarrow's reader; raises InputError when the file is no Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_memory_pool(pa.system_memory_pool())  # the others keep the largest page that ever was
    # Without a buffer size, pyarrow reads whole column chunks: 5 GB of pictures may lie in one.
    try:
        return pq.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False)
    except (pa.ArrowException, OSError) as problem:
        raise InputError("dataset_unreadable", path=name, reason=str(problem)) from problem


def parquet_records(file: IO[bytes], name: str) -> Iterator[Record]:
    """Yields the rows, numbered from 1, lists and structs as Python has them.

    Raises:
        InputError: the file is damaged.
    """
    import pyarrow as pa

    number = 0
    with closing(open_parquet(file, name)) as reader:
        try:
            for group in range(reader.num_row_groups):
                for row in _rows(reader, file, group):
                    number += 1
                    yield number, row
        except (pa.ArrowException, OSError, ValueError, LookupError) as problem:
            raise InputError("dataset_unreadable", path=name, reason=str(problem)) from problem


def _rows(reader: Any, file: IO[bytes], group: int) -> Iterator[dict[str, Json]]:
    """Yields the rows of a row group; what is heavy in them is read value by value."""
    heavy = heavy_columns(reader, group)
    apart = {each.place for each in heavy}
    about = reader.metadata.row_group(group)
    light = [about.column(place).path_in_schema for place in range(about.num_columns) if place not in apart]
    rows = _light(reader, group, light if heavy else None, about.num_rows)
    for row, *cells in zip(rows, *(each.cells(file, reader.metadata, group) for each in heavy), strict=True):
        for each, cell in zip(heavy, cells, strict=True):
            row[each.name] = joined(row.get(each.name), cell)
        yield row


def _light(reader: Any, group: int, columns: list[str] | None, rows: int) -> Iterator[dict[str, Json]]:
    """Yields rows with the columns of these paths; all where there is none named, empty ones where none is left."""
    if columns == []:
        yield from ({} for _ in range(rows))
        return
    for batch in reader.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=columns, use_threads=False):
        yield from batch.to_pylist()


def count_records(file: IO[bytes], name: str) -> int:
    """Returns the number of rows, which the file's end tells; raises InputError when it is damaged."""
    with closing(open_parquet(file, name)) as reader:
        return int(reader.metadata.num_rows)


class ParquetPictures:
    """Finds the picture of an id in a Parquet file of ids and pictures, as GQA keeps them apart from the questions."""

    def __init__(self, file: IO[bytes], name: str, key: str = "id", column: str = "image") -> None:
        self._reader = open_parquet(file, name)
        self._column = column
        self._places: dict[str, tuple[int, int]] = {}
        for group in range(self._reader.num_row_groups):
            for place, value in enumerate(self._reader.read_row_group(group, columns=[key])[key].to_pylist()):
                self._places[str(value)] = group, place
        # A batch of neighbours is kept: questions about one picture mostly follow each other.
        self._batch = lru_cache(maxsize=2)(self._read)

    def get(self, key: str) -> Json:
        """Returns the cell that holds the picture, or None."""
        found = self._places.get(key)
        if found is None:
            return None
        group, place = found
        return self._batch(group, place // ROWS_AT_ONCE)[place % ROWS_AT_ONCE]

    def _read(self, group: int, number: int) -> list[Json]:
        batches = self._reader.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[self._column], use_threads=False)
        for place, batch in enumerate(batches):
            if place == number:
                values: list[Json] = batch.column(0).to_pylist()
                return values
        return []
