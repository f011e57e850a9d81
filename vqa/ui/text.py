"""The page's words in one language: each page is built once for each, so a tab asks for its words when it is built.

The English page is `/`, the Chinese one `/zh`; a handler knows its language because its tab was built in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from vqa.text import Language, t

Words: TypeAlias = Callable[..., str]


def words(lang: Language) -> Words:
    """Returns a function from a text key (and its placeholders' values) to the text in `lang`."""

    def tr(key: str, **values: object) -> str:
        return t(key, lang, **values)

    return tr
