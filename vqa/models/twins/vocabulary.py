"""A tokenizer made by rule with a model's own markers at their own ids; knows no weights and no processor.

Byte-level BPE like the published ones: 256 bytes, 100 syllables, and nonsense words of one to three syllables with a
space before them. Every word has its merges, so text that the model says is read back as the very same tokens, which
a conversation and the random prompts of a benchmark rely on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from vqa.models.probe_text import byte_alphabet

_SYLLABLES = tuple(c + v for c in "bcdfghjklmnpqrstvwxz" for v in "aeiou")
_BYTES = 256


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of one model.

    Attributes:
        first: markers that have the ids from 0 on.
        last: markers that follow the words.
        words_end: the id of the first of `last`; bytes and words fill what lies between.
        size: rows of the embedding; what lies beyond the last marker is padding that no text uses.
    """

    first: tuple[str, ...]
    last: tuple[str, ...]
    words_end: int
    size: int

    def __post_init__(self) -> None:
        if len(self.first) + _BYTES + 1 > self.words_end or self.words_end + len(self.last) > self.size:
            raise ValueError(f"{self.size} tokens do not hold bytes, words and {len(self.last)} markers")

    @cached_property
    def ids(self) -> dict[str, int]:
        """Token -> id, markers included."""
        words = itertools.islice((token for token, _ in _words()), self._words)
        tokens = [*self.first, *byte_alphabet(), *words, *self.last]
        return {token: index for index, token in enumerate(tokens)}

    @property
    def markers(self) -> tuple[str, ...]:
        """All markers, in the order of their ids."""
        return (*self.first, *self.last)

    @property
    def unsaid(self) -> tuple[tuple[int, int], ...]:
        """Ranges of ids, (first, end), that are no whole words: a model with random weights is made not to say them.

        Otherwise answers would end by chance, and hold halves of characters.
        """
        return ((0, len(self.first) + _BYTES), (self.words_end, self.size))

    @property
    def _words(self) -> int:
        return self.words_end - len(self.first) - _BYTES

    def tokenizer_json(self) -> dict[str, object]:
        """Returns the content of tokenizer.json (huggingface/tokenizers)."""
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        merges = [f"{left} {right}" for _, (left, right) in itertools.islice(_words(), self._words)]
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {"id": self.ids[token], "content": token, **flags, "special": not token.isspace()}
                for token in self.markers
            ],
            "normalizer": None,
            "pre_tokenizer": byte_level,
            "post_processor": None,
            "decoder": byte_level,
            "model": {"type": "BPE", "vocab": self.ids, "merges": merges},
        }


def _words() -> Iterator[tuple[str, tuple[str, str]]]:
    """Yields (token, its merge), the most general first."""
    for syllable in _SYLLABLES:
        yield syllable, (syllable[0], syllable[1])
    starts = [f"Ġ{syllable}" for syllable in _SYLLABLES]
    yield from ((start, ("Ġ", start[1:])) for start in starts)
    two = [(word + syllable, (word, syllable)) for word in starts for syllable in _SYLLABLES]
    yield from two
    yield from ((word + syllable, (word, syllable)) for (word, _), syllable in itertools.product(two, _SYLLABLES))
