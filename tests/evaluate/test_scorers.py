"""Scores equal the reference implementations' on shared examples; what they get wrong is known; nothing is guessed.

The figures of the reference code were taken by running it: GT-Vision-Lab/VQA at a013f00, VLMEvalKit at e8e78f05,
lmms-eval at 75571cfe.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa.errors import InputError
from vqa.evaluate.scoring import SCORERS, Target, accuracy_interval, find_scorer
from vqa.evaluate.scoring.choice import letter_in, yes_or_no
from vqa.evaluate.scoring.texts import edit_distance

OPTIONS = (("A", "cat"), ("B", "a dog"), ("C", "dark red"), ("D", "red"))


def value(scorer: str, text: str, *answers: str, options: tuple[tuple[str, str], ...] = ()) -> float:
    return round(find_scorer(scorer).score(text, Target(answers, options)).value, 4)


@pytest.mark.parametrize(
    ("text", "answers", "official", "plain"),
    [
        ("Yes.", ["yes"] * 10, 0.0, 1.0),
        ("yes", ["yes"] * 10, 1.0, 1.0),
        ("red", ["red"] * 3 + ["blue"] * 7, 0.9, 0.9),
        ("red", ["red"] * 2 + ["blue"] * 8, 0.6, 0.6),
        ("red", ["red"] + ["blue"] * 9, 0.3, 0.3),
        ("5.", ["5"] * 9 + ["6"], 1.0, 1.0),
        ("", ["a"] * 9 + ["b"], 1.0, 0.0),
        ("none", ["0"] * 9 + ["1"], 1.0, 0.0),
        ("The Red", ["red"] * 9 + ["blue"], 1.0, 1.0),
        ("two", ["2"] * 9 + ["3"], 1.0, 1.0),
        ("dont", ["don't"] * 9 + ["do"], 1.0, None),
    ],
)
def test_vqa_soft_accuracy_officially_and_rightly(
    text: str, answers: list[str], official: float, plain: float | None
) -> None:
    assert value("vqa_official", text, *answers) == official
    assert plain is None or value("vqa", text, *answers) == plain


def test_few_answers_are_alternatives_rather_than_annotators() -> None:
    assert value("vqa", "red", "red") == 1.0
    assert value("vqa", "red", "blue", "red") == 1.0


@pytest.mark.parametrize(
    ("text", "answer", "formula", "inclusive"),
    [("ab", "cb", 0.0, 0.5), ("Hello", "hello", 1.0, 1.0), ("helo", "hello", 0.8, 0.8), ("x", "hello", 0.0, 0.0)],
)
def test_anls_differs_at_exactly_one_half(text: str, answer: str, formula: float, inclusive: float) -> None:
    assert value("anls", text, answer) == formula
    assert value("anls_inclusive", text, answer) == inclusive


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_edit_distance_is_one(one: str, other: str) -> None:
    found = edit_distance(one, other)
    assert found == edit_distance(other, one)
    assert (found == 0) == (one == other)
    assert abs(len(one) - len(other)) <= found <= max(len(one), len(other))


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [("1911", "2010", 1), ("0.0", "0", 0), ("0", "0", 1), ("5", "5%", 0), ("0.05", "5%", 1), ("1000", "1,000", 0),
     ("14.5", "14", 1), ("15", "14", 0), ("Blue", "blue", 1)],
)  # fmt: skip
def test_chartqa_is_relaxed_as_its_reference_is(text: str, answer: str, right: int) -> None:
    assert value("chartqa", text, answer) == right


@pytest.mark.parametrize(
    ("text", "answer", "exactly", "within"),
    [("1,000", "1000", 1, 1), ("14.5", "14", 0, 1), ("five", "5", 1, 1), ("-5", "5", 0, 0), ("0.0", "0", 1, 1),
     ("5%", "5", 0, 0), ("$3.50", "3.5", 1, 1), ("五", "5", 1, 1)],
)  # fmt: skip
def test_numbers_are_read_as_people_write_them(text: str, answer: str, exactly: int, within: int) -> None:
    assert value("numeric", text, answer) == exactly
    assert value("numeric:0.05", text, answer) == within


def test_a_text_where_a_number_is_expected_is_unparsed() -> None:
    assert find_scorer("numeric").score("I cannot tell", Target(("5",))).unparsed


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"), ("b", "B"), ("B.", "B"), ("(b)", "B"), ("(B) a dog", "B"), ("B. a dog", "B"), ("B: a dog", "B"),
        ("**B**", "B"), ("a dog", "B"), ("A dog", "B"), ("It is a dog.", "B"), ("The answer is B.", "B"),
        ("Answer: (B)", "B"), ("答案是B", "B"), ("选 B。", "B"), ("\uff22", "B"), ("\uff08B\uff09", "B"),
        (r"\boxed{B}", "B"), ("the dark red one", "C"), ("red", "D"), ("A", "A"), ("I think B", "B"),
        ("option c", "C"), ("B) because it barks", "B"),
        ("", None), ("I do not know", None), ("cat or dog", None), ("A or B", None), ("It is not a cat", None),
        ("E", None), ("Either (A) or (C)", None), ("B. cat", None), ("A big animal", None), ("不是A", None),
    ],
)  # fmt: skip
def test_an_option_is_read_or_the_answer_is_unparsed(text: str, letter: str | None) -> None:
    assert letter_in(text, OPTIONS) == letter


@pytest.mark.parametrize("expected", ["B", "b", "(B)", "a dog", "1"])
def test_the_expected_option_may_be_a_letter_a_text_or_a_place(expected: str) -> None:
    assert value("choice", "B", expected, options=OPTIONS) == 1.0
    assert value("choice", "C", expected, options=OPTIONS) == 0.0


def test_an_unparsed_choice_is_never_right() -> None:
    found = SCORERS["choice"].score("whatever", Target(("A",), OPTIONS))
    assert (found.value, found.unparsed) == (0.0, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [("Yes", "yes"), ("Yes.", "yes"), ("no, there is none", "no"), ("There is no dog", "no"),
     ("是的", "yes"), ("没有", "no"), ("不是", "no"), ("有", "yes"), ("maybe", None), ("", None),
     ("a dog, yes or no?", None)],
)  # fmt: skip
def test_yes_and_no_are_read_or_unclear(text: str, said: str | None) -> None:
    assert yes_or_no(text) == said


def test_contains_keeps_words_apart() -> None:
    assert value("contains", "It is a red circle.", "red") == 1.0
    assert value("contains", "It is coloured.", "red") == 0.0
    assert value("contains", "这是红色的圆", "红色") == 1.0


@pytest.mark.parametrize("name", sorted(SCORERS))
@given(text=st.text(max_size=30), answers=st.lists(st.text(max_size=10), min_size=1, max_size=10))
def test_every_scorer_stays_between_nothing_and_one(name: str, text: str, answers: list[str]) -> None:
    for options in ((), OPTIONS):
        found = SCORERS[name].score(text, Target(tuple(answers), options))
        assert 0.0 <= found.value <= 1.0
        assert not (found.unparsed and found.value)


def test_an_unknown_scorer_is_told_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="no-such"):
        find_scorer("no-such")
    with pytest.raises(InputError):
        find_scorer("numeric:x")


def test_intervals_of_right_and_wrong_are_wilsons() -> None:
    found = accuracy_interval([1.0] * 8 + [0.0] * 2)
    assert found is not None
    assert (round(found.low, 3), round(found.high, 3), found.method) == (0.490, 0.943, "wilson")
    assert accuracy_interval([]) is None
    certain = accuracy_interval([1.0] * 20)
    assert certain is not None
    assert (round(certain.low, 3), certain.high) == (0.839, 1.0)


def test_intervals_of_parts_are_resampled_and_the_same_every_time() -> None:
    scores = [0.0, 0.3, 0.6, 0.9, 1.0] * 40
    found = accuracy_interval(scores)
    assert found == accuracy_interval(scores)
    assert found is not None
    assert found.method == "bootstrap"
    assert 0.48 < found.low < 0.56 < found.high < 0.64
