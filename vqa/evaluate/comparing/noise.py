"""How much two runs differ beyond what each server does to itself. Pure.

For each row, with N repeats on side A and M on side B, the chance that two answers differ is taken between the sides
and within each of them; what is between them beyond the mean of what is within them is the real change (the energy
distance of Székely and Rizzo, J. Stat. Plann. Inference 2013, with the distance 'equal or not'). Under 'nothing has
changed' the repeats of a row could be dealt to the two sides in any way, which is the permutation test used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 999
SEED = 7
LEVEL = 0.05


@dataclass(frozen=True)
class Noise:
    """Shares of pairs of answers that differ, averaged over the rows."""

    rows: int
    within_a: float
    within_b: float
    between: float
    excess: float
    """`between` less the mean of the two; about 0 where nothing has changed."""
    low: float
    high: float
    """95% interval of the excess, by bootstrap over the rows."""
    p: float
    """Chance of an excess at least as large if nothing had changed."""

    @property
    def changed(self) -> bool:
        """Whether the change is more than the servers' own noise."""
        return self.p <= LEVEL and self.excess > 0


def noise_of(pairs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> Noise | None:
    """Returns the split of a change for rows of repeated answers; None where no row has two repeats on both sides."""
    rows = [(a, b) for a, b in pairs if len(a) > 1 and len(b) > 1]
    if not rows:
        return None
    widths = {(len(a), len(b)) for a, b in rows}
    size = min(width[0] for width in widths), min(width[1] for width in widths)
    codes = np.array([_codes(a[: size[0]], b[: size[1]]) for a, b in rows])
    within_a, within_b, between = _differences(codes, size[0])
    excess = between - (within_a + within_b) / 2
    chance = np.random.default_rng(SEED)
    low, high = _interval(excess, chance)
    return Noise(
        len(rows),
        float(within_a.mean()),
        float(within_b.mean()),
        float(between.mean()),
        float(excess.mean()),
        low,
        high,
        _p(codes, size[0], float(excess.sum()), chance),
    )


def _codes(a: Sequence[str], b: Sequence[str]) -> list[int]:
    known: dict[str, int] = {}
    return [known.setdefault(text, len(known)) for text in (*a, *b)]


def _differences(codes: NDArray[np.int64], split: int) -> tuple[NDArray[np.float64], ...]:
    """Returns for each row the share of differing pairs within A, within B and between."""
    differ = codes[:, :, None] != codes[:, None, :]
    a, b = slice(None, split), slice(split, None)
    n, m = split, codes.shape[1] - split
    return (
        differ[:, a, a].sum(axis=(1, 2)) / (n * (n - 1)),
        differ[:, b, b].sum(axis=(1, 2)) / (m * (m - 1)),
        differ[:, a, b].mean(axis=(1, 2)),
    )


def _interval(excess: NDArray[np.float64], chance: np.random.Generator) -> tuple[float, float]:
    values, counts = np.unique(excess, return_counts=True)
    if len(values) == 1:  # all rows alike: at most 5% of such samples hide a change of 1 - 0.05^(1/n) of the rows
        bound = 1 - LEVEL ** (1 / len(excess))
        return float(values[0]) - bound, float(values[0]) + bound
    drawn = chance.multinomial(len(excess), counts / counts.sum(), size=4000) @ values / len(excess)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def _p(codes: NDArray[np.int64], split: int, seen: float, chance: np.random.Generator) -> float:
    """Returns the p-value of the permutation test; rows whose answers are all equal cannot change it."""
    moving = codes[codes.max(axis=1) > 0]
    if not len(moving):
        return 1.0
    as_large = 0
    for _ in range(PERMUTATIONS):
        order = np.argsort(chance.random(moving.shape), axis=1)
        within_a, within_b, between = _differences(np.take_along_axis(moving, order, axis=1), split)
        as_large += float((between - (within_a + within_b) / 2).sum()) >= seen - 1e-9
    return (as_large + 1) / (PERMUTATIONS + 1)
