"""Sums up scored rows: accuracy with its interval, by type, over repeats, and how far repeats agree. Pure.

Takes rows one by one and keeps a few numbers of each, so that 100,000 rows take some megabytes.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

import numpy as np

from vqa.answers import Answer, Json
from vqa.evaluate.scoring.choice import NO, YES, expected_yes_or_no
from vqa.evaluate.scoring.intervals import accuracy_interval
from vqa.evaluate.scoring.values import Score, Scorer, Target
from vqa.lab.stats.agreement import normalize_answer

WRONG_SHOWN = 200
BAD_SHOWN = 1000


@dataclass(frozen=True)
class ScoredRow:
    """One row with the scores of its repeats, in the order of the repeats."""

    place: int
    number: int
    id: str
    kind: str
    question: str
    wanted: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    texts: tuple[str, ...]
    """What was answered; failed repeats have none."""
    indexes: tuple[int, ...]
    """Which repeat each text is of, from 0."""
    scores: tuple[Score, ...]
    """Empty for a row without expected answers."""
    failed: int = 0
    said: tuple[str, ...] = ()
    """The same with refusals and calls of tools, which an answer may have in place of a text."""
    why: str = ""
    """Why one of the failed has failed."""

    @property
    def score(self) -> float | None:
        """The mean score of the repeats; None where nothing can be scored."""
        return sum(score.value for score in self.scores) / len(self.scores) if self.scores else None

    @property
    def unparsed(self) -> int:
        """How many of the answers could not be parsed."""
        return sum(score.unparsed for score in self.scores)

    @property
    def flips(self) -> bool:
        """Whether what its repeats answered differs."""
        return len(set(self.said or self.texts)) > 1

    @property
    def answer_flips(self) -> bool:
        """Whether they differ when case, punctuation and articles do not count."""
        return len({normalize_answer(text) for text in self.said or self.texts}) > 1


def score_row(scorer: Scorer, texts: Sequence[str], target: Target) -> tuple[Score, ...]:
    """Returns the scores of a row's answers; none without an expected answer. Equal texts are scored once."""
    if not target.answers:
        return ()
    known: dict[str, Score] = {}
    for text in texts:
        if text not in known:
            known[text] = scorer.score(text, target)
    return tuple(known[text] for text in texts)


