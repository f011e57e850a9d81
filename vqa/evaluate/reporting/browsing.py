"""The rows of a stored run as a reader goes through them: filtered, sorted by margin, a page at a time. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vqa.answers import Answer
from vqa.evaluate.comparing.forecast import smallest_margin
from vqa.evaluate.reporting.files import state_of
from vqa.evaluate.running.results import scored_rows, scorer_of
from vqa.store import Run, Store

FILTERS = ("all", "wrong", "unparsed", "flipped", "uncertain", "failed", "slow", "skipped")
UNCERTAIN = 0.2
"""Nats: below this margin another load may well bring another token."""
SLOW_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Entry:
    """One row as the list shows it."""

    place: int
    number: int
    state: str
    kind: str
    question: str
    wanted: tuple[str, ...]
    texts: tuple[str, ...]
    score: float | None
    margin: float | None
    """The smallest margin over the answer's tokens, in nats."""
    seconds: float
    flipped: bool = False
    reason: str = ""
    reason_zh: str = ""


def entries(store: Store, run: Run) -> list[Entry]:
    """Returns every row of a run, in the order of the data set."""
    found = []
    for row, samples in scored_rows(store, run.id, scorer_of(store, run)):
        answers: list[Answer] = [sample.answer for sample in samples.values() if sample.answer is not None]
        margins = [margin for answer in answers if (margin := smallest_margin(answer)) is not None]
        found.append(
            Entry(
                row.place,
                row.number,
                state_of(row),
                row.kind,
                row.question[:300],
                tuple(dict.fromkeys(row.wanted))[:5],
                tuple(text[:300] for text in dict.fromkeys(row.texts)),
                row.score,
                min(margins, default=None),
                max((answer.seconds for answer in answers), default=0.0),
                row.flips,
            )
        )
    for stored, _ in store.evaluated(run.id):
        if bad := stored.record.get("bad"):
            question = str(stored.record.get("question", ""))[:300]
            found.append(
                Entry(
                    stored.place,
                    stored.number,
                    "skipped",
                    "",
                    question,
                    (),
                    (),
                    None,
                    None,
                    0.0,
                    False,
                    bad["reason"],
                    bad["reason_zh"],
                )
            )
    return sorted(found, key=lambda entry: entry.place)


def chosen(rows: list[Entry], wanted: str, *, by_margin: bool, changed: frozenset[int] = frozenset()) -> list[Entry]:
    """Returns the rows of one filter; `changed` are the places where another run answered otherwise."""
    slow = sorted((row.seconds for row in rows if row.texts), reverse=True)
    limit = slow[max(int(len(slow) * SLOW_SHARE) - 1, 0)] if slow else 0.0
    tests: dict[str, Callable[[Entry], bool]] = {
        "wrong": lambda row: row.state in {"wrong", "part"},
        "unparsed": lambda row: row.state == "unparsed",
        "flipped": lambda row: row.flipped,
        "uncertain": lambda row: row.margin is not None and row.margin <= UNCERTAIN,
        "failed": lambda row: row.state == "failed",
        "slow": lambda row: bool(row.texts) and row.seconds >= limit,
        "skipped": lambda row: row.state == "skipped",
        "changed": lambda row: row.place in changed,
    }
    found = [row for row in rows if wanted == "all" or tests[wanted](row)]
    if by_margin:
        found.sort(key=lambda row: float("inf") if row.margin is None else row.margin)
    return found
