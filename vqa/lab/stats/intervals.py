"""What a number of repeats lets one say about the rate of differences."""

from dataclasses import dataclass
from typing import Literal

from vqa.lab.stats.tails import chance_of_tail

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A 95% confidence interval for the rate of differences.

    The most frequent answer is the reference; the other N - 1 answers are the comparisons, and those among them that
    differ from it the flips. The rate is flips over comparisons, here and wherever a rate is told.

    Repeats in a row are not independent: it holds 'under this load, on this server process' and nowhere else.
    """

    flips: int
    comparisons: int
    low: float
    high: float
    method: Literal["one_sided", "clopper_pearson"]


def flip_interval(flips: int, comparisons: int) -> Interval:
    """Returns the interval for `flips` among `comparisons`.

    Without a flip: the one-sided upper bound 1 - 0.05^(1/n), the exact form of the 'rule of three' (Hanley and
    Lippman-Hand, JAMA 1983). Otherwise the two-sided interval of Clopper and Pearson (Biometrika 1934).

    Raises:
        ValueError: the counts cannot be.
    """
    if not 0 <= flips <= comparisons:
        raise ValueError(f"{flips} flips in {comparisons} comparisons")
    if comparisons == 0:
        return Interval(0, 0, 0.0, 1.0, "one_sided")
    if flips == 0:
        return Interval(0, comparisons, 0.0, 1 - (1 - CONFIDENCE) ** (1 / comparisons), "one_sided")
    tail = (1 - CONFIDENCE) / 2
    low = chance_of_tail(flips, comparisons, tail)
    high = 1.0 if flips == comparisons else chance_of_tail(flips + 1, comparisons, 1 - tail)
    return Interval(flips, comparisons, low, high, "clopper_pearson")
