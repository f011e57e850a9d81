"""How far the client itself goes: the lab beside a bare client against a server that answers at once.

What an engine answers beyond these figures, the lab cannot take in; below them the engine is the limit.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks import Row
from benchmarks.instant_server import TOKENS, instant_server
from benchmarks.lab_throughput import compare

AT_A_TIME = (1, 256)
TURNS = 2
REQUESTS = 384


def run() -> list[Row]:
    """Returns a row for each number of requests at a time; the note says tokens a second. Nothing is promised."""
    rows = []
    with instant_server() as base_url:
        for count in AT_A_TIME:
            row = compare(base_url, count, requests=REQUESTS, turns=TURNS, max_tokens=TOKENS)
            what = f"requests of {TOKENS} tokens that the lab can take in, c = {count}"
            note = f"{row.ours * TOKENS:.0f} tokens/s, bare {row.bare * TOKENS:.0f}"
            rows.append(replace(row, what=what, bound="none", held=True, note=note))
    return rows
