"""Answers that say the same become equal; two that a person would call different never do, in English and Chinese."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa.lab.stats.normalize import normalize_answer

SAME = [
    ("A red circle.", "red circle"), ("Two", "2"), ("有三个圆。", "有3个圆"), ("十二", "12"), ("二十三", "23"),
    ("两个", "2个"), ("1,000 stars", "1000 stars"), ("THE  answer: yes!", "answer yes"), ("twenty-one", "21"),
    ("(A)", "A."), ("B) ", "b"), ("**red**", "Red"), ("“红色”", "红色。"), ("5 %", "5%"),
    ("red, white, and blue", "Red, white and blue!"),
    ("\uff21", "a"), ("−5", "-5"), ("½", "1/2"), (".5", "0.5"), ("A DOG", "a dog"),
    ("二〇二四年", "2024年"), ("3–4", "3-4"),
    ("It’s red", "it's red"), ("是。红色", "是，红色"),
]  # fmt: skip
OTHER = [
    ("A", ""), ("A, B", "B"), ("A, B", "A"), ("-5", "5"), ("+5", "5"), ("<5", ">5"), ("≤5", "<5"),
    ("3,4", "34"), ("3, 4", "34"),
    ("$5", "5"), ("5%", "5"), ("$5", "€5"), ("~5", "5"), ("±5", "5"), ("3.5", "35"),
    ("10:30", "1030"), ("1/2", "12"),
    ("3-4", "34"), ("3-4", "3 4"), ("10²", "102"), ("5½", "51/2"), ("5'", '5"'), ("5 mW", "5 MW"),
    ("5 Mb", "5 MB"), ("5 m", "5 M"),
    ("A+", "A-"), ("A+", "A"), ("no, red", "no red"), ("👍", "👎"), ("👍", ""), ("yes?", "yes"), ("A", "the"),
    ("Option A is right", "Option is right"), ("A and B", "and B"), ("red circle", "blue circle"),
    ("2", "12"), ("no", "yes"),
    ("三四个", "34个"), ("十三四个", "134个"), ("一起", "1起"), ("是", "不是"), ("一、二", "12"), ("甲、乙", "乙"),
    ("零下5度", "5度"), ("红？", "红"),
    ("#5", "5"), ("5°C", "5°F"), ("x=5", "x>5"), ("don't", "do"), ("https://a.b/c", "https ab c"),
    ("(1,2]", "[1,2)"), ("H₂O", "HO"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_answers_that_mean_the_same_are_the_same(one: str, other: str) -> None:
    assert normalize_answer(one) == normalize_answer(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_answers_that_mean_something_else_stay_apart(one: str, other: str) -> None:
    assert normalize_answer(one) != normalize_answer(other)


@given(st.text(max_size=40))
def test_only_an_answer_without_a_visible_character_is_empty(text: str) -> None:
    seen = [char for char in text if not char.isspace() and unicodedata.category(char) not in {"Cc", "Cf", "Co"}]
    assert not seen or normalize_answer(text)


AMOUNTS = st.tuples(
    st.sampled_from(["", "-", "+", "<", ">", "≤", "≥", "~", "±", "$", "€", "¥", "#", "-$"]),
    st.integers(0, 99_999),
    st.sampled_from(["", ".5", ".25", "/3", ":30", "-7", ",7"]),
    st.sampled_from(["", "%", "‰", "°", "°C", "°F", " kg", " g", " mW", " MW", "个", "岁", "元"]),
)


@given(AMOUNTS, AMOUNTS)
def test_amounts_agree_only_where_sign_number_and_unit_do(
    one: tuple[str, int, str, str], other: tuple[str, int, str, str]
) -> None:
    written = [f"{sign}{number}{more}{unit}" for sign, number, more, unit in (one, other)]
    assert (normalize_answer(written[0]) == normalize_answer(written[1])) == (one == other)


CHOICES = st.lists(st.sampled_from("ABCDE"), min_size=1, max_size=5)
COMMAS = st.sampled_from([", ", "、", "，", " , "])


@given(CHOICES, CHOICES, COMMAS, COMMAS)
def test_lists_of_letters_agree_only_where_they_hold_the_same_letters(
    one: list[str], other: list[str], comma: str, other_comma: str
) -> None:
    assert (normalize_answer(comma.join(one)) == normalize_answer(other_comma.join(other).lower())) == (one == other)


NUMBERS = st.lists(st.integers(0, 999), min_size=1, max_size=4)


@given(NUMBERS, NUMBERS)
def test_lists_of_numbers_agree_only_where_they_hold_the_same_numbers(one: list[int], other: list[int]) -> None:
    texts = [", ".join(map(str, numbers)) for numbers in (one, other)]
    assert (normalize_answer(texts[0]) == normalize_answer(texts[1])) == (one == other)


NOUNS = st.sampled_from(
    ["red", "dog", "circle", "two", "seventeen", "红色", "圆形", "三个", "no", "tree", "it's", "t-shirt"]
)
DRESS = st.sampled_from(
    ["{}", "{}.", "{}!", '"{}"', "“{}”", "**{}**", " {} ", "({})", "{}。", "the {}", "The {}.", "A {}"]
)


@given(NOUNS, NOUNS, DRESS, DRESS)
def test_dress_counts_for_nothing_and_words_for_everything(one: str, other: str, dress: str, other_dress: str) -> None:
    same = normalize_answer(dress.format(one)) == normalize_answer(other_dress.format(other.title()))
    assert same == (one == other)


@given(st.text("红色圆形的一二三四五六七八九十百千万零两个只起些", min_size=1, max_size=6))
def test_chinese_loses_nothing_but_the_spelling_of_its_numbers(text: str) -> None:
    kept = [char for char in text if char not in "零一二三四五六七八九十两"]
    assert [
        char for char in normalize_answer(text) if not char.isdigit() and char not in "零一二三四五六七八九十两"
    ] == kept
