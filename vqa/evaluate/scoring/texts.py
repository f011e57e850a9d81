"""Scores by comparing texts and numbers: exact, normalised, contained, edit distance, tolerance. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from vqa.evaluate.scoring.values import UNPARSED, Score, Target
from vqa.lab.stats.agreement import normalize_answer

LIMIT = 0.5
CHART_TOLERANCE = 0.05
NUMBER = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?")
SIGNS = "$€£¥￥ "


def exact(text: str, target: Target) -> Score:
    """Returns 1 for one of the answers to the character, blanks around it apart."""
    said = text.strip()
    return Score(float(any(said == answer.strip() for answer in target.answers)), said)


def normalized(text: str, target: Target) -> Score:
    """Returns 1 for one of the answers when case, punctuation, articles and number words do not count."""
    said = normalize_answer(text)
    return Score(float(bool(said) and any(said == normalize_answer(answer) for answer in target.answers)), said)


def contains(text: str, target: Target) -> Score:
    """Returns 1 when one of the answers stands in the text as whole words; Chinese has no words to keep apart."""
    said = normalize_answer(text)
    return Score(float(any(holds(said, normalize_answer(answer)) for answer in target.answers)), said)


def holds(text: str, part: str) -> bool:
    """Returns whether a normalised text holds another as whole words."""
    if not part:
        return False
    if any("\u3400" <= char <= "\u9fff" for char in part):
        return part in text
    return f" {part} " in f" {text} "


def anls(text: str, target: Target) -> Score:
    """Returns the best of 1 - NL over the answers, kept where NL < 0.5: Biten et al., arXiv 1907.00490, equation 1."""
    return _anls(text, target, lambda distance: distance < LIMIT)


def anls_inclusive(text: str, target: Target) -> Score:
    """Returns the same with a similarity of exactly 0.5 kept, as VLMEvalKit, lmms-eval and HF `evaluate` have it."""
    return _anls(text, target, lambda distance: 1 - distance >= LIMIT)


def _anls(text: str, target: Target, kept: Callable[[float], bool]) -> Score:
    said = _spaced(text)
    best = 0.0
    for answer in target.answers:
        wanted = _spaced(answer)
        longest = max(len(said), len(wanted))
        distance = edit_distance(said, wanted) / longest if longest else 0.0
        if kept(distance):
            best = max(best, 1 - distance)
    return Score(best, said)


def _spaced(text: str) -> str:
    return " ".join(text.lower().split())


def edit_distance(one: str, other: str) -> int:
    """Returns the Levenshtein distance; where lengths alone make it more than half, the longer length will do."""
    if len(one) < len(other):
        one, other = other, one
    if 2 * (len(one) - len(other)) > len(one):
        return len(one)
    row = list(range(len(other) + 1))
    for place, left in enumerate(one, 1):
        last, row[0] = row[0], place
        for column, right in enumerate(other, 1):
            last, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, last + (left != right))
    return row[-1]


def chartqa(text: str, target: Target) -> Score:
    """Returns relaxed accuracy as the reference code (pix2struct) computes it: within 5%, else the same text.

    Years are numbers too, so 1911 passes for 2010; nothing is within 5% of 0; '5%' is 0.05; '1,000' is no number.
    """
    said = text.strip()
    return Score(float(any(_relaxed(said, answer.strip()) for answer in target.answers)), said)


def _relaxed(said: str, wanted: str) -> bool:
    given, gold = _float(said), _float(wanted)
    if given is not None and gold:
        return abs(given - gold) / abs(gold) <= CHART_TOLERANCE
    return said.lower() == wanted.lower()


def _float(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def number_in(text: str) -> tuple[float, bool] | None:
    """Returns the one number that a text is, and whether it is a percentage; None for any other text."""
    plain = unicodedata.normalize("NFKC", text).strip().strip(".。!").strip(SIGNS).replace("−", "-")
    percent = plain.endswith("%")
    plain = plain.removesuffix("%").strip()
    if not plain or not NUMBER.fullmatch(plain):
        words = normalize_answer(plain)
        if not re.fullmatch(r"\d+(\.\d+)?", words):
            return None
        plain = words
    try:
        return float(plain.replace(",", "")), percent
    except ValueError:
        return None


def numeric(tolerance: float) -> Callable[[str, Target], Score]:
    """Returns a scorer of numbers: right within `tolerance` of the expected one, as a share of it; 0 only for 0.

    A percentage is only equal to a percentage. A text that is no number is unparsed, unless a text is expected.
    """

    def score(text: str, target: Target) -> Score:
        wanted = [(answer, number_in(answer)) for answer in target.answers]
        given = number_in(text)
        if given is None:
            if all(gold is not None for _, gold in wanted):
                return UNPARSED
            return normalized(text, target)
        close = any(
            gold is not None and gold[1] == given[1] and abs(given[0] - gold[0]) <= tolerance * abs(gold[0]) + 1e-12
            for _, gold in wanted
        )
        return Score(float(close), f"{given[0]:g}{'%' if given[1] else ''}")

    return score
