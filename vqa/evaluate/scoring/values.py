"""What a scorer is, what it is given and what it says. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vqa.answers import Json


@dataclass(frozen=True, slots=True)
class Target:
    """What is expected of an answer."""

    answers: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()
    """Letter and text of each option; empty for an open question."""


@dataclass(frozen=True, slots=True)
class Score:
    """How right one answer is."""

    value: float
    """From 0 to 1; 0 for an answer that could not be parsed."""
    parsed: str | None = None
    """What was read out of the answer: a letter, a number, yes or no, the normalised text."""
    unparsed: bool = False
    """Whether nothing could be read out of it: counted apart, and never guessed."""


@dataclass(frozen=True)
class Scorer:
    """A rule by its name and version; a published figure needs both."""

    name: str
    version: str
    source: str
    """Where the rule is defined."""
    score: Callable[[str, Target], Score]

    def record(self) -> dict[str, Json]:
        """Returns what identifies it, as plain values."""
        return {"name": self.name, "version": self.version, "source": self.source}


UNPARSED = Score(0.0, None, unparsed=True)
