"""The levels of agreement: in which sense two answers are the same, from bit for bit down to 'means the same'."""

import hashlib
import re
import unicodedata
from array import array
from enum import StrEnum

from vqa.answers import Answer, Token


class Level(StrEnum):
    """How much of two answers is equal; a level implies all the weaker ones."""

    BITWISE = "bitwise"
    """Token ids and every reported logprob."""
    TOKENS = "tokens"
    """Token ids."""
    TEXT = "text"
    """The characters: the source article's check."""
    ANSWER = "answer"
    """The normalised answer: case, punctuation, articles and number words do not count."""
    NONE = "none"

    @property
    def height(self) -> int:
        """4 for bitwise down to 0 for none."""
        return len(Level) - 1 - list(Level).index(self)


LEVELS = (Level.BITWISE, Level.TOKENS, Level.TEXT, Level.ANSWER)
"""The levels that can hold, strongest first."""

_NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
_NUMBERS = {word: str(value) for value, word in enumerate(_NUMBER_WORDS)}
_ARTICLES = {"a", "an", "the"}
_CHINESE_DIGITS = {**{digit: value for value, digit in enumerate("零一二三四五六七八九")}, "〇": 0, "两": 2}
_CHINESE_NUMBER = re.compile("[零〇一二两三四五六七八九十]+")
_DECIMAL = re.compile(r"(?<=\d)[.,](?=\d)")
_HELD = "\N{SECTION SIGN}"


def normalize_answer(text: str) -> str:
    """Returns what is left of an answer when case, punctuation, articles and number words no longer count.

    Follows the spirit of the VQA evaluation (Antol et al., arXiv 1505.00468, section 4), for English and Chinese.
    """
    text = unicodedata.normalize("NFKC", text).casefold().replace(_HELD, " ")
    text = _DECIMAL.sub(lambda found: _HELD if found.group() == "." else "", text)
    text = "".join(" " if unicodedata.category(char)[0] in "PSZC" and char != _HELD else char for char in text)
    text = _CHINESE_NUMBER.sub(_chinese_number, text.replace(_HELD, "."))
    words = (_NUMBERS.get(word, word) for word in text.split())
    return " ".join(word for word in words if word not in _ARTICLES)


def _chinese_number(found: re.Match[str]) -> str:
    digits = found.group()
    tens, ten, ones = digits.partition("十")
    if ten and len(tens) <= 1 and len(ones) <= 1 and "十" not in ones:
        return str(10 * (_CHINESE_DIGITS[tens] if tens else 1) + (_CHINESE_DIGITS[ones] if ones else 0))
    return "".join(str(_CHINESE_DIGITS[digit]) if digit in _CHINESE_DIGITS else "10" for digit in digits)


def shown_levels(answer: Answer) -> frozenset[Level]:
    """Returns the levels that an answer's content lets one see."""
    levels = {Level.TEXT, Level.ANSWER}
    if answer.token_ids is not None:
        levels.add(Level.TOKENS)
        if answer.tokens is not None:
            levels.add(Level.BITWISE)
    return frozenset(levels)


def level_key(answer: Answer, level: Level) -> bytes:
    """Returns 16 bytes that are equal for two answers exactly when they are the same on `level` (BLAKE2).

    Raises:
        ValueError: the answer does not show that level (see `shown_levels`).
    """
    if level not in shown_levels(answer):
        raise ValueError(f"the answer does not show {level}")
    if level is Level.TEXT:
        return _digest(answer.text.encode("utf-8", "surrogatepass"))
    if level is Level.ANSWER:
        return _digest(normalize_answer(answer.text).encode("utf-8", "surrogatepass"))
    ids = array("q", answer.token_ids or ()).tobytes()
    if level is Level.TOKENS:
        return _digest(ids)
    # Adding 0.0 makes -0.0 and 0.0, which are equal, the same bytes; the lengths keep rows of unequal width apart.
    rows = array("d", (value + 0.0 for token in answer.tokens or () for value in _values(token)))
    widths = array("q", (len(token.top) for token in answer.tokens or ()))
    return _digest(ids, rows.tobytes(), widths.tobytes())


def _values(token: Token) -> tuple[float, ...]:
    return (token.logprob, *(value for _, value in token.top))


def _digest(*parts: bytes) -> bytes:
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        hashed.update(len(part).to_bytes(8, "little"))
        hashed.update(part)
    return hashed.digest()
