"""Sentences: never more than what was seen, in both languages, for every verdict and cause."""

from __future__ import annotations

import re

import pytest

from tests.lab.made import answer, failed, samples
from vqa.lab.diagnosis.findings import Cause, Confidence, Diagnosis, Finding, Verdict
from vqa.lab.diagnosis.verdict import engineer_sentence, manager_sentence
from vqa.lab.report.conclusions import sentences
from vqa.lab.report.say import diagnosis_lines, diagnosis_sentence
from vqa.lab.stats.summarize import summarize, summarize_run
from vqa.text import LANGUAGES, Language, t, table

DRIFTED = [answer("red circle", second=-0.11), answer("red circle", second=-0.11, logprobs=[-0.1, -0.112])]


def test_identical_says_how_often_and_under_which_load() -> None:
    summary = summarize(samples(*["red"] * 20))
    assert (
        manager_sentence(summary)
        == "20 of 20 identical. Twenty tries can miss a rate of differences up to 14.6%; 300 bring that to 1%."
    )
    assert engineer_sentence(summary) == (
        "Identical in tokens, text and logprobs, 20 of 20; rate of differences at most 14.6% "
        "(one-sided 95%, under this load, on this server process)."
    )


def test_drift_names_its_size_and_the_fragile_position() -> None:
    said = engineer_sentence(summarize(samples(*DRIFTED * 10)))
    assert said.startswith(
        "Identical in tokens and text, 20 of 20; logprobs moved by up to 0.012 nat; holds now, fragile at token 0"
    )


def test_a_split_names_groups_divergence_and_margin() -> None:
    said = engineer_sentence(summarize(samples("red circle", *["red square"] * 9)))
    assert "2 different token sequences among 10; the most frequent came 9 times" in said
    assert "earliest divergence at token 1 where the margin is 1.9 nat" in said
    assert "Clopper–Pearson" in said


def test_the_first_that_differs_is_said_so() -> None:
    assert manager_sentence(summarize(samples("a", *["b"] * 19))) == (
        "The first of 20 answers differs; the other 19 are identical."
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_claimed_where_requests_failed_or_nothing_was_compared(language: Language) -> None:
    for run in ([], samples("red"), [*samples("red", "red"), failed(2)], [failed(0), failed(1)]):
        for sentence in (manager_sentence, engineer_sentence):
            said = sentence(summarize(run), language)
            assert said.startswith({"en": "Could not tell", "zh": ("无法判断", "尚无法判断")}[language])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_of_summary_has_both_sentences(language: Language) -> None:
    hidden = answer("red", ids=False, shown=False)
    runs = [
        samples(*["red"] * 3),
        samples("Red.", "red", "red"),
        samples("red", "blue", "green"),
        samples("a", *["b"] * 5),
        samples(*DRIFTED),
        samples(hidden, hidden),
        [*samples("red", "blue"), failed(2)],
        samples(*[answer("red", finish_reason="length")] * 2),
        [*samples("red", "red"), *samples("x", "y", question=1), failed(2)],
    ]
    for run in runs:
        for summary in (summarize_run(run), *summarize_run(run).questions):
            for sentence in (manager_sentence, engineer_sentence):
                said = sentence(summary, language)
                assert said
                assert "{" not in said


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_and_cause_can_be_said(verdict: Verdict, language: Language) -> None:
    numbers = dict.fromkeys(("n", "ok", "failed", "arms", "questions", "distinct", "servers"), 3)
    values = numbers | {"bound": "1%", "epsilon": "0.1", "level": "text"}
    about = {
        "k": 1, "arms": "background", "others": 0, "preemptions": 0, "prompts": 2, "temperature": 0, "epsilon": "0.1",
        "position": 3, "fragile": 1, "token": 4, "what": "x", "kinds": 3, "met": True,
        "tried": [{"remedy": "salt_per_request", "n": 20, "same": 20, "level": "bitwise"}],
    }  # fmt: skip
    findings = tuple(Finding(cause, confidence, about) for cause in Cause for confidence in Confidence)
    found = Diagnosis(verdict, findings, (), values)
    assert "{" not in "".join(diagnosis_lines(found, language)) + diagnosis_sentence(found, language)
    assert all(f"lab.confidence_{confidence}" in table(language) for confidence in Confidence)
    assert t(f"lab.verdict_{verdict}", language, **values, loads="", why="")


@pytest.mark.parametrize(
    ("answers", "badge", "so_far"),
    [
        (("red", "red", "red"), "Identical", "完全相同"),
        (("red", "blue", "red"), "Differs", "不一致"),
        (("red",), "Could not tell", "无法判断"),
    ],
)
def test_the_verdict_has_a_badge_and_its_statistics_behind_a_fold(
    answers: tuple[str, ...], badge: str, so_far: str
) -> None:
    summary = summarize(samples(*answers))
    shown = sentences(summary, "en")
    assert f">{badge}</span>" in shown or f"<strong>{badge}" in shown
    plain, fold, figures = shown.partition("<details")
    assert manager_sentence(summary) in plain
    read = re.sub(r'<span role="tooltip">.*?</span>|<[^>]*>', "", figures)  # as it stands there, terms unopened
    assert (engineer_sentence(summary) in read) == bool(fold) == (len(answers) > 1)
    assert (f">目前{so_far}</span>" if fold else f"<strong>{so_far}") in sentences(summary, "zh", running=True)


def test_answers_that_are_all_different_are_told_so() -> None:
    summary = summarize(samples("a", "b", "c"))
    assert manager_sentence(summary) == "The answers differ: all 3 are different."
    assert manager_sentence(summary, "zh") == "回答不一致：3 次各不相同。"
