"""95% intervals of an accuracy: Wilson for right and wrong, bootstrap over rows for anything between. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Z = 1.959963984540054
RESAMPLES = 4000
SEED = 20_240_804
"""Fixed, so that the same answers have the same interval every time."""


@dataclass(frozen=True)
class AccuracyInterval:
    """Between what the accuracy on all questions of this kind lies, for these rows are a sample of them."""

    low: float
    high: float
    method: Literal["wilson", "bootstrap"]
    confidence: float = 0.95


def wilson(right: float, n: int) -> tuple[float, float]:
    """Returns the score interval of Wilson (JASA 1927) for `right` of `n`."""
    if n == 0:
        return 0.0, 1.0
    share = right / n
    spread = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    middle, scale = share + Z * Z / (2 * n), 1 + Z * Z / n
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def resampled_means(scores: NDArray[np.float64], resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """Returns the means of samples of the rows drawn with replacement (Efron 1979).

    Drawn as counts of the distinct values, so that 100,000 rows take milliseconds.
    """
    values, counts = np.unique(scores, return_counts=True)
    chance = np.random.default_rng(SEED)
    if len(values) <= 1000:
        drawn = chance.multinomial(len(scores), counts / counts.sum(), size=resamples)
        return np.asarray(drawn @ values / len(scores), dtype=np.float64)
    return np.array([chance.choice(scores, len(scores)).mean() for _ in range(resamples // 4)])


def accuracy_interval(scores: Sequence[float] | NDArray[np.float64]) -> AccuracyInterval | None:
    """Returns the interval of the mean of the rows' scores; None without rows.

    Where every resample would be alike (all rows the same part right), Wilson's is the honest one.
    """
    array = np.asarray(scores, dtype=np.float64)
    if not array.size:
        return None
    if bool(np.isin(array, (0.0, 1.0)).all()) or bool((array == array[0]).all()):
        return AccuracyInterval(*wilson(float(array.sum()), array.size), "wilson")
    low, high = np.percentile(resampled_means(array), [2.5, 97.5])
    return AccuracyInterval(float(low), float(high), "bootstrap")
