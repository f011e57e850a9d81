"""Tests and intervals of paired right and wrong. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vqa.lab.stats.tails import binomial_tail, hypergeometric_tail

CONFIDENCE = 0.95
Z_POWER = {0.8: 0.8416, 0.9: 1.2816, 0.95: 1.6449}
Z = 1.96


def mcnemar(lost: int, won: int) -> float:
    """Returns the two-sided p of McNemar's exact test: `lost` pairs went from right to wrong, `won` the other way.

    McNemar, Psychometrika 1947; exact by the binomial distribution with chance 1/2.
    """
    return min(1.0, 2 * lower_tail(min(lost, won), lost + won))


def lower_tail(count: int, n: int) -> float:
    """Returns the chance of at most `count` heads in `n` tosses of a fair coin."""
    return binomial_tail(n - count, n, 0.5)  # as many tails at least


def difference_interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """Returns the 95% interval of the mean of paired differences, by bootstrap over the rows; None without rows.

    Where all are alike the resamples would be too: then by as much as 3 in n rows could hide.
    """
    if not differences:
        return None
    values, counts = np.unique(np.asarray(differences, dtype=np.float64), return_counts=True)
    n = len(differences)
    if len(values) == 1:
        bound = 1 - (1 - CONFIDENCE) ** (1 / n)
        return float(values[0]) - bound, float(values[0]) + bound
    drawn = np.random.default_rng(11).multinomial(n, counts / n, size=4000) @ values / n
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def rows_needed(discordant: float, difference: float, power: float = 0.8) -> int:
    """Returns how many rows McNemar's test at 5% needs to see a difference with the given chance.

    `discordant` is the share of rows on which the two runs are not both right or both wrong (Connor, Biometrics 1987).

    Raises:
        ValueError: a difference cannot be larger than the share of rows that differ.
    """
    if not 0 < abs(difference) <= discordant:
        raise ValueError(f"a difference of {difference} among {discordant} discordant rows")
    reach = Z_POWER[power] * math.sqrt(discordant - difference**2)
    return math.ceil((Z * math.sqrt(discordant) + reach) ** 2 / difference**2)


def detectable(discordant: float, rows: int, power: float = 0.8) -> float:
    """Returns the smallest difference that so many rows show, to a hundredth of a point."""
    for step in range(1, 10_001):
        difference = step / 10_000
        if difference <= discordant and rows_needed(discordant, difference, power) <= rows:
            return difference
    return discordant


def more_often(now: int, rows_now: int, before: int, rows_before: int) -> float:
    """Returns the one-sided p of Fisher's exact test that `now` of its rows is no larger a share than `before`."""
    return hypergeometric_tail(now, rows_now + rows_before, now + before, rows_now)
