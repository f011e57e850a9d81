"""Tails of distributions, held to scipy's, which the app itself does without."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from vqa.lab.stats.tails import binomial_tail, chance_of_tail, hypergeometric_tail

SIZES = st.sampled_from([1, 2, 7, 60, 500, 10_000])


@given(SIZES, st.data())
def test_a_binomial_tail_is_scipys(n: int, data: st.DataObject) -> None:
    least, chance = data.draw(st.integers(0, n)), data.draw(st.floats(0.001, 0.999))
    expected = float(stats.binom.sf(least - 1, n, chance))
    assert binomial_tail(least, n, chance) == pytest.approx(expected, rel=1e-8, abs=1e-12)


@given(SIZES, st.sampled_from([0.025, 0.5, 0.975]), st.data())
def test_the_chance_of_a_tail_is_scipys_quantile_of_the_beta_distribution(
    n: int, tail: float, data: st.DataObject
) -> None:
    least = data.draw(st.integers(1, n))
    expected = float(special.betaincinv(least, n - least + 1, tail))
    assert chance_of_tail(least, n, tail) == pytest.approx(expected, rel=1e-8)


@given(SIZES, SIZES, st.data())
def test_a_hypergeometric_tail_is_scipys(one: int, other: int, data: st.DataObject) -> None:
    marked, least = data.draw(st.integers(0, one + other)), data.draw(st.integers(0, one))
    expected = float(stats.hypergeom.sf(least - 1, one + other, marked, one))
    assert hypergeometric_tail(least, one + other, marked, one) == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(
    ("least", "n", "chance", "expected"),
    [(0, 0, 0.5, 1.0), (0, 5, 0.0, 1.0), (1, 5, 0.0, 0.0), (5, 5, 1.0, 1.0), (6, 5, 1.0, 0.0), (6, 5, 0.5, 0.0)],
)
def test_what_is_certain_and_what_cannot_be(least: int, n: int, chance: float, expected: float) -> None:
    assert binomial_tail(least, n, chance) == expected
