"""Which columns of a Parquet row group are heavy with pictures, and their cells one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from vqa.answers import Json
from vqa.evaluate.reading.pages import COMPRESSIONS, ENCODINGS, Chunk, Value

LEAST_BYTES = 4_000_000
"""Of a column within a row group, above which its values are streamed."""
LEAST_VALUE = 1_000
"""Bytes to a row on average: pyarrow is quicker with many small values, and its pages of them are small."""


@dataclass(frozen=True)
class Heavy:
    """One column that is streamed."""

    place: int
    """Among all leaves of the file."""
    name: str
    """Of the top column."""
    field: str
    """Of the structure that holds the bytes; empty where they stand in the column itself."""
    listed: bool
    text: bool

    def cells(self, file: IO[bytes], metadata: Any, group: int) -> Iterator[Json]:
        """Yields a cell for each row: what stands in the bytes' place, a list of them where the column has lists.

        With a field it is an object with this field alone, for `joined`.
        """
        leaf = metadata.schema.column(self.place)
        values = Chunk(
            file, metadata.row_group(group).column(self.place), leaf.max_definition_level, leaf.max_repetition_level
        ).values()
        if not self.listed:
            yield from (self._one(value) for value in values)
            return
        row: list[Value] = []
        for value in values:
            if value.repetition == 0 and row:
                yield self._list(row)
                row = []
            row.append(value)
        if row:
            yield self._list(row)

    def _list(self, row: list[Value]) -> Json:
        if row[0].definition < 2:
            return None if row[0].definition == 0 else []
        return [self._one(value) for value in row]

    def _one(self, value: Value) -> Json:
        data = value.data.decode() if self.text and value.data is not None else value.data
        if not self.field:
            return data
        there = value.definition > 2 * self.listed
        return {self.field: data} if there else None


def heavy_columns(reader: Any, group: int) -> list[Heavy]:
    """Returns the columns of a row group that take too much memory at once, as far as their shape is a usual one."""
    import pyarrow as pa
    from pyarrow import types

    found = []
    about, kinds = reader.metadata.row_group(group), {each.name: each.type for each in reader.schema_arrow}
    for place in range(about.num_columns):
        column, leaf = about.column(place), reader.metadata.schema.column(place)
        if column.total_uncompressed_size < max(LEAST_BYTES, LEAST_VALUE * column.num_values):
            continue
        name = column.path_in_schema.partition(".")[0]
        kind: Any = kinds.get(name, pa.null())
        listed = types.is_list(kind) or types.is_large_list(kind)
        inner = kind.value_type if listed else kind
        field = column.path_in_schema.rpartition(".")[2] if types.is_struct(inner) else ""
        value = next((each.type for each in inner if each.name == field), None) if field else inner
        text = value is not None and (types.is_string(value) or types.is_large_string(value))
        depth = 1 + bool(field) + 2 * listed
        usual = (
            value is not None
            and (text or types.is_binary(value) or types.is_large_binary(value))
            and (leaf.max_definition_level, leaf.max_repetition_level) == (depth, int(listed))
            and column.compression in COMPRESSIONS
            and ENCODINGS.issuperset(column.encodings)
        )
        if usual:
            found.append(Heavy(place, name, field, listed, text))
    return found


def joined(cell: Json, heavy: Json) -> Json:
    """Returns a cell that pyarrow read without a heavy field, and the heavy field, as one."""
    if isinstance(heavy, list):
        cells = cell if isinstance(cell, list) else [None] * len(heavy)
        return [joined(one, other) for one, other in zip(cells, heavy, strict=True)]
    return {**cell, **heavy} if isinstance(cell, Mapping) and isinstance(heavy, Mapping) else heavy
