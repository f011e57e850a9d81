"""Small data sets in the shapes that users have, made to order."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220), "green": (30, 160, 30), "black": (0, 0, 0)}


def png(colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (32, 32), COLOURS[colour]).save(out, "PNG")
    return out.getvalue()


def b64(colour: str = "red") -> str:
    return base64.b64encode(png(colour)).decode()


def put(folder: Path, *names: str, colour: str = "red") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(colour))


def lines(path: Path, records: list[Any], encoding: str = "utf-8") -> Path:
    path.write_bytes("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records).encode(encoding))
    return path


def document(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value, ensure_ascii=False))
    return path


def table(path: Path, records: list[dict[str, Any]], encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        dialect = "excel-tab" if path.suffix == ".tsv" else "excel"
        writer = csv.DictWriter(file, list(records[0]), dialect=dialect)
        writer.writeheader()
        writer.writerows(records)
    return path


def parquet(path: Path, records: list[dict[str, Any]]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(records), path)
    return path
