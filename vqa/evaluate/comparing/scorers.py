"""One set of answers under several scorers: the range of the accuracy, and the rows where they disagree. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vqa.answers import Json
from vqa.evaluate.scoring import SCORERS, Scorer, Target
from vqa.evaluate.scoring.choice import yes_or_no
from vqa.evaluate.scoring.figures import Figures, ScoredRow, score_row
from vqa.evaluate.scoring.soft import FEW
from vqa.evaluate.scoring.texts import number_in

SHOWN = 200


def fitting(target: Target) -> set[str]:
    """Returns the scorers that can be used for a row with these expected answers."""
    names = set(SCORERS)
    if len(target.answers) < FEW:  # annotators' votes are counted, not alternatives
        names -= {"vqa", "vqa_official"}
    if not target.options:
        names.discard("choice")
    if not all(yes_or_no(answer) for answer in target.answers):
        names.discard("pope")
    if not any(number_in(answer) for answer in target.answers):
        names.discard("numeric")
    return names


@dataclass
class SideBySide:
    """Adds up rows under every scorer."""

    scorers: Sequence[Scorer]
    repeats: int
    figures: dict[str, Figures] = field(default_factory=dict)
    disagreements: int = 0
    shown: list[dict[str, Json]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.figures = {scorer.name: Figures(scorer, self.repeats) for scorer in self.scorers}

    def add(self, row: ScoredRow) -> None:
        """Takes in one row."""
        target = Target(row.wanted, row.options)
        means: dict[str, float] = {}
        for scorer in self.scorers:
            scores = score_row(scorer, row.texts, target)
            scored = ScoredRow(**{name: getattr(row, name) for name in ROW_FIELDS}, scores=scores)
            self.figures[scorer.name].add(scored)
            if scored.score is not None:
                means[scorer.name] = round(scored.score, 4)
        if len(set(means.values())) > 1:
            self.disagreements += 1
            if len(self.shown) < SHOWN:
                self.shown.append(
                    {
                        "row": row.place + 1,
                        "id": row.id,
                        "question": row.question[:500],
                        "wanted": list(dict.fromkeys(row.wanted))[:10],
                        "answers": sorted(set(row.texts))[:10],
                        "scores": means,
                    }
                )

    def record(self) -> dict[str, Json]:
        """Returns accuracy, interval and unparsed answers of each scorer, and where they disagree."""
        keys = ("scorer", "accuracy", "interval", "unparsed", "scored", "yes_no")
        listed = [{key: figures.record()[key] for key in keys} for figures in self.figures.values()]
        known = [each["accuracy"] for each in listed if each["accuracy"] is not None]
        return {
            "scorers": listed,
            "range": [min(known), max(known)] if known else None,
            "disagreements": self.disagreements,
            "rows": self.shown,
        }


ROW_FIELDS = (
    "place",
    "number",
    "id",
    "kind",
    "question",
    "wanted",
    "options",
    "texts",
    "indexes",
    "failed",
    "said",
    "why",
)


def side_by_side(rows: Iterable[ScoredRow], scorers: Sequence[Scorer], repeats: int) -> dict[str, Json]:
    """Returns stored rows under the given scorers."""
    found = SideBySide(scorers, repeats)
    for row in rows:
        found.add(row)
    return found.record()


def fitting_scorers(rows: Iterable[ScoredRow]) -> list[Scorer]:
    """Returns the scorers that fit the rows: all of them for one kind of question."""
    names: set[str] | None = None
    for row in rows:
        if row.wanted:
            names = fitting(Target(row.wanted, row.options)) if names is None else names
            names |= fitting(Target(row.wanted, row.options)) - {"pope"}
            if "pope" in names and not all(yes_or_no(answer) for answer in row.wanted):
                names.discard("pope")
    return [SCORERS[name] for name in SCORERS if name in (names or set())]
