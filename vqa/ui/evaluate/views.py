"""What the Evaluate tab shows, as HTML: the first rows as they are sent, the figures, and the list of rows. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from vqa.answers import Json
from vqa.evaluate.reporting.browsing import Entry
from vqa.evaluate.reporting.saying import percent, sentences
from vqa.lab.run.live import RunStatus
from vqa.markup import Markup, html, joined
from vqa.text import Language, t
from vqa.ui.lab import lab_views
from vqa.ui.widgets import parts

ROW_SCRIPT = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-open]');
  if (button) trigger('click', {row: Number(button.dataset.row), where: button.dataset.open});
});
"""
"""Tells the server which row's button was pressed; bound to the root, so that it survives every redraw."""
TONES: Mapping[str, parts.Tone] = {
    "right": "good",
    "part": "warn",
    "wrong": "bad",
    "unparsed": "warn",
    "failed": "bad",
    "skipped": "warn",
    "open": "plain",
}
KINDS_SHOWN = 40


def shown(drawn: Markup) -> Markup:
    """Returns what stands in a panel of the tab; a panel without it is taken for empty, and takes no room."""
    return html('<div class="ve">{}</div>', drawn) if drawn else Markup()


def picture(png: bytes, words: str = "") -> Markup:
    """Returns a small picture as an element."""
    return html('<img alt="{}" src="data:image/png;base64,{}">', words, base64.b64encode(png).decode())


def preview(
    facts: Sequence[str], rows: Sequence[tuple[Sequence[bytes], str, Sequence[str], str]], lang: Language
) -> Markup:
    """Returns how a data set is read, and rows of (pictures, text as it is sent, expected answers, problem)."""
    told = joined(html("<p>{}</p>", fact) for fact in facts)
    drawn = []
    for place, (pictures, text, wanted, problem) in enumerate(rows, 1):
        pics = joined(map(picture, pictures))
        body = html("<p>{}</p>", text)
        if wanted:
            answers = " | ".join(dict.fromkeys(wanted))[:300]
            body += html('<p class="meta">{}</p>', t("evaluate.expected", lang, answers=answers))
        if problem:
            skipped = parts.badge(t("evaluate.state_skipped", lang), "warn")
            body += html('<p class="meta">{} {}</p>', skipped, problem)
        drawn.append(_row(place, pics, body))
    return shown(
        html(
            '<div class="ve-facts">{}</div><h3>{}</h3><div class="ve-rows">{}</div>',
            told, t("evaluate.first_rows", lang), joined(drawn),
        )
    )  # fmt: skip


def _row(place: int, pictures: Markup, body: Markup) -> Markup:
    return html(
        '<div class="ve-row" data-row="{}"><div class="pics">{}</div><div>{}</div></div>', place, pictures, body
    )


def progress(status: RunStatus, already: int, lang: Language) -> Markup:
    """Returns how far a run is, with rows a second and the time left."""
    rate = max(status.done - already, 0) / status.seconds if status.seconds else 0.0
    words = t("evaluate.done", lang, done=status.done, total=status.total or "?", rate=f"{rate:.1f}")
    if status.seconds_left is not None:
        words += " · " + t("lab.left", lang, seconds=f"{status.seconds_left:.0f}")
    if step := status.notes.get("step"):
        words = t(f"lab.{step}", lang, **status.notes) + " · " + words
    share = status.done / status.total if status.total else None
    told = lab_views.tell_me(lang) if status.seconds > lab_views.LONG_SECONDS else Markup()
    return shown(html('<div data-run="{}">{}{}</div>', status.run_id, parts.progress(share, words), told))


