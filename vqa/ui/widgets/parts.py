"""Small pieces of HTML that every tab uses, each safe with any text in it; styled in assets/page.css."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from vqa.errors import VQAError
from vqa.markup import Markup, html, joined
from vqa.text import Language

Tone = Literal["plain", "good", "warn", "bad", "busy"]


def card(title: str, body: str = "", *, tone: Tone = "plain") -> Markup:
    """Returns a card; a `body` that is no `Markup` is shown as text."""
    role = html(' role="alert"') if tone == "bad" else ""
    return html('<section class="vqa-card {}"{}><h3>{}</h3>{}</section>', tone, role, title, body)


def error_card(problem: VQAError, lang: Language) -> Markup:
    """Returns what happened and what to do about it as a card."""
    return card(problem.message(lang), html("<p>{}</p>", problem.hint(lang)), tone="bad")


def empty(title: str, hint: str) -> Markup:
    """Returns what stands where nothing is yet: what would be here and how to get it."""
    return html('<div class="vqa-empty"><strong>{}</strong><p>{}</p></div>', title, hint)


def badge(text: str, tone: Tone = "plain") -> Markup:
    """Returns a short word in a pill."""
    return html('<span class="vqa-badge {}">{}</span>', tone, text)


def copy_button(text: str, label: str) -> Markup:
    """Returns a button that puts a text on the clipboard; assets/page.js does it."""
    return html('<button type="button" class="vqa-copy" data-vqa="copy" data-text="{}">{}</button>', text, label)


def stats(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Returns names and values side by side, wrapping on narrow screens."""
    cells = joined(html("<div><dt>{}</dt><dd>{}</dd></div>", name, value) for name, value in pairs)
    return html('<dl class="vqa-stats">{}</dl>', cells)


def progress(share: float | None, text: str) -> Markup:
    """Returns a bar with words under it; None where the share is not known."""
    if share is None:
        bar = html('<div class="vqa-bar unknown" role="progressbar" aria-label="{}"><i></i></div>', text)
    else:
        percent = round(100 * min(max(share, 0.0), 1.0), 1)
        bar = html(
            '<div class="vqa-bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{}" '
            'aria-label="{}"><i style="width:{}%"></i></div>',
            percent, text, percent,
        )  # fmt: skip
    return html('{}<p class="vqa-bar-text">{}</p>', bar, text)
