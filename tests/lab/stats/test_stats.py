"""Levels, groups, divergence, drift, margins: properties, and comparisons against the plainest possible computation."""

from __future__ import annotations

import gc
import itertools
import math
import random
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.made import answer, failed, samples
from vqa.answers import Answer, Sample, Token
from vqa.lab.stats.agreement import LEVELS, Level, level_key
from vqa.lab.stats.summarize import RunSummarizer, Summarizer, flip_interval, summarize, summarize_run

WORDS = st.sampled_from(["red", "blue", "a", "circle", "two", "2"])
TEXTS = st.lists(WORDS, min_size=1, max_size=5).map(" ".join)
LOGPROBS = st.sampled_from([-0.1, -0.2, -0.5])


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    text = draw(TEXTS)
    return answer(text, logprobs=[draw(LOGPROBS) for _ in text.split()])


RUNS = st.lists(answers(), min_size=1, max_size=12)


@given(RUNS)
def test_a_level_implies_all_weaker_ones(run: list[Answer]) -> None:
    views = summarize(samples(*run)).levels
    counts = [views[level].distinct for level in LEVELS]
    assert counts == sorted(counts, reverse=True)


@given(RUNS)
def test_groups_are_what_comparing_every_pair_gives(run: list[Answer]) -> None:
    summary = summarize(samples(*run))
    for level in LEVELS:
        keys = [level_key(each, level) for each in run]
        brute = {tuple(i for i, other in enumerate(keys) if other == key) for key in keys}
        assert {group.indexes for group in summary.levels[level].groups} == brute
        assert sum(group.count for group in summary.levels[level].groups) == len(run)


@given(RUNS, st.randoms(use_true_random=False))
def test_the_order_of_landing_changes_nothing_that_is_claimed(run: list[Answer], chance: random.Random) -> None:
    in_order = samples(*run)
    shuffled = chance.sample(in_order, len(in_order))
    one, other = summarize(in_order), summarize(shuffled)
    assert (one.level, one.leading, one.drift, one.latency) == (other.level, other.leading, other.drift, other.latency)
    assert {level: one.levels[level].interval for level in LEVELS} == {
        level: other.levels[level].interval for level in LEVELS
    }


@given(RUNS)
def test_drift_is_the_largest_difference_before_a_divergence(run: list[Answer]) -> None:
    summary = summarize(samples(*run))
    modal = summary.modal
    assert modal is not None
    sizes = [group.count for group in summary.groups]
    if len(run) < 2 or sizes.count(sizes[0]) > 1:
        return
    brute = 0.0
    for one, other in itertools.combinations(run, 2):
        same = one.token_ids == other.token_ids
        if not same and modal.token_ids not in {one.token_ids, other.token_ids}:
            continue
        for left, right, a, b in zip(
            one.tokens or (), other.tokens or (), one.token_ids, other.token_ids, strict=False
        ):
            if a != b:
                break
            tops = zip(left.top, right.top, strict=True)
            brute = max(brute, abs(left.logprob - right.logprob), *(abs(x[1] - y[1]) for x, y in tops))
    assert (summary.drift.epsilon if summary.drift else 0.0) == pytest.approx(brute)


@given(RUNS)
def test_divergence_is_the_first_token_that_differs_from_the_modal_answer(run: list[Answer]) -> None:
    summary = summarize(samples(*run))
    modal = summary.groups[0].token_ids
    by_key = {group.key: group.token_ids for group in summary.groups}
    for found in summary.divergences:
        ids = by_key[found.group]
        assert ids is not None
        assert modal is not None
        assert ids[: found.index] == modal[: found.index]
        assert ids[found.index : found.index + 1] != modal[found.index : found.index + 1]


@given(st.integers(0, 60), st.integers(1, 60))
def test_the_interval_is_the_exact_binomial_one(flips: int, extra: int) -> None:
    from scipy.stats import binomtest

    comparisons = flips + extra - 1
    if not comparisons:
        return
    found = flip_interval(flips, comparisons)
    if flips == 0:
        assert (1 - found.high) ** comparisons == pytest.approx(0.05)
        return
    exact = binomtest(flips, comparisons).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_bounds_are_those_that_people_know() -> None:
    assert flip_interval(0, 19).high == pytest.approx(0.146, abs=5e-4)
    assert flip_interval(0, 299).high == pytest.approx(0.010, abs=5e-4)
    assert flip_interval(0, 0).high == 1.0


def test_equal_tokens_with_other_logprobs_are_not_bitwise() -> None:
    still, moved = answer("red circle"), answer("red circle", logprobs=[-0.1, -0.112])
    summary = summarize(samples(still, still, moved))
    assert summary.level is Level.TOKENS
    assert summary.drift is not None
    assert (summary.drift.epsilon, summary.drift.position) == (pytest.approx(0.012), 1)