def result(found: Mapping[str, Json], run_id: str, lang: Language) -> Markup:
    """Returns the accuracy with its interval, the sentences about it, and a bar for each type of question."""
    lines = sentences(found, run_id, lang)
    kinds = found["by_kind"]
    if len(kinds) > 1:  # drawn below
        lines = [line for line in lines if not line.startswith("  ") or not any(f"  {kind}" in line for kind in kinds)]
    big = Markup()
    if found["accuracy"] is not None:
        interval = found["interval"]
        between = f"{percent(interval['low'])} – {percent(interval['high'])}"
        big = html('<p class="ve-big">{} <small>{}</small></p>', percent(found["accuracy"]), between)
    told = joined(html("<p>{}</p>", line) for line in lines)
    bars = Markup()
    if len(kinds) > 1:
        rows = joined(_bar(kind, each) for kind, each in list(kinds.items())[:KINDS_SHOWN])
        bars = html('<h3>{}</h3><div class="ve-kinds">{}</div>', t("evaluate.by_type", lang), rows)
    return shown(html('<div data-run="{}">{}<div class="ve-facts">{}</div>{}</div>', run_id, big, told, bars))


def comparison(lines: Sequence[str], lang: Language) -> Markup:
    """Returns a comparison with another run: the verdict and what it rests on, types and rows folded away."""
    (first, *rest), single = [line for line in lines if line[:1] != " "], [line for line in lines if line[:1] == " "]
    told = joined(html("<p>{}</p>", line) for line in rest)
    folded = Markup()
    if single:
        inside = joined(html("<p>{}</p>", line) for line in single)
        folded = html("<details><summary>{}</summary>{}</details>", t("evaluate.tab_by_row", lang), inside)
    return shown(html('<div class="ve-facts"><p><strong>{}</strong></p>{}{}</div>', first, told, folded))


def _bar(kind: str, each: Mapping[str, Json]) -> Markup:
    low, high = 100 * each["interval"]["low"], 100 * each["interval"]["high"]
    width = 100 * each["accuracy"]
    return html(
        '<span class="k">{}</span><span class="ve-track"><i style="width:{:.1f}%"></i>'
        '<b style="left:{:.1f}%;width:{:.1f}%"></b></span><span class="ve-num">{} · {}</span>',
        kind, width, low, max(high - low, 0.5), percent(each["accuracy"]), each["rows"],
    )  # fmt: skip


def listing(rows: Sequence[Entry], pictures: Mapping[int, Sequence[bytes]], lang: Language) -> Markup:
    """Returns a page of rows with their pictures, expected and given answers."""
    if not rows:
        return html("<p>{}</p>", t("evaluate.nothing_here", lang))
    return html('<div class="ve-rows">{}</div>', joined(_entry(row, pictures.get(row.place, ()), lang) for row in rows))


def _entry(row: Entry, pictures: Sequence[bytes], lang: Language) -> Markup:
    meta: list[str] = [f"#{row.place + 1}", parts.badge(t(f"evaluate.state_{row.state}", lang), TONES[row.state])]
    if row.flipped:
        meta.append(parts.badge(t("evaluate.state_flipped", lang), "warn"))
    if row.kind:
        meta.append(row.kind)
    if row.margin is not None:
        meta.append(t("evaluate.margin", lang, margin=f"{row.margin:.3f}"))
    if row.seconds:
        meta.append(t("evaluate.seconds", lang, seconds=f"{row.seconds:.2f}"))
    body = html('<p class="meta">{}</p><p>{}</p>', Markup(" ").join(meta), row.question)
    if row.texts:
        body += html('<p class="ve-given">{}</p>', " ‖ ".join(row.texts))
    if row.wanted:
        body += html('<p class="meta">{}</p>', t("evaluate.expected", lang, answers=" | ".join(row.wanted)))
    if row.texts:
        buttons = (
            html(
                '<button type="button" class="ve-again" data-open="{}" data-row="{}">{}</button>',
                where,
                row.place,
                t(f"evaluate.open_{where}", lang),
            )
            for where in ("ask", "repeat")
        )
        body += html("<p>{}</p>", Markup(" ").join(buttons))
    if row.reason:
        body += html("<p>{}</p>", row.reason_zh if lang == "zh" else row.reason)
    return _row(row.place, joined(map(picture, pictures)), body)
