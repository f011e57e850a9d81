"""Large values of a Parquet file, read one by one, are what pyarrow reads at once."""

from __future__ import annotations

import io
import itertools
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vqa.errors import InputError
from vqa.evaluate.reading import heavy
from vqa.evaluate.reading.heavy import heavy_columns
from vqa.evaluate.reading.pages import exactly
from vqa.evaluate.reading.parquet import parquet_records
from vqa.evaluate.reading.snappy import SnappyReader

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SCHEMA = pa.schema(
    [
        ("question", pa.string()),
        ("image", PICTURE),
        ("raw", pa.large_binary()),
        ("text", pa.string()),
        ("images", pa.list_(PICTURE)),
        ("raws", pa.list_(pa.binary())),
        ("only", pa.struct([("bytes", pa.binary())])),
        ("numbers", pa.list_(pa.int64())),
    ]
)
HEAVY = ["image", "raw", "text", "images", "raws", "only"]


def rows() -> list[dict[str, Any]]:
    chance = random.Random(1)

    def blob() -> bytes:
        varied = chance.randbytes(chance.randint(2_000, 9_000))
        return varied if chance.random() < 0.5 else bytes(chance.choices(b"abc", k=40)) * 70

    def picture() -> dict[str, Any] | None:
        given = {"bytes": blob(), "path": None}
        return chance.choice([None, given, given | {"path": "a.png"}, {"bytes": None, "path": "b.png"}])

    found = [
        {
            "question": f"What is {number}?",
            "image": picture(),
            "raw": chance.choice([None, blob(), b""]),
            "text": chance.choice([None, "\u00e9" * 3_000]),
            "images": chance.choice([None, [], [picture()], [picture(), picture(), picture()]]),
            "raws": chance.choice([None, [], [blob(), None]]),
            "only": chance.choice([None, {"bytes": blob()}, {"bytes": None}]),
            "numbers": chance.choice([None, [1, 2]]),
        }
        for number in range(60)
    ]
    return [*found, *(found[number % 7] for number in range(40))]  # what repeats is numbered in a dictionary


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "brotli"])
def test_every_way_to_write_large_values_is_read_as_it_was_written(
    compression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heavy, "LEAST_BYTES", 4_000)
    monkeypatch.setattr(heavy, "LEAST_VALUE", 10)
    wanted, path = rows(), tmp_path / "rows.parquet"
    for version, dictionary, group in itertools.product(("1.0", "2.0"), (True, False), (35, 1_000)):
        pq.write_table(
            pa.Table.from_pylist(wanted, SCHEMA), path, compression=compression, data_page_version=version,
            use_dictionary=dictionary, row_group_size=group,
        )  # fmt: skip
        assert [each.name for each in heavy_columns(pq.ParquetFile(path), 0)] == HEAVY
        with path.open("rb") as file:
            found = list(parquet_records(file, path.name))
        assert [number for number, _ in found] == list(range(1, 101))
        assert [row for _, row in found] == wanted


def test_what_is_not_known_is_left_to_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heavy, "LEAST_BYTES", 4_000)
    monkeypatch.setattr(heavy, "LEAST_VALUE", 10)
    wanted, path = rows(), tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(wanted, SCHEMA), path, compression="lz4")
    assert heavy_columns(pq.ParquetFile(path), 0) == []
    with path.open("rb") as file:
        assert [row for _, row in parquet_records(file, path.name)] == wanted


def test_damage_within_a_large_column_is_said(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    chance = random.Random(2)
    pq.write_table(pa.table({"image": [chance.randbytes(90_000) for _ in range(60)], "question": ["?"] * 60}), path)
    assert len(heavy_columns(pq.ParquetFile(path), 0)) == 1
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(300_000) + data[300_004:])  # the head of the page, and some of it
    with path.open("rb") as file, pytest.raises(InputError) as caught:
        list(parquet_records(file, path.name))
    assert caught.value.code == "dataset_unreadable"


@pytest.mark.parametrize("packed", [b"\x05\x00a\x0d", b"\x08\x00a\x11\x05", b"\x05", b"\xff\xff\xff"])
def test_a_damaged_block_ends_in_an_error(packed: bytes) -> None:
    with pytest.raises(ValueError):
        SnappyReader(exactly(io.BytesIO(packed).read)).read(8)
