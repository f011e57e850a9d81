"""What of a question is left out, and how long is waited, until a server takes it."""

from __future__ import annotations

from vqa.answers import Question
from vqa.client.problems import RefusedError
from vqa.client.server import LOGPROBS, TOKEN_IDS, USAGE, Known, leaner, without

MAX_WAIT = 60.0
"""Seconds that a server may ask to wait at a time; one that asks for more is told as busy."""
MAX_TRIES = 6


class Attempts:
    """What of a question is left out in which attempt, until the server takes it."""

    def __init__(self, question: Question, known: Known, *, vllm: bool) -> None:
        self._asked = question
        self._known = known
        self._shown = {
            LOGPROBS: question.logprobs is not None and LOGPROBS not in known.refused,
            TOKEN_IDS: vllm and question.token_ids and TOKEN_IDS not in known.refused,
            USAGE: USAGE not in known.refused,
        }
        self._choices: list[tuple[str, ...]] | None = None
        self._tries = 0
        self._waited = 0.0
        self.leaving = known.refused
        self.first: RefusedError | None = None
        """What the whole question was refused with."""
        self.exhausted = False
        """Whether every form was rejected."""

    @property
    def question(self) -> Question:
        """The question without what is left out."""
        return without(self._asked, self.leaving)

    def goes_on_after(self, problem: RefusedError) -> bool:
        """Returns whether there is a leaner form to try; what a server rejects it did not compute."""
        if not problem.rejected or (self._known.settled and self.first is None):
            return False
        if self._choices is None:
            self.first = problem
            self._choices = leaner(problem.words, self._shown)
        if not self._choices:
            self.exhausted = True
            return False
        # What another question of the same moment has found out counts once.
        self.leaving = tuple(dict.fromkeys((*self._known.refused, *self._choices.pop(0))))
        return True

    def may_wait(self, seconds: float) -> bool:
        """Returns whether the server's wish to be asked again so much later is granted; counts it when it is."""
        self._tries += 1
        self._waited += seconds
        return seconds <= MAX_WAIT and self._tries < MAX_TRIES and self._waited <= 2 * MAX_WAIT

    def settle(self) -> None:
        """Notes that the server answered this form."""
        if self.first is not None:
            self._known.refused = self.leaving
        elif self._shown[LOGPROBS]:
            self._known.settled = True
