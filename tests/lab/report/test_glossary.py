"""Terms of art carry what they mean, in reach of a mouse, a thumb and a keyboard; what models wrote stays text."""

from __future__ import annotations

import re

import pytest

from vqa.lab.report.glossary import explained
from vqa.markup import html
from vqa.text import LANGUAGES, Language, table


@pytest.mark.parametrize(
    ("language", "text", "terms"),
    [
        ("en", "The margin at token 3 is 0.1 nat; the next margin is larger.", ["margin", "token", "nat"]),
        ("en", "A marginal tokenizer, at_token and max_tokens are other words.", []),
        ("zh", "第 3 个词元处的差距为 0.1 nat，漂移为零。", ["词元", "差距", "nat", "漂移"]),
    ],
)
def test_each_term_is_explained_once(language: Language, text: str, terms: list[str]) -> None:
    shown = explained(text, language)
    assert (
        re.findall(r'<dfn class="vl-term" tabindex="0">([^<]+)<span role="tooltip">[^<]{5,}</span></dfn>', shown)
        == terms
    )
    assert re.sub(r'<span role="tooltip">.*?</span>|<[^>]*>', "", shown) == text


def test_tags_stay_what_they_are_and_text_is_escaped() -> None:
    assert explained(html('<i title="token">{}</i>', "<b>"), "en") == '<i title="token">&lt;b&gt;</i>'
    assert explained("<token>", "en").startswith("&lt;<dfn")


def test_every_entry_has_its_words_in_both_languages() -> None:
    for language in LANGUAGES:
        entries = {key for key in table(language) if key.startswith("glossary.")}
        meanings = {key for key in entries if not key.endswith("_words")}
        assert len(meanings) >= 15
        assert {f"{key}_words" for key in meanings} == entries - meanings
        words = [word for key in entries - meanings for word in table(language)[key].split("|")]
        assert len(words) == len(set(words))
