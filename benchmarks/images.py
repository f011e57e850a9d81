"""Preparing a 12-megapixel photograph, beside reading the file and encoding it in base64 and nothing else."""

from __future__ import annotations

import base64
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from benchmarks import Row
from vqa.media.images import load_image
from vqa.media.runner import pool

SIZE = (4000, 3000)
TURNS = 25
"""Of each the quickest counts: other work on the machine makes a turn slower, never quicker."""
BOUNDS = {"JPEG": 0.015, "PNG": 1.5, "WEBP": 1.0}
"""Seconds more than the bare read: a picture is decoded to its last byte, so that a damaged one is found here."""


def run() -> list[Row]:
    """Returns the least seconds for each format."""
    photograph = _photograph()
    pool().warm()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, bound in BOUNDS.items():
            path = Path(folder) / f"photograph.{kind.lower()}"
            photograph.save(path, kind, quality=85)
            ours, bare = _in_turns(lambda path=path: load_image(path).data_url, lambda path=path: _bare(path))  # type: ignore[misc]
            note = f"{path.stat().st_size / 1e6:.1f} MB"
            held = ours - bare <= bound
            rows.append(Row(f"12-megapixel {kind}", ours, bare, "s", f"at most {bound} s more", held, note))
    return rows


def _bare(path: Path) -> str:
    return "data:;base64," + base64.b64encode(path.read_bytes()).decode()


def _in_turns(ours: Callable[[], str], bare: Callable[[], str]) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(TURNS):
        for call, kept in zip((ours, bare), times, strict=True):
            began = time.perf_counter()
            call()
            kept.append(time.perf_counter() - began)
    return min(times[0]), min(times[1])


def _photograph() -> Image.Image:
    """Returns something as hard to compress as a photograph: smooth colour with a little noise."""
    smooth = Image.radial_gradient("L").resize(SIZE)
    noise = Image.effect_noise(SIZE, 12)
    return Image.merge("RGB", (smooth, Image.blend(smooth, noise, 0.2), noise.point(lambda value: 255 - value)))