def test_positions_within_twice_the_drift_are_fragile() -> None:
    near = replace(answer("a b c"), tokens=_tokens([-0.10, -0.10, -0.10], [-0.11, -3.0, -0.2]))
    moved = replace(near, tokens=_tokens([-0.12, -0.10, -0.10], [-0.11, -3.0, -0.2]))
    summary = summarize(samples(near, near, moved))
    assert summary.drift is not None
    assert summary.fragile == (0,)


def test_the_margin_does_not_hang_on_the_order_of_the_candidates() -> None:
    # vLLM lists the chosen token first, whatever its rank.
    token = Token("x", -1.0, (("x", -1.0), ("y", -0.5)))
    summary = summarize(samples(*[replace(answer("x"), tokens=(token,))] * 2))
    assert summary.margins == (pytest.approx(0.5),)
    assert summary.not_most_probable == 2


@pytest.mark.parametrize("k", [1, 3])
def test_leading_answers_that_differ_are_counted(k: int) -> None:
    summary = summarize(samples(*["cold"] * k, *["warm"] * (12 - k)))
    assert summary.leading == k
    assert summary.first_differs == (k == 1)
    assert summary.cells() == (1,) * k + (0,) * (12 - k)


@pytest.mark.parametrize("run", [["x", "y"], ["y", "x", "x", "y", "x", "x"], ["x"] * 5, ["a", "b", "c", "d"]])
def test_no_leading_answers_where_the_rest_does_not_agree(run: list[str]) -> None:
    assert summarize(samples(*run)).leading == 0


def test_a_length_mismatch_diverges_at_the_shorter_length() -> None:
    summary = summarize(samples("red circle here", "red circle here", "red circle"))
    assert [(found.index, found.unit) for found in summary.divergences] == [(2, "token")]


def test_without_token_ids_divergence_is_by_token_text_and_without_logprobs_by_character() -> None:
    by_text = summarize(samples(*(answer(text, ids=False) for text in ("red circle", "red circle", "red square"))))
    by_character = summarize(
        samples(*(answer(text, ids=False, shown=False) for text in ("red circle", "red circle", "red square")))
    )
    assert (by_text.divergences[0].index, by_text.divergences[0].unit) == (1, "token")
    assert (by_character.divergences[0].index, by_character.divergences[0].unit) == (4, "character")
    assert by_text.levels[Level.TOKENS].visible is False


def test_failed_and_broken_requests_are_never_answers() -> None:
    broken = replace(answer("red circle"), finish_reason=None)
    run = [*samples("red circle", "red circle"), failed(2), Sample("repeat", 3, broken), failed(4, code="stream_cut")]
    summary = summarize(run)
    assert (summary.n, summary.ok, summary.failed, summary.broken) == (5, 2, 3, 2)
    assert summary.level is Level.BITWISE
    assert summary.holds(Level.TEXT) is None
    assert summary.cells() == (0, 0, None, None, None)


def test_failures_do_not_hide_a_difference() -> None:
    summary = summarize([*samples("red", "blue"), failed(2)])
    assert summary.holds(Level.TEXT) is False
    assert summary.holds(Level.BITWISE) is False


def test_an_answer_cut_at_max_tokens_counts_and_is_told() -> None:
    cut = answer("red circle", finish_reason="length")
    summary = summarize(samples(cut, cut))
    assert (summary.ok, summary.cut, summary.holds(Level.TEXT)) == (2, 2, True)


def test_a_level_that_is_not_shown_is_refuted_by_a_weaker_one_and_otherwise_left_open() -> None:
    same = summarize(samples(*[answer("red", ids=False)] * 3))
    assert (same.holds(Level.BITWISE), same.holds(Level.TEXT)) == (None, True)
    other = summarize(samples(*(answer(text, ids=False) for text in ("red", "red", "blue"))))
    assert other.holds(Level.BITWISE) is False


def test_one_answer_proves_nothing() -> None:
    summary = summarize(samples("red"))
    assert (summary.level, summary.holds(Level.TEXT), summary.compared) == (Level.NONE, None, False)


def test_a_changed_fingerprint_leaves_everything_open() -> None:
    one = answer("red")
    summary = summarize(samples(one, replace(one, system_fingerprint="other")))
    assert summary.changed
    assert summary.holds(Level.TEXT) is None


def test_total_agreement_counts_questions() -> None:
    run = summarize_run([*samples("Red.", "red"), *samples("blue", "blue", question=1), *samples("x", question=2)])
    assert run.tar(Level.TEXT) == 0.5
    assert run.tar(Level.ANSWER) == 1.0
    assert run.level is Level.NONE
    assert run.interval(Level.TEXT).comparisons == 2


