"""Where the client and not the engine becomes the limit: requests per second for 1 to 256 at a time, lab beside bare.

While the engine is the limit both ways are equally fast and grow with c. Where the lab falls behind the bare client,
its own work on each token (reading, counting, storing) is what time is spent on; `ceiling` says where that begins.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks import Row
from benchmarks.lab_throughput import compare

AT_A_TIME = (1, 4, 16, 64, 256)
TURNS = 2
LEAST_REQUESTS = 24
MAX_TOKENS = 16


def run(base_url: str) -> list[Row]:
    """Returns a row for each number of requests at a time; nothing is promised of them."""
    rows = []
    for count in AT_A_TIME:
        requests = max(LEAST_REQUESTS, 2 * count)
        row = compare(base_url, count, requests=requests, turns=TURNS, max_tokens=MAX_TOKENS)
        what = f"requests of {MAX_TOKENS} tokens through the lab from the engine, c = {count}"
        note = f"{row.ours * MAX_TOKENS:.0f} tokens/s, bare {row.bare * MAX_TOKENS:.0f}"
        rows.append(replace(row, what=what, bound="none", held=True, note=note))
    return rows
