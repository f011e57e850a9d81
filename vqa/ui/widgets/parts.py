"""Small pieces of HTML that every tab uses, each safe with any text in it; styled in assets/page.css."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Literal

from vqa.errors import VQAError
from vqa.text import Language

Tone = Literal["plain", "good", "warn", "bad", "busy"]


def card(title: str, body: str = "", *, tone: Tone = "plain") -> str:
    """Returns a card; `title` is text, `body` is HTML."""
    role = ' role="alert"' if tone == "bad" else ""
    return f'<section class="vqa-card {tone}"{role}><h3>{escape(title)}</h3>{body}</section>'


def error_card(problem: VQAError, lang: Language) -> str:
    """Returns what happened and what to do about it as a card."""
    return card(problem.message(lang), f"<p>{escape(problem.hint(lang))}</p>", tone="bad")


def empty(title: str, hint: str) -> str:
    """Returns what stands where nothing is yet: what would be here and how to get it."""
    return f'<div class="vqa-empty"><strong>{escape(title)}</strong><p>{escape(hint)}</p></div>'


def badge(text: str, tone: Tone = "plain") -> str:
    """Returns a short word in a pill."""
    return f'<span class="vqa-badge {tone}">{escape(text)}</span>'


def stats(pairs: Iterable[tuple[str, str]]) -> str:
    """Returns names and values side by side, wrapping on narrow screens."""
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="vqa-stats">{cells}</dl>'


def progress(share: float | None, text: str) -> str:
    """Returns a bar with words under it; None where the share is not known."""
    if share is None:
        bar = f'<div class="vqa-bar unknown" role="progressbar" aria-label="{escape(text)}"><i></i></div>'
    else:
        percent = round(100 * min(max(share, 0.0), 1.0), 1)
        values = f'aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}" aria-label="{escape(text)}"'
        bar = f'<div class="vqa-bar" role="progressbar" {values}><i style="width:{percent}%"></i></div>'
    return f"{bar}<p class='vqa-bar-text'>{escape(text)}</p>"
