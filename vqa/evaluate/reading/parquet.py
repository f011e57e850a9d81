"""Streams the rows of a Parquet file in a few megabytes of memory, however large its row groups are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from typing import IO, Any

from vqa.answers import Json
from vqa.errors import InputError
from vqa.evaluate.reading.records import Record

ROWS_AT_ONCE = 8
BUFFER = 1 << 20


def open_parquet(file: IO[bytes], name: str) -> Any:
    """Returns pyarrow's reader; raises InputError when the file is no Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Without a buffer size, pyarrow reads whole column chunks: 5 GB of pictures may lie in one.
    try:
        return pq.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False)
    except (pa.ArrowException, OSError) as problem:
        raise InputError("dataset_unreadable", path=name, reason=str(problem)) from problem


def parquet_records(file: IO[bytes], name: str, columns: list[str] | None = None) -> Iterator[Record]:
    """Yields the rows, numbered from 1, lists and structs as Python has them.

    Raises:
        InputError: the file is damaged.
    """
    import pyarrow as pa

    number = 0
    with closing(open_parquet(file, name)) as reader:
        try:
            for batch in reader.iter_batches(ROWS_AT_ONCE, columns=columns, use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
        except (pa.ArrowException, OSError) as problem:
            raise InputError("dataset_unreadable", path=name, reason=str(problem)) from problem


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
