"""Paired comparison, noise floor, sample sizes and the gate: their figures, and what they must not claim."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from vqa.answers import Answer, Sample, Token
from vqa.errors import InputError
from vqa.evaluate.comparing.baseline import checks, make_baseline, read_baseline, verdict
from vqa.evaluate.comparing.forecast import forecast
from vqa.evaluate.comparing.noise import noise_of
from vqa.evaluate.comparing.paired import detectable, difference_interval, mcnemar, rows_needed
from vqa.evaluate.comparing.rows import Side
from vqa.evaluate.comparing.runs import compare
from vqa.evaluate.reporting.comparison import gate_markdown


def side(place: int, texts: Sequence[str], wanted: str = "yes", kind: str = "") -> Side:
    scores = tuple(float(text == wanted) for text in texts)
    return Side(place, f"q{place}", kind, f"Question {place}?", (wanted,), tuple(texts), scores, 0.1, 3)


def run(rows: list[Sequence[str]]) -> dict[str, Side]:
    return {f"q{place}": side(place, texts) for place, texts in enumerate(rows)}


def noisy(seed: int, share: float, rows: int = 300, repeats: int = 3, wrong: float = 0.0) -> dict[str, Side]:
    """Rows of which a share flips at random, and a share is wrong throughout."""
    chance = random.Random(seed)
    out: list[Sequence[str]] = []
    for place in range(rows):
        if place < wrong * rows:
            out.append(["no"] * repeats)
        elif place % 100 < share * 100:
            out.append([chance.choice(["yes", "no"]) for _ in range(repeats)])
        else:
            out.append(["yes"] * repeats)
    return run(out)


@pytest.mark.parametrize(
    ("lost", "won", "p"), [(0, 0, 1.0), (5, 5, 1.0), (0, 6, 0.03125), (10, 2, 0.0386), (1, 9, 0.0215)]
)
def test_mcnemars_exact_test(lost: int, won: int, p: float) -> None:
    assert mcnemar(lost, won) == pytest.approx(p, abs=1e-3)


def test_the_interval_of_no_difference_is_not_nothing() -> None:
    low, high = difference_interval([0.0] * 100) or (0.0, 0.0)
    assert low == -high
    assert high == pytest.approx(0.0295, abs=1e-3)
    assert difference_interval([]) is None


def test_the_same_server_twice_shows_no_real_change() -> None:
    found = compare(noisy(1, 0.1), noisy(2, 0.1))
    assert found["changed_answers"] > 0
    assert (found["verdict"], found["exit_code"]) == ("noise", 0)
    assert found["noise"]["low"] <= 0 <= found["noise"]["high"]


def test_a_real_change_shows_through_the_noise() -> None:
    found = compare(noisy(1, 0.1), noisy(2, 0.1, wrong=0.08))
    assert (found["verdict"], found["exit_code"]) == ("changed", 1)
    assert found["noise"]["p"] < 0.01
    assert found["stable"]["right_to_wrong"] > found["stable"]["wrong_to_right"] == 0


def test_false_alarms_are_as_rare_as_promised() -> None:
    alarms = sum(
        compare(noisy(seed, 0.2, 60), noisy(seed + 500, 0.2, 60))["verdict"] == "changed" for seed in range(40)
    )
    assert alarms <= 6


def test_one_repeat_cannot_tell_noise_from_change() -> None:
    one, other = run([["yes"]] * 10), run([["yes"]] * 9 + [["no"]])
    found = compare(one, other)
    assert (found["verdict"], found["exit_code"], found["noise"]) == ("unknown", 2, None)
    assert (found["right_to_wrong"], found["difference"]) == (1, pytest.approx(-0.1))
    assert compare(one, one)["verdict"] == "same"


def test_only_rows_that_both_have_are_compared_and_the_others_named() -> None:
    one, other = run([["yes"]] * 5), run([["yes"]] * 3)
    found = compare(one, other)
    assert (found["rows"], found["only_a"]["rows"], found["only_b"]["count"]) == (3, ["q3", "q4"], 0)


def test_changes_come_with_question_and_both_answers() -> None:
    found = compare(run([["yes"], ["yes"]]), run([["yes"], ["no"]]))
    (change,) = found["changes"]
    assert (change["row"], change["a"], change["b"], change["wanted"]) == ("q1", ["yes"], ["no"], ["yes"])


def test_noise_needs_two_repeats_on_both_sides() -> None:
    assert noise_of([(["a"], ["a", "b"])]) is None
    found = noise_of([(["a", "a"], ["b", "b"])] * 30)
    assert found is not None
    assert (found.within_a, found.within_b, found.between, found.excess) == (0.0, 0.0, 1.0, 1.0)
    assert found.changed


def test_rows_needed_are_those_of_mcnemars_test() -> None:
    assert rows_needed(0.1, 0.03) == pytest.approx(870, abs=10)
    assert rows_needed(0.1, 0.06) < rows_needed(0.1, 0.03) < rows_needed(0.2, 0.03)
    assert detectable(0.1, rows_needed(0.1, 0.03)) == pytest.approx(0.03, abs=2e-4)
    with pytest.raises(ValueError, match="discordant"):
        rows_needed(0.01, 0.03)


def answer(*margins: float, text: str = "x", moved: float = 0.0) -> Answer:
    tokens = tuple(Token("t", -0.1 - moved, (("t", -0.1 - moved), ("u", -0.1 - moved - m))) for m in margins)
    return Answer(text, "stop", tokens)


def test_rows_within_twice_the_drift_are_foretold() -> None:
    first = {0: answer(1.0, 0.02), 1: answer(2.0, 3.0), 2: answer(0.05)}
    again = [
        (place, Sample("evaluate", 1, made, question=place))
        for place, made in enumerate([answer(1.0, text="y", moved=0.02), answer(2.0), answer(0.05, text="z")])
    ]
    found = forecast(first, again)
    assert found.drift == pytest.approx(0.02)
    assert found.fragile == (0,)
    assert found.flipped == (0, 2)
    record = found.record()
    assert (record["precision"], record["recall"]) == (1.0, 0.5)
    assert forecast(first, drift=0.03).fragile == (0, 2)


PLAN = {"dataset": {"format": "table", "prompt": "{question}", "system": None},
        "asking": {"sampling": {"temperature": 0.0}, "repeats": 2, "limit": None}}  # fmt: skip


def result(accuracy: float, **more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "scorer": {"name": "exact", "version": "1"}, "accuracy": accuracy, "interval": {"low": 0.8, "high": 1.0},
        "tar_raw": 1.0, "tar_answer": 1.0, "failed": 0, "skipped": 0, "complete": True,
    }  # fmt: skip
    return known | more


def status(before: dict[str, Side], now: dict[str, Side], said: dict[str, Any] | None = None, **options: Any) -> int:
    return verdict(checks(make_baseline(before, PLAN, result(1.0), **options), now, said or result(1.0)))


def test_a_gate_passes_what_is_as_good_and_fails_what_is_worse() -> None:
    good = run([["yes", "yes"]] * 40)
    assert status(good, good) == 0
    assert status(good, run([["yes", "yes"]] * 32 + [["no", "no"]] * 8)) == 1
    assert status(good, run([["yes", "yes"]] * 39 + [["no", "no"]])) == 0


def test_a_gate_fails_below_its_bound_and_on_rows_that_must_not_change() -> None:
    good = run([["yes", "yes"]] * 40)
    assert status(good, good, result(0.9), least=0.95) == 1
    assert status(good, run([["no", "no"]] + [["yes", "yes"]] * 39), keep=["q0"]) == 1
    assert status(good, run([["yes", "yes"]] * 39 + [["no", "no"]]), keep=["q0"]) == 0


def test_a_gate_fails_where_agreement_has_weakened() -> None:
    good = run([["yes", "yes"]] * 40)
    assert status(good, run([["yes", "no"]] + [["yes", "yes"]] * 39)) == 1
    before = run([["yes", "no"]] * 3 + [["yes", "yes"]] * 37)
    assert status(before, run([["yes", "no"]] * 4 + [["yes", "yes"]] * 36)) == 0
    assert status(before, run([["yes", "no"]] * 20 + [["yes", "yes"]] * 20)) == 1


@pytest.mark.parametrize("said", [{"failed": 1}, {"skipped": 1}, {"complete": False},
                                  {"scorer": {"name": "exact", "version": "2"}}])  # fmt: skip
def test_a_gate_says_when_it_cannot_tell(said: dict[str, Any]) -> None:
    good = run([["yes", "yes"]] * 40)
    assert status(good, good, result(1.0, **said)) == 2
    assert status(good, run([["yes", "yes"]] * 39)) == 2


def test_a_row_whose_repeats_differ_cannot_be_kept() -> None:
    with pytest.raises(InputError, match="q0"):
        make_baseline(run([["yes", "no"]]), PLAN, result(1.0), keep=["q0"])
    with pytest.raises(InputError, match="q7"):
        make_baseline(run([["yes", "yes"]]), PLAN, result(1.0), keep=["q7"])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"vqa_baseline": 99}', "nonsense"])
def test_what_is_no_baseline_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="baseline"):
        read_baseline(text, "b.json")


def test_the_summary_for_a_pull_request_is_a_table_without_markup_of_others() -> None:
    good = run([["yes", "yes"]] * 40)
    worse = run([["yes", "yes"]] * 32 + [["no", "no"]] * 8)
    found = checks(make_baseline(good, PLAN, result(1.0)), worse, result(0.8))
    text = gate_markdown(found, "a|b.jsonl", "en", ["accuracy <b>"])
    assert "❌ Failed" in text
    assert "a\\|b.jsonl" in text
    assert "\\<b\\>" in text
    assert "`q32`" in text
