"""The levels of agreement: in which sense two answers are the same, from bit for bit down to 'means the same'."""

import hashlib
from array import array
from enum import StrEnum

from vqa.answers import Answer, Token
from vqa.lab.stats.normalize import normalize_answer


class Level(StrEnum):
    """How much of two answers is equal; a level implies all the weaker ones."""

    BITWISE = "bitwise"
    """Token ids and every reported logprob."""
    TOKENS = "tokens"
    """Token ids."""
    TEXT = "text"
    """The characters: the source article's check."""
    ANSWER = "answer"
    """The normalised answer: case, closing marks, articles and number words do not count; see `normalize_answer`."""
    NONE = "none"

    @property
    def height(self) -> int:
        """4 for bitwise down to 0 for none."""
        return len(Level) - 1 - list(Level).index(self)


__all__ = ["LEVELS", "Level", "level_key", "normalize_answer", "shown_levels"]

LEVELS = (Level.BITWISE, Level.TOKENS, Level.TEXT, Level.ANSWER)
"""The levels that can hold, strongest first."""


def shown_levels(answer: Answer) -> frozenset[Level]:
    """Returns the levels that an answer's content lets one see: bit for bit only with the logprobs of every token."""
    levels = {Level.TEXT, Level.ANSWER}
    if answer.token_ids is not None:
        levels.add(Level.TOKENS)
        if answer.tokens is not None and len(answer.tokens) == len(answer.token_ids):
            levels.add(Level.BITWISE)
    return frozenset(levels)


def level_key(answer: Answer, level: Level) -> bytes:
    """Returns 16 bytes that are equal for two answers exactly when they are the same on `level` (BLAKE2).

    Raises:
        ValueError: the answer does not show that level (see `shown_levels`).
    """
    if level not in shown_levels(answer):
        raise ValueError(f"the answer does not show {level}")
    if level is Level.ANSWER:
        return _digest(*_said(answer, normalize_answer(answer.text)))
    said = _said(answer, answer.text, answer.reasoning)
    if level is Level.TEXT:
        return _digest(*said)
    # A server may show the ids of some tokens only; what was said counts beside them.
    ids = array("q", answer.token_ids or ()).tobytes()
    if level is Level.TOKENS:
        return _digest(ids, *said)
    # Adding 0.0 makes -0.0 and 0.0, which are equal, the same bytes; the lengths keep rows of unequal width apart.
    rows = array("d", (value + 0.0 for token in answer.tokens or () for value in _values(token)))
    widths = array("q", (len(token.top) for token in answer.tokens or ()))
    return _digest(ids, rows.tobytes(), widths.tobytes(), *said)


def _said(answer: Answer, *texts: str) -> list[bytes]:
    """Returns the parts of an answer as bytes: the given texts, then what else it answered with."""
    calls = (part for call in answer.tool_calls for part in (call.name, call.arguments))
    parts = [*texts, answer.refusal, *calls]
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return [part.encode("utf-8", "surrogatepass") for part in parts]


def _values(token: Token) -> tuple[float, ...]:
    return (token.logprob, *(value for _, value in token.top))


def _digest(*parts: bytes) -> bytes:
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        hashed.update(len(part).to_bytes(8, "little"))
        hashed.update(part)
    return hashed.digest()