def test_busy_time_leaves_out_what_ran_in_between() -> None:
    run = [
        replace(sample, started_at=start)
        for sample, start in zip(samples("a", "a", "a"), (0, 100, 100.05), strict=True)
    ]
    throughput = summarize(run).latency.throughput
    assert throughput == pytest.approx(3 / 0.25)


@pytest.mark.parametrize("kind", ["same", "drifting", "different"])
def test_ten_thousand_samples_are_cheap_to_take_in_and_to_redraw(kind: str) -> None:
    count, words = 10_000, [f"w{place}" for place in range(32)]
    base = answer(words)
    summarizer = RunSummarizer()
    adding, before = 0.0, psutil.Process().memory_info().rss
    for index in range(count):
        logprobs = [-0.1 - index * 1e-7] * 32
        given = (
            base
            if kind == "same"
            else answer([str(index), *words[1:]] if kind == "different" else words, logprobs=logprobs)
        )
        sample = Sample("repeat", index, replace(given, seconds=0.2), started_at=float(index))
        began = time.process_time()
        summarizer.add(sample)
        adding += time.process_time() - began
    grown = psutil.Process().memory_info().rss - before
    summarizer.summary()
    summarizer.add(replace(sample, index=count))
    gc.collect()
    gc.freeze()  # what the test runner holds is not looked through once more meanwhile
    began = time.process_time()
    summary = summarizer.summary().questions[0]
    drawing = time.process_time() - began
    gc.unfreeze()
    assert summary.ok == count + 1
    assert summary.groups[0].count == (2 if kind == "different" else count + 1)
    assert grown < 100e6
    assert adding / count < 0.002
    assert drawing < 0.5


def test_long_answers_that_all_differ_take_less_than_ten_kilobytes_each() -> None:
    count, words, chance = 3000, [f"word{place}" for place in range(1000)], random.Random(1)
    summarizer = RunSummarizer()
    before = psutil.Process().memory_info().rss
    for index in range(count):
        logprobs = np.float32([-chance.random() for _ in range(128)]).tolist()
        given = replace(answer(chance.choices(words, k=128), logprobs=logprobs), seconds=0.2)
        summarizer.add(Sample("repeat", index, given, started_at=float(index)))
    assert psutil.Process().memory_info().rss - before < 10_000 * count
    summary = summarizer.summary().questions[0]
    assert (summary.ok, len(summary.groups), len(summary.divergences)) == (count, count, 200)
    assert all(len(group.token_ids or ()) == 128 for group in summary.groups[:200])


def test_drift_is_seen_in_an_answer_that_comes_again_after_hundreds_of_others() -> None:
    firsts = [answer(f"w{place}") for place in range(300)]
    again = answer("w250", logprobs=[-0.35])
    summary = summarize(samples(*firsts, again))
    assert summary.drift is not None
    assert (summary.drift.epsilon, summary.drift.position) == (pytest.approx(0.25), 0)
    assert summary.groups[0].text == "w250"
    assert summary.modal_tokens == ("w250",)


@pytest.mark.parametrize("moved", [2**-30, 1e-12])
def test_the_smallest_drift_is_not_lost_in_how_logprobs_are_held(moved: float) -> None:
    one, other = (answer("a b", logprobs=[-0.25, value]) for value in (-0.5, -0.5 - moved))
    summary = summarize(samples(one, other))
    assert summary.drift is not None
    assert summary.drift.epsilon == pytest.approx(moved, rel=1e-3)
    assert summary.level is Level.TOKENS


def test_adding_costs_the_same_however_many_came_before() -> None:
    run = [Sample("repeat", index, answer(f"w{index}")) for index in range(6000)]
    times: dict[int, list[float]] = {0: [], 3000: []}
    for _ in range(3):  # the quickest of three: others work on the same cores
        summarizer = Summarizer()
        for start, taken in times.items():
            began = time.process_time()
            for sample in run[start : start + 3000]:
                summarizer.add(sample)
            taken.append(time.process_time() - began)
    assert min(times[3000]) < 2 * min(times[0]) + 0.05


def _tokens(best: list[float], second: list[float]) -> tuple[Token, ...]:
    return tuple(Token("t", one, (("t", one), ("u", two))) for one, two in zip(best, second, strict=True))


def test_infinite_logprobs_do_not_become_drift() -> None:
    hopeless = replace(answer("a"), tokens=(Token("a", -0.1, (("a", -0.1), ("b", -math.inf))),))
    summary = summarize(samples(hopeless, hopeless))
    assert summary.drift is not None
    assert summary.drift.epsilon == 0.0
