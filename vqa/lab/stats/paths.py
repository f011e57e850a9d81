"""One token path of a question: the range in which its logprobs moved, and where it leaves another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa.answers import Answer, Token
from vqa.lab.stats.summary import Candidate, Divergence, Drift

Grid = NDArray[np.float64] | NDArray[np.float32]
"""Positions x (the chosen token's logprob, then the candidates' best first)."""
Ids = NDArray[np.int64] | NDArray[np.int32]


@dataclass(slots=True)
class Path:
    """Samples with the same tokens (or the same text, where no tokens are shown).

    Thousands of them live at once, so each holds its numbers in arrays, and of its answer only what is kept.
    """

    text: str
    ids: Ids | None
    answer: Answer | None = None
    """One of them with its tokens; None when those are not kept."""
    low: Grid | None = None
    high: Grid | None = None
    """The same array as `low` while only one sample was measured."""
    measured: int = 0
    """Samples with logprobs."""
    left: dict[int, int] = field(default_factory=dict)
    """Divergence index from another path, by that path's id()."""

    @classmethod
    def of(cls, answer: Answer, *, kept: bool) -> Path:
        """Returns the path of an answer, which is still to be added; `kept` says whether its tokens stay at hand."""
        ids = None if answer.token_ids is None else np.array(answer.token_ids, dtype=np.int64)
        return cls(answer.all_text, None if ids is None else _narrow(ids, np.int32), answer if kept else None)

    @property
    def token_ids(self) -> tuple[int, ...] | None:
        """The token ids; None when the server shows none."""
        if self.answer is not None:
            return self.answer.token_ids
        return None if self.ids is None else tuple(self.ids.tolist())

    @property
    def tokens(self) -> tuple[Token, ...] | None:
        """The tokens with their candidates; None when they are not shown or not kept."""
        return None if self.answer is None else self.answer.tokens

    def add(self, answer: Answer) -> None:
        """Widens the ranges by one more sample."""
        if answer.tokens is None:
            return
        self.measured += 1
        if self.low is not None and answer.tokens is self.tokens:
            return
        grid = _narrow(logprob_grid(answer.tokens), np.float32)
        if self.low is None or self.high is None:
            self.low = self.high = grid
            return
        rows, columns = np.minimum(self.low.shape, grid.shape)
        grid = grid[:rows, :columns]
        self.low = np.minimum(self.low[:rows, :columns], grid)
        self.high = np.maximum(self.high[:rows, :columns], grid)

    def drift(self) -> Drift | None:
        """Returns the largest movement among its own samples; None with fewer than two measured."""
        if self.measured < 2 or self.low is None or self.high is None:
            return None
        return _largest(self.high, self.low)

    def drift_from(self, other: Path, before: int) -> Drift | None:
        """Returns the largest movement between its samples and those of `other` at positions below `before`."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return None
        rows, columns = np.minimum(self.low.shape, other.low.shape)
        at = np.s_[: min(rows, before), :columns]
        return _largest(np.maximum(self.high[at], other.high[at]), np.minimum(self.low[at], other.low[at]))

    def leaves(self, other: Path) -> tuple[int, str]:
        """Returns the first position where it differs from `other`, and the unit: `token` or `character`."""
        if self.ids is not None and other.ids is not None:
            index = self.left.get(id(other))
            if index is None:
                index = self.left[id(other)] = _first_other_id(self.ids, other.ids)
            return index, "token"
        if self.tokens and other.tokens:
            words = ([token.text for token in tokens] for tokens in (self.tokens, other.tokens))
            return first_difference(*words), "token"
        return first_difference(self.text, other.text), "character"


def _narrow(values: NDArray[Any], kind: type[np.float32] | type[np.int32]) -> NDArray[Any]:
    """Returns the values in four bytes each where none of them changes by that: vLLM's logprobs are 32-bit floats."""
    with np.errstate(over="ignore"):
        narrow = values.astype(kind)
    return narrow if np.array_equal(narrow, values, equal_nan=kind is np.float32) else values


def _first_other_id(one: Ids, other: Ids) -> int:
    length = min(len(one), len(other))
    apart = np.flatnonzero(one[:length] != other[:length])
    return int(apart[0]) if apart.size else length


def logprob_grid(tokens: tuple[Token, ...]) -> NDArray[np.float64]:
    """Returns the logprobs as a grid, NaN where a position reports fewer candidates than another."""
    width = 1 + max((len(token.top) for token in tokens), default=0)
    rows = [[token.logprob, *(value for _, value in best_first(token))] for token in tokens]
    return np.array([row + [np.nan] * (width - len(row)) for row in rows], dtype=np.float64).reshape(len(rows), width)


def first_difference(one: list[str] | str, other: list[str] | str) -> int:
    """Returns the first index where two sequences differ; the shorter length when one begins the other."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))


def _largest(high: Grid, low: Grid) -> Drift:
    # Two infinities of one sign are equal, and a candidate that only one sample reports cannot be compared.
    with np.errstate(invalid="ignore"):
        moved = np.nan_to_num(high.astype(np.float64) - low, nan=0.0, posinf=np.inf)
    if not moved.size:
        return Drift(0.0, 0)
    position = int(np.argmax(moved.max(axis=1)))
    return Drift(float(moved[position].max()), position)


def divergence(group: int, path: Path, modal: Path) -> Divergence:
    """Returns where `path` leaves `modal`, with the candidates that both had there."""
    index, unit = path.leaves(modal)
    if unit != "token":
        return Divergence(group, index, unit)
    modal_top, group_top = _candidates(modal.tokens, index), _candidates(path.tokens, index)
    margin = modal_top[0].logprob - modal_top[1].logprob if len(modal_top) > 1 else None
    return Divergence(group, index, unit, modal_top, group_top, margin)


def _candidates(tokens: tuple[Token, ...] | None, index: int) -> tuple[Candidate, ...]:
    if tokens is None or index >= len(tokens):
        return ()
    token = tokens[index]
    return tuple(Candidate(text, value) for text, value in best_first(token)) or (Candidate(token.text, token.logprob),)


def margins(tokens: tuple[Token, ...]) -> tuple[float | None, ...]:
    """Returns logprob(top 1) - logprob(top 2) at each position, in nats; None where fewer than two are reported."""
    tops = (best_first(token) for token in tokens)
    return tuple(top[0][1] - top[1][1] if len(top) > 1 else None for top in tops)


def best_first(token: Token) -> list[tuple[str, float]]:
    """Returns a position's candidates, most probable first; vLLM lists the chosen one first, whatever its rank."""
    return sorted(token.top, key=lambda candidate: -candidate[1])
