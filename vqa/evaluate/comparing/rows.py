"""A run's rows as a comparison needs them: small values by the row's name. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vqa.answers import Sample
from vqa.evaluate.scoring.figures import ScoredRow
from vqa.lab.stats.agreement import normalize_answer

RIGHT = 0.5
"""Mean score from which on a row counts as right, where right and wrong are counted."""


@dataclass(frozen=True, slots=True)
class Side:
    """One row of one run."""

    place: int
    id: str
    kind: str
    question: str
    wanted: tuple[str, ...]
    texts: tuple[str, ...]
    scores: tuple[float, ...]
    """One for each text; empty without expected answers."""
    seconds: float
    tokens: int

    @property
    def score(self) -> float | None:
        """The mean over the repeats."""
        return sum(self.scores) / len(self.scores) if self.scores else None

    @property
    def answers(self) -> tuple[str, ...]:
        """The texts, normalised."""
        return tuple(map(normalize_answer, self.texts))

    @property
    def right(self) -> bool:
        """Whether the row counts as right."""
        return bool(self.scores) and (self.score or 0.0) >= RIGHT

    @property
    def stable(self) -> bool:
        """Whether all repeats are right, or none is."""
        return len({score >= RIGHT for score in self.scores}) <= 1


def sides(rows: Iterable[tuple[ScoredRow, dict[int, Sample]]]) -> dict[str, Side]:
    """Returns the answered rows by their name: the data set's own where it has one for every row, else the place."""
    found: list[Side] = []
    for row, samples in rows:
        if not row.texts:
            continue
        answers = [sample.answer for sample in samples.values() if sample.answer is not None]
        found.append(
            Side(
                row.place,
                row.id,
                row.kind,
                row.question[:300],
                row.wanted[:10],
                row.texts,
                tuple(score.value for score in row.scores),
                sum(answer.seconds for answer in answers) / len(answers),
                sum(answer.completion_tokens or 0 for answer in answers),
            )
        )
    ids = {side.id for side in found}
    named = len(ids) == len(found) and "" not in ids
    return {side.id if named else f"#{side.place + 1}": side for side in found}
