"""What is left of an answer when its wording no longer counts; nothing that tells two answers apart is dropped."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBERS = {word: value for value, word in enumerate(_ONES)} | {word: 10 * place for place, word in enumerate(_TENS, 2)}
_ARTICLES = {"a", "an", "the"}
_NOT_AFTER_ARTICLE = frozenset(
    (
        *("is", "are", "was", "were", "and", "or", "nor", "but", "because", "since", "as", "has", "have", "had"),
        *("does", "did", "will", "can", "with", "in", "on", "of", "to", "for", "by", "at", "from", "seems", "looks"),
        *("vs", "versus", "then", "than", "if", "not", "only", "too", "also"),
    )
)
"""Before one of these, 'a' is a letter that names something: 'A is right', 'A and B'."""
_CHINESE_DIGITS = {**{digit: value for value, digit in enumerate("零一二三四五六七八九")}, "〇": 0, "两": 2}
_COUNTERS = "个只条张本辆位名人头匹件把座棵朵台架艘支枝间碗杯瓶盘双对群种岁年月日天号元角米克斤页层"
_CHINESE_NUMBER = re.compile(
    f"(?<![百千万亿点])([零〇一二两三四五六七八九十]+)(?=[{_COUNTERS}])"
    r"|(?<![^\s,])([零〇一二两三四五六七八九十]+)(?![^\s,])"
)
_SCRIPTS = str.maketrans(
    {
        **{sign: f"^{digit}" for sign, digit in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-", strict=True)},
        **{sign: f"_{digit}" for sign, digit in zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)},
    }
)
_SCRIPT_AFTER_DIGIT = re.compile(r"(?<=\d)[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻₀₁₂₃₄₅₆₇₈₉]+")
_VULGAR = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"), None)
_ALIKE = str.maketrans(
    {"−": "-", "‐": "-", "‑": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "「": '"',
     "」": '"', "『": '"', "』": '"', "《": '"', "》": '"', "⁄": "/", "。": ". ", "、": ", "}
)  # fmt: skip
_QUOTED = re.compile(r"(?<![\w\"'])(?:\"([^\"]+)\"|'([^']+)')(?![\w\"'])")
_MARKED = re.compile(r"(?<![\w*_`])(\*\*|__|\*|_|`)([^\s*_`](?:[^*_`\n]*[^\s*_`])?)\1(?![\w*_`])")
_WRAPPED = re.compile(r"\(([^()\[\]]*)\)|\[([^()\[\],]*)\]")
_LABEL = re.compile(r"\(?([A-Za-z])\)(?=\s|$)")
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_BREAK = re.compile(
    r"[,;!]+(?!\d)|(?<!\d)[,;!]+|\.+(?=[\s,;!.]|$)|\s*\n\s*|\s[-–—]+\s(?!\d)|(?<=[^\W\d])[–—]+(?=[^\W\d])"
)
_UNIT = re.compile(
    r"(?<=\d)\s*([mM](?:W|Hz|V|A|J|N|Pa|g|m|s|Wh|eV|L|l)?|[kKMGT]i?(?:[bB](?:ps|/s)?)?)(?![^\W_])", re.UNICODE
)
"""Units that differ by their case alone: mW and MW, Mb and MB, m (metres) and M (millions)."""
_SIGN_APART = re.compile(r"(?<=\d)\s+(?=[%‰°])")
_HYPHEN = re.compile(r"(?<=[^\W\d_]{2})-(?=[^\W\d_])|(?<=[^\W\d_])-(?=[^\W\d_]{2})")
_HELD = "\ue000"
"""A private character around what keeps its case."""


def normalize_answer(text: str) -> str:
    """Returns an answer without what does not tell it from another: case, quotes, closing marks, articles, wording.

    Follows the spirit of the VQA evaluation (Antol et al., arXiv 1505.00468, section 4), for English and Chinese, but
    drops less: two answers that a person would call different never become equal. Letters of a choice, signs,
    comparisons, units, currency, ranges, emoji, question marks and the commas of a list stay. Empty only for an answer
    without a visible character.
    """
    return _kept(text) if len(text) <= _SHORT else _normalized(text)


def _normalized(text: str) -> str:
    out = " ".join(_words(_spelt_alike(text))).strip(", ")
    return out or " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_INVISIBLE).split())


_SHORT = 2000
"""Characters of a text whose normal form is kept: most answers of a run are one and the same."""
_kept = lru_cache(maxsize=2048)(_normalized)


def _spelt_alike(text: str) -> str:
    """Returns the text with one spelling of each sign, number and unit, its case kept."""
    text = _SCRIPT_AFTER_DIGIT.sub(lambda found: found.group().translate(_SCRIPTS), text)
    text = unicodedata.normalize("NFKC", _VULGAR.sub(" ", text)).translate(_ALIKE).translate(_INVISIBLE)
    text = "".join(" " if unicodedata.category(char) in {"Cc", "Zl", "Zp"} and char != "\n" else char for char in text)
    text = text.replace(_HELD, "").strip()
    if wrapped := _WRAPPED.fullmatch(text):
        text = (wrapped[1] if wrapped[1] is not None else wrapped[2]).strip()
    text = _LABEL.sub(r"\1,", text, count=1) if _LABEL.match(text) else text
    text = _QUOTED.sub(r"\1\2", _MARKED.sub(r"\2", text))
    text = re.sub(r"^[-•]\s+(?=[^\W\d])", "", text)
    text = re.sub(r"(?<![\d.])\.(?=\d)", "0.", _GROUPED.sub(lambda found: found.group().replace(",", ""), text))
    text = re.sub(r"(?<=\d)[–—](?=\d)", "-", text)
    return _SIGN_APART.sub("", text)


def _words(text: str) -> list[str]:
    """Returns the words, with a comma for every break between two parts of the answer."""
    shouted = text.isupper()
    text = _BREAK.sub(" , ", re.sub(r":+(?=\s|$)", " ", text))
    text = _UNIT.sub(lambda found: f" {_HELD}{found[1]}{_HELD}", text)
    text = _CHINESE_NUMBER.sub(lambda found: _chinese_number(found[1] or found[2]), text)
    given = text.split()
    kept: list[str] = []
    for place, word in enumerate(given):
        after = given[place + 1] if place + 1 < len(given) else ""
        if word == ",":
            if kept and kept[-1] != "," and after not in {"", ","} and after.casefold() not in {"and", "or"}:
                kept.append(",")
        elif not _is_article(word, after, begins=not kept or kept[-1] == "," or shouted):
            kept.append(word)
    plain = " ".join(word.replace(_HELD, "") if _HELD in word else word.casefold() for word in kept)
    return _numbers(_HYPHEN.sub(" ", plain).split())


def _is_article(word: str, after: str, *, begins: bool) -> bool:
    if word.casefold() not in _ARTICLES or (word[:1].isupper() and word.casefold() == "a" and not begins):
        return False
    following = after.casefold()
    if word.casefold() == "the":
        return following[:1].isalnum()
    return len(following) > 1 and following[0].isalnum() and following not in _NOT_AFTER_ARTICLE


def _numbers(words: list[str]) -> list[str]:
    """Returns the words with number words up to ninety-nine as digits."""
    found: list[str] = []
    place = 0
    while place < len(words):
        value = _NUMBERS.get(words[place])
        place += 1
        if value is None:
            found.append(words[place - 1])
            continue
        ones = _NUMBERS.get(words[place], 0) if place < len(words) else 0
        if value >= 20 and 0 < ones < 10:
            value += ones
            place += 1
        found.append(str(value))
    return found


def _chinese_number(digits: str) -> str:
    """Returns the digits of a Chinese number below a hundred or of a year; 三四 (three or four) stays what it is."""
    tens, ten, ones = digits.partition("十")
    if ten:
        if len(tens) > 1 or len(ones) > 1 or "十" in ones or {tens, ones} & {"零", "〇"}:
            return digits
        return str(10 * (_CHINESE_DIGITS[tens] if tens else 1) + (_CHINESE_DIGITS[ones] if ones else 0))
    if len(digits) == 1 or (set(digits) & {"零", "〇"} and len(digits) == 4):
        return "".join(str(_CHINESE_DIGITS[digit]) for digit in digits)
    return digits
