"""What holds where, as lines for the terminal and as a table for the page."""

from __future__ import annotations

from collections.abc import Sequence

from vqa.lab.certificate.where import Held, Reach
from vqa.markup import html, joined
from vqa.text import Language, t

HEADS = tuple(f"where_{name}" for name in ("hardware", "version", "model", "profile", "bitwise", "tokens", "run"))


def where_lines(rows: Sequence[Held], language: Language = "en") -> list[str]:
    """Returns one line for each row; a sentence where there is none."""
    if not rows:
        return [t("lab.where_none", language)]
    return [
        t(
            "lab.where_line",
            language,
            hardware=each.hardware,
            version=each.version or "–",
            model=each.model or "–",
            profile=each.profile,
            bitwise=reach_words(each.bitwise, language),
            tokens=reach_words(each.tokens, language),
            kind=t(f"history.kind_{each.kind}", language),
            run=each.run,
        )
        for each in rows
    ]


def where_table(rows: Sequence[Held], language: Language) -> str:
    """Returns the rows as a table whose last column leads to the run; a sentence where there is none."""
    if not rows:
        return html('<p class="vl-soft">{}</p>', t("lab.where_none", language))
    head = joined(html('<th scope="col">{}</th>', t(f"lab.{name}", language)) for name in HEADS)
    body = joined(
        html(
            '<tr><td>{}</td><td>{}</td><td>{}</td><th scope="row">{}</th><td>{}</td><td>{}</td>'
            '<td><a href="?tab=history&amp;run={}">{}</a></td></tr>',
            each.hardware,
            each.version or "–",
            each.model or "–",
            each.profile,
            reach_words(each.bitwise, language),
            reach_words(each.tokens, language),
            each.run,
            t(f"history.kind_{each.kind}", language),
        )
        for each in rows
    )
    return html(
        '<div class="vl-scroll" tabindex="0"><table class="vl-where"><thead><tr>{}</tr></thead>'
        '<tbody>{}</tbody></table></div><p class="vl-soft">{}</p>',
        head,
        body,
        t("lab.where_about", language),
    )


def reach_words(reach: Reach, language: Language) -> str:
    """Returns up to how many requests a level held, and at how many it did not; a dash where neither was seen."""
    up_to, fails = reach
    if up_to is None and fails is None:
        return "–"
    if up_to is None:
        return t("lab.where_fails", language, fails=fails)
    key = "where_up_to" if fails is None else "where_both"
    return t(f"lab.{key}", language, up_to=up_to, fails=fails)
