"""Tails of the binomial and the hypergeometric distribution, summed from their definitions.

scipy has them too, and takes 118 MB for it; the tests hold these to scipy's.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_HALVINGS = 60
"""After so many an interval of length 1 is shorter than a double can tell."""


def binomial_tail(least: int, n: int, chance: float) -> float:
    """Returns the chance of at least `least` hits in `n` independent trials of the given chance."""
    if least <= 0 or chance >= 1:
        return 1.0 if least <= n else 0.0
    if least > n or chance <= 0:
        return 0.0
    hits = np.arange(least, n + 1)
    return _tail(_log_choose(n, hits), hits, n, chance)


def chance_of_tail(least: int, n: int, tail: float) -> float:
    """Returns the chance of a hit at which at least `least` of `n` trials hit with the chance `tail`.

    `least` is 1 to n. It is a quantile of the beta distribution, found by halving: the tail grows with the chance.
    """
    hits = np.arange(least, n + 1)
    choose, low, high = _log_choose(n, hits), 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _tail(choose, hits, n, middle) < tail:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def hypergeometric_tail(least: int, total: int, marked: int, drawn: int) -> float:
    """Returns the chance that at least `least` of `drawn` are marked, of `total` with `marked` among them."""
    hits = np.arange(max(least, marked + drawn - total, 0), min(marked, drawn) + 1)
    if not hits.size:
        return 0.0
    ways = _log_choose(marked, hits) + _log_choose(total - marked, drawn - hits)
    return min(1.0, math.fsum(np.exp(ways - _log_choose(total, np.array([drawn]))[0])))


def _tail(choose: NDArray[np.float64], hits: NDArray[np.int_], n: int, chance: float) -> float:
    """Returns the sum of the chances of exactly so many hits."""
    chances = np.exp(choose + hits * math.log(chance) + (n - hits) * math.log1p(-chance))
    return min(1.0, float(chances.sum()))


def _log_choose(n: int, some: NDArray[np.int_]) -> NDArray[np.float64]:
    """Returns the logarithms of the numbers of ways to choose `some` of n."""
    whole = math.lgamma(n + 1)
    return np.array([whole - math.lgamma(each + 1) - math.lgamma(n - each + 1) for each in some.tolist()])
