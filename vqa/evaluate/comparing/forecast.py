"""Which rows can flip: those whose smallest margin is within twice the drift that was seen. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vqa.answers import Answer, Json, Sample


def smallest_margin(answer: Answer) -> float | None:
    """Returns the smallest logprob(top 1) - logprob(top 2) over an answer's tokens, in nats; None where not shown."""
    margins = []
    for token in answer.tokens or ():
        best = sorted((value for _, value in token.top if math.isfinite(value)), reverse=True)
        if len(best) > 1:
            margins.append(best[0] - best[1])
    return min(margins, default=None)


def drift_between(one: Answer, other: Answer) -> float:
    """Returns the largest movement of the chosen token's logprob before two answers diverge, in nats."""
    largest = 0.0
    for left, right in zip(one.tokens or (), other.tokens or (), strict=False):
        if left.text != right.text:
            break
        if math.isfinite(left.logprob) and math.isfinite(right.logprob):
            largest = max(largest, abs(left.logprob - right.logprob))
    return largest


@dataclass(frozen=True)
class Forecast:
    """The rows that can flip at a drift, and how that turned out where another run has asked them."""

    drift: float
    rows: int
    fragile: tuple[int, ...]
    """Places of the rows whose margin is at most twice the drift, the smallest margin first."""
    flipped: tuple[int, ...] | None
    """Places of the rows whose answer differed; None where nothing was compared."""

    def record(self) -> dict[str, Json]:
        """Returns plain values, with precision and recall."""
        found: dict[str, Json] = {"drift": self.drift, "rows": self.rows, "fragile": list(self.fragile)}
        if self.flipped is None:
            return found
        hits = len(set(self.fragile) & set(self.flipped))
        return found | {
            "flipped": list(self.flipped),
            "hits": hits,
            "precision": hits / len(self.fragile) if self.fragile else None,
            "recall": hits / len(self.flipped) if self.flipped else None,
        }


def forecast(
    first: Mapping[int, Answer], again: Iterable[tuple[int, Sample]] | None = None, drift: float | None = None
) -> Forecast:
    """Returns the forecast for answers by place; `again` are answers of the same rows under another load.

    Without `drift` it is what was seen: the largest movement between `first` and `again` before any divergence.
    """
    flipped: set[int] = set()
    seen = 0.0
    for place, sample in again or ():
        answer, known = sample.answer, first.get(place)
        if answer is None or known is None:
            continue
        seen = max(seen, drift_between(known, answer))
        if answer.text != known.text:
            flipped.add(place)
    used = seen if drift is None else drift
    margins = {place: margin for place, answer in first.items() if (margin := smallest_margin(answer)) is not None}
    fragile = sorted((place for place, margin in margins.items() if margin <= 2 * used), key=lambda at: margins[at])
    return Forecast(used, len(first), tuple(fragile), None if again is None else tuple(sorted(flipped)))
