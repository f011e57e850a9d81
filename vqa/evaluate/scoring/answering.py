"""Who answered: how far each server agrees with itself over a row's repeats, and each two with one another. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations

from vqa.answers import Answer, Json

MOST = 16
"""Servers told apart; the answers of further ones are counted and not compared."""


@dataclass
class Answering:
    """Takes in the answers of one row after the other."""

    answers: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    """Rows that a server was asked more than once."""
    agreed: Counter[str] = field(default_factory=Counter)
    """Those of them to which it gave the same answer each time."""
    shared: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Rows that two servers were asked both."""
    differ: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Those of them to which their first answers differ."""

    def add(self, answers: Iterable[Answer]) -> None:
        """Takes in the answers of a row, in the order of its repeats."""
        said: dict[str, list[str]] = {}
        for answer in answers:
            if name := f"{answer.server} {answer.system_fingerprint or ''}".strip():
                said.setdefault(name, []).append(answer.answered)
        for name, texts in said.items():
            self.answers[name] += len(texts)
            if len(texts) > 1:
                self.repeated[name] += 1
                self.agreed[name] += len(set(texts)) == 1
        if len(said) > 1 and len(self.answers) <= MOST:
            for pair in combinations(sorted(said), 2):
                self.shared[pair] += 1
                self.differ[pair] += said[pair[0]][0] != said[pair[1]][0]

    def record(self) -> dict[str, Json]:
        """Returns the counts as plain values: `servers` by name, `pairs` of those that answered the same rows."""
        names = sorted(self.answers)
        return {
            "servers": {
                name: {"answers": self.answers[name], "repeated": self.repeated[name], "agreed": self.agreed[name]}
                for name in names
            },
            "pairs": [
                {"servers": list(pair), "rows": rows, "differ": self.differ[pair]}
                for pair, rows in sorted(self.shared.items())
            ],
        }
