"""Reads the option out of an answer to a multiple-choice question, yes or no out of another; never guesses. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

from vqa.evaluate.scoring.texts import holds, normalized
from vqa.evaluate.scoring.values import UNPARSED, Score, Target
from vqa.lab.stats.agreement import normalize_answer

ALONE = re.compile(r"\W*(?:option|选项|选)?\W*([A-Za-z])\W*", re.IGNORECASE)
LEADING = re.compile(r"[\s*_\"'“(\[【]*([A-Z])\s*[).:,\]】、*]|[\s*_\"'“]*[(\[【]([A-Za-z])[)\]】]|([a-z])[).:]\s")
SAID = re.compile(
    r"(?:answer|option|choice|choose|select|correct one)s?(?:\s+(?:is|would be|should be|option|are))*\s*[:=]?\s*"
    r"[\s*_\"'“(\[{]*([A-Z])(?![\w'’])"
    r"|(?:答案|选项|选择|应选|应该选|故选|选)(?:是|为|应为|应该是)?\s*[::]?\s*[\s*_\"'“(\[【{]*([A-Z])(?![A-Za-z])"
    r"|boxed\{\s*(?:\\text\{)?\s*\(?([A-Z])\)?\s*\}",
    re.IGNORECASE,
)
BRACKETED = re.compile(r"[(\[【]\s*([A-Z])\s*[)\]】]")
STANDING = re.compile(r"(?<![\w'’])([A-Z])(?![\w'’])")
ARTICLE = re.compile(r"\bA(?=\s+(?!or\b|and\b|is\b)[a-z])")
NEGATION = re.compile(
    r"\b(not|no|never|neither|nor|except|isn't|aren't|wrong|incorrect)\b|n't\b|不|没|非|除|错", re.IGNORECASE
)
LETTERS = "ABCDEFGHIJ"
LETTER = re.compile(r"\(?[A-J][).]?")
YES, NO = "yes", "no"
NUMBERED = {"1": YES, "0": NO}
"""Expected answers as HallusionBench writes them."""
YES_WORDS = ("是", "有", "对", "是的", "有的", "对的", "存在", "正确")
NO_WORDS = ("否", "不是", "没有", "不", "无", "不对", "不存在", "错误", "没", "错")


def choice(text: str, target: Target) -> Score:
    """Returns 1 for the expected option; an answer in which none or several can be read is unparsed.

    A question without options is compared as a normalised text (MMMU has both kinds), unless a letter is expected:
    then the options are in the question itself.
    """
    if not target.options:
        if not target.answers or not all(map(LETTER.fullmatch, target.answers)):
            return normalized(text, target)
        target = replace(target, options=tuple((letter, "") for letter in LETTERS))  # they stand in the question
    wanted = expected_letters(target)
    given = letter_in(text, target.options)
    return UNPARSED if given is None else Score(float(given in wanted), given)


def expected_letters(target: Target) -> set[str]:
    """Returns the letters that are right: an expected answer may be a letter, an option's text or its place from 0."""
    letters = [letter for letter, _ in target.options]
    found = set()
    for answer in target.answers:
        plain = answer.strip()
        by_text = [letter for letter, text in target.options if normalize_answer(text) == normalize_answer(plain)]
        mark = re.fullmatch(r"\(?([A-Za-z])[).]?", plain)
        if mark and mark[1].upper() in letters:
            found.add(mark[1].upper())
        elif by_text:
            found.add(by_text[0])
        elif plain.isdecimal() and int(plain) < len(letters):
            found.add(letters[int(plain)])
    return found


def letter_in(text: str, options: tuple[tuple[str, str], ...]) -> str | None:
    """Returns the letter of the one option that an answer names, by its letter or by its text; None otherwise."""
    plain = unicodedata.normalize("NFKC", text).strip()
    letters = {letter for letter, _ in options}
    if (alone := ALONE.fullmatch(plain)) and alone[1].upper() in letters:
        return alone[1].upper()
    said = normalize_answer(plain)
    equal = [letter for letter, option in options if said and normalize_answer(option) == said]
    if len(equal) == 1:
        return equal[0]
    leading = LEADING.match(plain)
    if leading and (letter := str(next(filter(None, leading.groups()))).upper()) in letters:
        rest = normalize_answer(plain[leading.end() :])
        others = [each for each, option in options if each != letter and normalize_answer(option) == rest and rest]
        return None if others else letter
    for pattern in (SAID, BRACKETED):
        found = {next(filter(None, mark.groups())).upper() for mark in pattern.finditer(plain)} & letters
        if found:
            return found.pop() if len(found) == 1 else None
    return _by_text(plain, said, options) or _standing(plain, letters)


def _by_text(plain: str, said: str, options: tuple[tuple[str, str], ...]) -> str | None:
    """Returns the one option whose text stands in the answer; none where something is denied there."""
    if NEGATION.search(plain):
        return None
    normals = ((letter, normalize_answer(option)) for letter, option in options)
    inside = [(letter, normal) for letter, normal in normals if normal and holds(said, normal)]
    # 'dark red' holds 'red': the longer one is what was said.
    longest = [each for each in inside if not any(each[1] != other and holds(other, each[1]) for _, other in inside)]
    return longest[0][0] if len(longest) == 1 else None


def _standing(plain: str, letters: set[str]) -> str | None:
    if NEGATION.search(plain):
        return None
    found = set(STANDING.findall(ARTICLE.sub(" ", plain))) - ({"I"} if re.search(r"\bI\s+[a-z]", plain) else set())
    found &= letters
    return str(found.pop()) if len(found) == 1 else None


def yes_or_no(text: str) -> str | None:
    """Returns `yes` or `no` where an answer says just one of them, at its beginning or anywhere; None otherwise."""
    plain = unicodedata.normalize("NFKC", text).strip().casefold()
    words: list[str] = re.findall(r"[a-z']+|[\u3400-\u9fff]+", plain)
    if not words:
        return None
    if words[0] in {YES, NO}:
        return words[0]
    if (said := {YES, NO} & set(words)) and len(said) == 1:
        return said.pop()
    first = words[0]
    if first.startswith(NO_WORDS):
        return NO
    if first.startswith(YES_WORDS):
        return YES
    return None


def pope(text: str, target: Target) -> Score:
    """Returns 1 for the expected yes or no; an answer that says neither or both is unparsed (unclear)."""
    said = yes_or_no(text)
    if said is None:
        return UNPARSED
    return Score(float(any(expected_yes_or_no(answer) == said for answer in target.answers)), said)


def expected_yes_or_no(answer: str) -> str | None:
    """Returns what an expected answer says, which may be a number."""
    return NUMBERED.get(answer, yes_or_no(answer))
