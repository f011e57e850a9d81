"""How long the command line takes: `--help` beside that of version 0.1, and `ask` beside the request that it sends."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from io import BytesIO
from pathlib import Path
from statistics import median

import httpx2 as httpx

from benchmarks import Row
from benchmarks.instant_server import MODEL, instant_server
from vqa.settings import ASSETS, PROJECT

BEFORE = "8933cd3"
"""A commit of version 0.1: every command's modules were imported by each of them."""
PAIRS = 5
SHARE = 1 / 3
MOST_MORE = 0.6
"""Seconds that `ask` may take besides its request."""
PACE = 0.01
"""Seconds to a token."""
PICTURE = ASSETS / "examples" / "01-describe.png"
QUESTION = "What is this?"


def run() -> list[Row]:
    """Returns a row for `--help`, where the repository's history is here to compare with, and one for `ask`."""
    return [*_help(), _ask()]


def _ask() -> Row:
    ours, bare = [], []
    with instant_server(PACE) as base_url:
        for _ in range(PAIRS):
            ours.append(seconds(PROJECT, "ask", str(PICTURE), QUESTION, "--base-url", base_url))
            bare.append(_request(base_url))
    more = median(mine - other for mine, other in zip(ours, bare, strict=True))
    return Row(
        "vqa ask, a picture, a running server; beside the bare request", median(ours), median(bare), "s",
        "at most 0.6 s more", more <= MOST_MORE,
    )  # fmt: skip


def _request(base_url: str) -> float:
    """Returns how long the same question takes from a client that is loaded already, in seconds."""
    address = f"data:image/png;base64,{base64.b64encode(PICTURE.read_bytes()).decode()}"
    content = [{"type": "image_url", "image_url": {"url": address}}, {"type": "text", "text": QUESTION}]
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}], "stream": True}
    with httpx.Client(trust_env=False) as client:
        began = time.perf_counter()
        client.post(f"{base_url}/chat/completions", json=body).raise_for_status()
        return time.perf_counter() - began


def _help() -> list[Row]:
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