@dataclass
class Figures:
    """Adds up the rows of a run."""

    scorer: Scorer
    repeats: int
    asked: int = 0
    answered: int = 0
    requests: int = 0
    failed: int = 0
    error_example: str = ""
    unparsed: int = 0
    skipped: int = 0
    flips: int = 0
    answer_flips: int = 0
    repeated: int = 0
    exact: array[float] = field(default_factory=lambda: array("d"))
    scores: array[float] = field(default_factory=lambda: array("d"))
    kinds: dict[str, array[float]] = field(default_factory=dict)
    by_repeat: dict[int, list[float]] = field(default_factory=dict)
    """Sum and count of the scores of each repeat."""
    cells: Counter[str] = field(default_factory=Counter)
    """For yes-or-no questions: true and false positives and negatives."""
    seconds: array[float] = field(default_factory=lambda: array("d"))
    tokens: int = 0
    retried: int = 0
    """Answers that came only after the server had asked to wait, or was busy."""
    wrong: list[dict[str, Json]] = field(default_factory=list)
    bad: list[dict[str, Json]] = field(default_factory=list)

    def add(self, row: ScoredRow) -> None:
        """Takes in one row."""
        self.asked += 1
        self.requests += len(row.texts) + row.failed
        self.failed += row.failed
        self.error_example = self.error_example or row.why
        self.answered += bool(row.texts)
        self.unparsed += row.unparsed
        if len(row.texts) > 1:
            self.repeated += 1
            self.flips += row.flips
            self.answer_flips += row.answer_flips
        if not row.scores:
            return
        value = row.score or 0.0
        self.scores.append(value)
        self.kinds.setdefault(row.kind, array("d")).append(value)
        wanted = {answer.strip() for answer in row.wanted}
        self.exact.append(sum(text.strip() in wanted for text in row.texts) / len(row.texts))
        for index, score in zip(row.indexes, row.scores, strict=True):
            total = self.by_repeat.setdefault(index, [0.0, 0.0])
            total[0] += score.value
            total[1] += 1
        if self.scorer.name == "pope":
            self._count_yes_and_no(row)
        if value < 1 and len(self.wrong) < WRONG_SHOWN:
            self.wrong.append(
                {
                    "row": row.place + 1,
                    "line": row.number,
                    "id": row.id,
                    "question": row.question[:500],
                    "wanted": [answer[:200] for answer in dict.fromkeys(row.wanted)][:10],
                    "answers": [text[:500] for text in sorted(set(row.texts))][:10],
                    "score": round(value, 4),
                    "unparsed": row.unparsed,
                }
            )

    def add_bad(self, place: int, number: int, record: dict[str, Json]) -> None:
        """Takes in a row that could not be asked."""
        self.skipped += 1
        if len(self.bad) < BAD_SHOWN:
            self.bad.append({"row": place + 1, "line": number, "id": record.get("id", ""), **record["bad"]})

    def measure(self, answer: Answer) -> None:
        """Takes in how long one answer took, how many tokens it has, and whether it had to be asked for again."""
        self.seconds.append(answer.seconds)
        self.tokens += answer.completion_tokens or 0
        self.retried += answer.retried > 0

    def record(self) -> dict[str, Json]:
        """Returns the figures as plain values."""
        interval = accuracy_interval(self.scores)
        return {
            "scorer": self.scorer.record(),
            "rows": self.asked + self.skipped,
            "asked": self.asked,
            "scored": len(self.scores),
            "requests": self.requests,
            "repeats": self.repeats,
            "accuracy": _mean(self.scores),
            "interval": interval and asdict(interval),
            "exact": _mean(self.exact),
            "unparsed": self.unparsed,
            "failed": self.failed,
            "error_example": self.error_example,
            "skipped": self.skipped,
            "retried": self.retried,
            "by_kind": {kind: self._kind(kind) for kind in sorted(self.kinds) if kind},
            "tar_raw": 1 - self.flips / self.repeated if self.repeated else None,
            "tar_answer": 1 - self.answer_flips / self.repeated if self.repeated else None,
            "flips": self.flips,
            "over_repeats": self._over_repeats(),
            "yes_no": self._yes_no(),
            "latency": self._latency(),
            "tokens": self.tokens,
            "wrong": self.wrong,
            "bad_rows": self.bad,
        }

    def _kind(self, kind: str) -> dict[str, Json]:
        scores = self.kinds[kind]
        interval = accuracy_interval(scores)
        return {"rows": len(scores), "accuracy": _mean(scores), "interval": interval and asdict(interval)}

    def _over_repeats(self) -> dict[str, Json] | None:
        """Returns the accuracy of each repeat by itself, of those that asked every row."""
        if len(self.by_repeat) < 2:
            return None
        most = max(count for _, count in self.by_repeat.values())
        found = [total / count for _, (total, count) in sorted(self.by_repeat.items()) if count == most]
        return {"accuracies": found, "low": min(found), "high": max(found)} if len(found) > 1 else None

    def _count_yes_and_no(self, row: ScoredRow) -> None:
        wanted = expected_yes_or_no(row.wanted[0])
        for score in row.scores:
            self.cells["unclear" if score.parsed is None else f"{wanted}_{score.parsed}"] += 1

    def _yes_no(self) -> dict[str, Json] | None:
        """Returns POPE's figures with yes as the positive class; unclear answers are in none of them."""
        if not self.cells:
            return None
        hits, misses = self.cells[f"{YES}_{YES}"], self.cells[f"{YES}_{NO}"]
        false = self.cells[f"{NO}_{YES}"]
        clear = sum(self.cells.values()) - self.cells["unclear"]
        precision = hits / (hits + false) if hits + false else None
        recall = hits / (hits + misses) if hits + misses else None
        both = 2 * hits / (2 * hits + false + misses) if hits + false + misses else None
        return {
            "precision": precision,
            "recall": recall,
            "f1": both,
            "yes_share": (hits + false) / clear if clear else None,
            "unclear": self.cells["unclear"],
        }

    def _latency(self) -> dict[str, Json] | None:
        if not self.seconds:
            return None
        return {"median": median(self.seconds), "p95": float(np.percentile(self.seconds, 95))}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None
