"""No text becomes markup of the page, whatever the browser takes for code; and it reads as it was written."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa.ui.ask.harmless import PLACEHOLDER, restored, safe_markdown

LIVE = re.compile(r"<[A-Za-z/!?|]|!\[")
WORDS = st.sampled_from(
    ["`", "``", "```", "~~~", "$", "$$", "\\(", "\\)", "\\[", "\\]", "\n", "\n\n", "    ", "> ", "- ", "[a]: ", '"',
     "\\", "<b style=x>", "</b>", "<!--", "![x](y)", "text ", "%%%LATEX_BLOCK_0%%%", "&"]
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '<img src=x onerror="alert(1)">',
        "</div><iframe>",
        "![x](http://evil.example/a.png)",
        "`` ` <div style=position:fixed> ` ``",
        "``` <div> ``",
        "$$ ``` $$ <div> ```",
        "[a]:\n```\n<div>\n```",
    ],
)
def test_html_and_pictures_are_disarmed(text: str) -> None:
    assert not LIVE.search(safe_markdown(text))


@given(st.lists(WORDS, max_size=30).map("".join))
def test_no_mixture_of_marks_leaves_the_beginning_of_a_tag_and_the_text_comes_back(text: str) -> None:
    safe = safe_markdown(text)
    assert not LIVE.search(safe)
    assert PLACEHOLDER not in safe
    assert restored(safe) == text


def test_what_is_no_markup_stays_as_it_is() -> None:
    text = "`a < b` and $x < y$ and ```\n1 <2\n``` and 1 < 2 **bold** [link](https://example.org)"
    assert safe_markdown(text) == text


def test_code_shows_its_tags_and_not_an_escape() -> None:
    assert safe_markdown("Use `<b>`:\n\n```html\n<i>\n```\n").count("&lt;") == 0


def test_a_long_row_of_backticks_takes_no_time() -> None:
    assert safe_markdown(("`" * 300 + "a") * 100 + "`" * 20_000)
