"""What runs beside a request on purpose, and how many of it really ran together with each one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from vqa.answers import Question


@dataclass(frozen=True)
class Neighbours:
    """What is asked beside the requests that count, again and again, in turn."""

    questions: tuple[Question, ...]
    breaks_off: int = 0
    """How many tokens an answer has, where each is to be broken off in the middle; 0: none is."""
    salted: bool = True
    """Each has a cache salt and pictures of its own, so that it is computed anew (vLLM only)."""

    def question(self, number: int) -> Question:
        """Returns what is asked as the request of that number, from 0."""
        asked = self.questions[number % len(self.questions)]
        if not self.salted:
            return asked
        return replace(asked, cache_salt=uuid4().hex, image_uuids=tuple(uuid4().hex for _ in asked.images))

    def pieces(self, number: int) -> int | None:
        """Returns after how many pieces request `number` is broken off, between a quarter and three; None: never."""
        most = self.breaks_off
        return max(1, most // 4 + number * 7 % max(1, most // 2)) if most else None


@dataclass(frozen=True)
class Span:
    """When an answer was under way, from its first to its last token, in Unix seconds."""

    first: float
    last: float
    broken_off: bool = False


def met(own: Span, others: Sequence[Span]) -> int:
    """Returns how many answers were under way at once during `own`, at most, itself included."""
    beside = [span for span in others if span.first < own.last and span.last > own.first]
    moments = [max(span.first, own.first) for span in beside]
    return 1 + max((sum(span.first <= at < span.last for span in beside) for at in moments), default=0)


def broken_off(own: Span, others: Iterable[Span]) -> int:
    """Returns how many answers were broken off during `own`."""
    return sum(span.broken_off and own.first < span.last < own.last for span in others)
