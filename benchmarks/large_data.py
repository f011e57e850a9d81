"""What the command takes of memory for a data set that is large: many rows, and gigabytes of pictures in one Parquet.

Beside it the same for a small one: what grows with the data would show. Asked is a server that answers at once. Counted
is what the command and its decoders hold together, on Linux what they share only once (PSS). Takes minutes, and twice
`VQA_BENCH_GIGABYTES` of disk (2 GB by default) has to be free, so it runs only where it is named.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from PIL import Image

from benchmarks import Row
from benchmarks.evaluation import write_rows
from benchmarks.instant_server import TOKENS, instant_server
from vqa.settings import PROJECT

ROWS, FEW = 100_000, 2_000
GIGABYTES = float(os.environ.get("VQA_BENCH_GIGABYTES", "1"))
PICTURE_BYTES = 500_000
GROUP_ROWS = 200
"""Rows to a row group, each of 100 MB."""
MEGABYTES = 300.0
SPARE = 2.0
"""Times the file's size that has to be free on the disk."""
LOOK_SECONDS = 0.05


def run() -> list[Row]:
    """Returns the peak of the command's memory with many rows, and with gigabytes of pictures."""
    found = []
    with instant_server() as base_url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if shutil.disk_usage(folder).free < SPARE * GIGABYTES * 1e9:
            raise SystemExit(f"{SPARE * GIGABYTES:.0f} GB have to be free in {folder}")
        small = peak(lines(folder / "few", FEW), base_url, folder / "data")
        found.append(_row(f"{ROWS} rows", peak(lines(folder / "many", ROWS), base_url, folder / "data"), small))
        small = peak(parquet(folder / "small.parquet", GIGABYTES / 50), base_url, folder / "data")
        large = peak(parquet(folder / "large.parquet", GIGABYTES), base_url, folder / "data")
        found.append(_row(f"a Parquet file of {GIGABYTES:g} GB", large, small))
    return found


def _row(what: str, large: tuple[float, float], small: tuple[float, float]) -> Row:
    note = f"{large[1]:.0f} s; bare: {small[1]:.0f} s"
    return Row(f"memory of evaluate over {what}, beside a fiftieth of it", large[0], small[0], "MB",
               f"under {MEGABYTES:g} MB", large[0] < MEGABYTES, note)  # fmt: skip


def lines(folder: Path, rows: int) -> Path:
    """Writes so many questions about a few pictures; returns the path of the rows."""
    folder.mkdir()
    few = write_rows(folder, 100).read_text().splitlines()
    path = folder / "all.jsonl"
    with path.open("w") as file:
        for number in range(rows):
            row = json.loads(few[number % len(few)])
            file.write(json.dumps(row | {"question": f"{row['question']} ({number})", "answer": "yes"}) + "\n")
    return path


def parquet(path: Path, gigabytes: float) -> Path:
    """Writes a Parquet file of that size, as Hugging Face keeps pictures; returns its path."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("question", pa.string()), ("answer", pa.string()), ("image", kind)])
    picture = _jpeg()
    with pq.ParquetWriter(path, schema) as writer:  # as it writes by itself: packed, with a dictionary
        for first in range(0, round(gigabytes * 1e9 / PICTURE_BYTES), GROUP_ROWS):
            rows = [
                {"question": f"What {number}?", "answer": "yes", "image": {"bytes": _as(picture, number), "path": None}}
                for number in range(first, first + GROUP_ROWS)
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema))
    return path


def _jpeg() -> bytes:
    """Returns a photograph's worth of JPEG, of about `PICTURE_BYTES`."""
    side, data = 400, b""
    while len(data) < PICTURE_BYTES:
        out = io.BytesIO()
        Image.effect_noise((side, side), 60).convert("RGB").save(out, "JPEG", quality=90)
        side, data = side + 40, out.getvalue()
    return data


def _as(jpeg: bytes, number: int) -> bytes:
    """Returns the same picture under another hash: with a comment after its first mark."""
    return jpeg[:2] + b"\xff\xfe\x00\x0a" + number.to_bytes(8, "big") + jpeg[2:]


def peak(dataset: Path, base_url: str, data: Path) -> tuple[float, float]:
    """Returns the most megabytes that the command and its decoders held at a time, and its seconds."""
    words = ["evaluate", str(dataset), "--base-url", base_url, "-c", "8", "--max-tokens", str(TOKENS)]
    environment = os.environ | {"VQA_DATA_DIR": str(data)}
    began, most = time.monotonic(), 0
    with dataset.with_suffix(".log").open("w+b") as log:
        command = [sys.executable, "-m", "vqa", *words]
        with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log) as child:
            while child.poll() is None:
                most = max(most, _held(child.pid))
                time.sleep(LOOK_SECONDS)
        log.seek(0)
        if child.returncode:
            raise SystemExit(f"evaluate ended with {child.returncode}:\n{log.read().decode()[-2000:]}")
    shutil.rmtree(data)
    dataset.unlink()
    return most / 1e6, time.monotonic() - began


def _held(pid: int) -> int:
    """Returns the bytes that a process and its children hold; what they share counts once, where the system tells."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return sum(_of(each) for each in (process, *process.children(recursive=True)))
    return 0


def _of(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        told = process.memory_full_info()
        return int(getattr(told, "pss", 0) or told.rss)
    return 0
