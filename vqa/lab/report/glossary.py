"""What the lab's words of art mean, beside the words themselves: shown on hover, on tap and on focus, without a script.

The words and their meanings are `vqa/text/<language>/glossary.json`; `<entry>_words` holds the spellings.
"""

from __future__ import annotations

import re
from functools import cache

from vqa.markup import Markup, escape, html
from vqa.text import Language, table

TOPIC, WORDS = "glossary.", "_words"


def explained(text: str, language: Language) -> Markup:
    """Returns a text, escaped unless it is HTML, in which each term's first appearance can be asked what it means."""
    found = _spellings(language)
    pattern = _pattern(language)
    seen: set[str] = set()

    def entry(match: re.Match[str]) -> str:
        key = found.get(match[0], "")
        if not key or key in seen:
            return match[0]
        seen.add(key)
        return term(match[0], key, language)

    return Markup(pattern.sub(entry, str(escape(text))))


def term(word: str, key: str, language: Language) -> Markup:
    """Returns a word with the entry of the glossary that explains it."""
    return html(
        '<dfn class="vl-term" tabindex="0">{}<span role="tooltip">{}</span></dfn>', word, table(language)[TOPIC + key]
    )


@cache
def _spellings(language: Language) -> dict[str, str]:
    """Returns each spelling with the entry it belongs to."""
    return {
        str(escape(spelling)): key.removeprefix(TOPIC).removesuffix(WORDS)
        for key, text in table(language).items()
        if key.startswith(TOPIC) and key.endswith(WORDS)
        for spelling in text.split("|")
    }


@cache
def _pattern(language: Language) -> re.Pattern[str]:
    """Returns what matches a whole tag, to be left as it is, or a spelling; the longest first."""
    words = sorted(_spellings(language), key=len, reverse=True)
    edges = "(?<![A-Za-z_-])(?:{})(?![A-Za-z_-])"
    return re.compile("<[^>]*>|" + edges.format("|".join(map(re.escape, words))))
