"""Soft accuracy against ten annotators, as VQAv2 defines it and as its reference code computes it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vqa.evaluate.scoring.values import Score, Target
from vqa.lab.stats.agreement import normalize_answer

ENOUGH = 3
"""So many annotators make an answer wholly right."""
FEW = 4
"""Below so many answers they are alternatives, not votes."""
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
DIGIT_COMMA = re.compile(r"\d,\d")
PERIOD = re.compile(r"\.(?!\d)")
PERIODS = int(re.UNICODE)
"""The reference passes a flag where the count belongs: so many periods are taken out, and no more."""
NUMBERS = "zero one two three four five six seven eight nine ten"
WORDS = {"none": "0"} | {word: str(value) for value, word in enumerate(NUMBERS.split())}
ARTICLES = {"a", "an", "the"}


def vqa_plain(text: str, target: Target) -> Score:
    """Returns the mean over the leave-one-out sets of min(1, matches / 3), both sides always normalised.

    Antol et al., arXiv 1505.00468, section 4, with the leave-one-out average of the evaluation page of VQA. With
    fewer than four answers any match is right: those are alternatives rather than annotators.
    """
    said = normalize_answer(text)
    wanted = [normalize_answer(answer) for answer in target.answers]
    if len(wanted) < FEW:
        return Score(float(bool(said) and said in wanted), said)
    return Score(_leave_one_out(said, wanted) if said else 0.0, said)


def vqa_official(text: str, target: Target) -> Score:
    """Returns what the reference code of VQA says, its quirks included.

    Nothing is normalised where all annotators agree, so 'Yes.' against ten times 'yes' is worth nothing; 'none' is 0;
    an article alone is an empty answer; one comma between digits takes out all punctuation.
    """
    wanted = [_plain(answer) for answer in target.answers]
    said = _plain(text)
    if len(set(wanted)) > 1:
        wanted = [official_normalized(answer) for answer in wanted]
        said = official_normalized(said)
    return Score(_leave_one_out(said, wanted), said)


def _leave_one_out(said: str, wanted: list[str]) -> float:
    matches = wanted.count(said)
    without = [matches - (answer == said) for answer in wanted]
    return sum(min(1.0, count / ENOUGH) for count in without) / len(wanted)


def _plain(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def official_normalized(text: str) -> str:
    """Returns a text as the reference code of VQA normalises it."""
    dense = bool(DIGIT_COMMA.search(text))
    out = text
    for mark in PUNCTUATION:
        out = out.replace(mark, "" if dense or f"{mark} " in text or f" {mark}" in text else " ")
    out = PERIOD.sub("", out, count=PERIODS)
    words = (WORDS.get(word, word) for word in out.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def _contractions() -> Iterator[tuple[str, str]]:
    """Yields a word without its apostrophe and with it, for the words that the reference knows."""
    endings = {
        "n't": "ai are ca could did does do had has have is might must need ought sha should was were wo would",
        "'s": "he how somebody someone that there what when where who why",
        "'d": "he how it someone something there they where who you",
        "'ll": "how it somebody someone something they what who why you",
        "'re": "there they what why you",
        "'ve": "could might must not should they we what where who would you",
    }
    for ending, stems in endings.items():
        for stem in stems.split():
            yield stem + ending.replace("'", ""), stem + ending
    yield from (
        ("maam", "ma'am"),
        ("oclock", "o'clock"),
        ("twas", "'twas"),
        ("yall", "y'all"),
        ("somebody'd", "somebodyd"),
    )


CONTRACTIONS = dict(_contractions())
