"""How long the command line takes to start, beside that of version 0.1 before its modules were imported on demand."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import time
from io import BytesIO
from pathlib import Path
from statistics import median

from benchmarks import Row
from vqa.settings import PROJECT

BEFORE = "8933cd3"
"""A commit of version 0.1: every command's modules were imported by each of them."""
PAIRS = 5
SHARE = 1 / 3


def run() -> list[Row]:
    """Returns a row for `--help`; none where the repository's history is not here."""
    packed = subprocess.run(["git", "archive", BEFORE, "vqa"], cwd=PROJECT, capture_output=True, check=False)
    if packed.returncode:
        print(f"  {BEFORE} is not in this clone, so there is nothing to compare with", flush=True)
        return []
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
            archive.extractall(folder, filter="data")
        ours, before = [], []
        for _ in range(PAIRS):
            ours.append(seconds(PROJECT, "--help"))
            before.append(seconds(Path(folder), "--help"))
    row = Row(
        "vqa --help, beside version 0.1", median(ours), median(before), "s", "at most a third",
        median(mine / other for mine, other in zip(ours, before, strict=True)) <= SHARE,
    )  # fmt: skip
    return [row]


def seconds(folder: Path, *words: str) -> float:
    """Returns how long a command takes to its end, in seconds."""
    began = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run([sys.executable, "-m", "vqa", *words], cwd=folder, env=environment, capture_output=True, check=True)
    return time.perf_counter() - began
