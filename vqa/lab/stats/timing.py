"""How long requests took and how many came through, taken in one by one."""

from __future__ import annotations

import numpy as np

from vqa.answers import Answer, Sample
from vqa.lab.stats.summary import Latency

BRIEF = 0.05
"""The share of an answer, at its beginning and at its end, during which others are not counted as met."""


class Timing:
    """Takes the answers of one question in any order."""

    def __init__(self) -> None:
        self.seconds: dict[int, float] = {}
        """By the index of the request."""
        self._first_token: dict[int, float] = {}
        self._starts: list[float] = []
        self._ends: list[float] = []
        self._running: list[tuple[float, float]] = []
        self._completion = 0

    def add(self, sample: Sample, answer: Answer) -> None:
        """Takes in the answer of a sample."""
        self.seconds[sample.index] = answer.seconds
        if answer.seconds_to_first_token is not None:
            self._first_token[sample.index] = answer.seconds_to_first_token
            began = sample.started_at + answer.seconds_to_first_token
            self._running.append((began, sample.started_at + answer.seconds))
        self._starts.append(sample.started_at)
        self._ends.append(sample.started_at + answer.seconds)
        self._completion += answer.completion_tokens or 0

    def together(self) -> int | None:
        """Returns how many answers were under way at once, at most: between their first and their last token.

        A request that waits in a queue has no token yet, so this is how many the server really ran together. None
        where an answer does not tell when its first token came.
        """
        if not self._running or len(self._running) < len(self.seconds):
            return None
        # One after another, an answer's end may be read a moment after the next one's first token: that is no meeting.
        brief = [BRIEF * (end - began) for began, end in self._running]
        moments = sorted(
            [(end - less, -1) for (_, end), less in zip(self._running, brief, strict=True)]
            + [(began + less, 1) for (began, _), less in zip(self._running, brief, strict=True)]
        )
        return int(np.cumsum([step for _, step in moments]).max())

    def latency(self) -> Latency:
        """Returns what can be said by now."""
        if not self.seconds:
            return Latency()
        seconds = np.fromiter(self.seconds.values(), float)
        firsts = np.fromiter(self._first_token.values(), float)
        busy = _busy(np.array(self._starts), np.array(self._ends))
        return Latency(
            first=self.seconds.get(0),
            median=float(np.median(seconds)),
            p95=float(np.percentile(seconds, 95)),
            first_token_first=self._first_token.get(0),
            first_token_median=float(np.median(firsts)) if firsts.size else None,
            throughput=len(seconds) / busy if busy > 0 else None,
            tokens_per_second=self._completion / busy if busy > 0 and self._completion else None,
        )


def _busy(
    starts: np.ndarray[tuple[int], np.dtype[np.float64]], ends: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> float:
    """Returns the length of the union of the intervals: seconds in which at least one request was under way."""
    order = np.argsort(starts)
    starts, ends = starts[order], ends[order]
    reached = np.concatenate(([-np.inf], np.maximum.accumulate(ends)[:-1]))
    return float(np.maximum(ends - np.maximum(starts, reached), 0.0).sum())
