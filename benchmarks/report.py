"""The HTML report of ten thousand samples, beside the plain JSON of the same run: seconds and bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from benchmarks import Row
from benchmarks.long_run import report
from vqa.lab.report.export import dump, to_html

TURNS = 3
SECONDS = 3.0
MEGABYTES = 5.0


def run() -> list[Row]:
    """Returns a row for the time, everything summarised anew, and one for the size."""
    made = report()
    times: tuple[list[float], list[float]] = ([], [])
    sizes = [0.0, 0.0]
    writers: tuple[Callable[[], str], ...] = (lambda: to_html(made), lambda: dump(made))
    for _ in range(TURNS):
        for place, write in enumerate(writers):
            began = time.perf_counter()
            sizes[place] = len(write().encode()) / 1e6
            times[place].append(time.perf_counter() - began)
    seconds = median(times[0])
    what = f"report of {len(made.samples)} samples"
    return [
        Row(f"HTML {what}, beside JSON", seconds, median(times[1]), "s", f"under {SECONDS:g} s", seconds < SECONDS),
        Row("its size, beside JSON's", sizes[0], sizes[1], "MB", f"under {MEGABYTES:g} MB", sizes[0] < MEGABYTES),
    ]
