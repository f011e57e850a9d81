"""What the Evaluate tab shows, as HTML: the first rows as they are sent, the figures, and the list of rows. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from vqa.answers import Json
from vqa.evaluate.reporting.browsing import Entry
from vqa.evaluate.reporting.saying import percent, sentences
from vqa.lab.run.live import RunStatus
from vqa.text import Language, t
from vqa.ui.widgets import parts

STYLE = """<style>
.ve-rows{display:grid;gap:.6rem;margin:.4rem 0}
.ve-row{display:grid;grid-template-columns:auto minmax(0,1fr);gap:.8rem;padding:.55rem .7rem;border-radius:10px;
border:1px solid var(--border-color-primary);background:var(--background-fill-primary)}
.ve-row .pics{display:flex;flex-wrap:wrap;gap:.3rem;max-width:11rem}
.ve-row img{width:84px;height:84px;object-fit:contain;border-radius:6px;background:var(--background-fill-secondary)}
.ve-row p{margin:.1rem 0;overflow-wrap:anywhere;white-space:pre-wrap}
.ve-row .meta{display:flex;flex-wrap:wrap;gap:.4rem;align-items:center;font-size:.82rem;
color:var(--body-text-color-subdued)}
.ve-again{font-size:.82rem;padding:.15rem .6rem;border:1px solid var(--border-color-primary);border-radius:1rem;
cursor:pointer}
.ve-given{font-weight:600}
.ve-facts p{margin:.15rem 0;overflow-wrap:anywhere}
.ve-big{font-size:2rem;font-weight:650;font-variant-numeric:tabular-nums;margin:.2rem 0}
.ve-big small{font-size:.95rem;font-weight:400;color:var(--body-text-color-subdued)}
.ve-kinds{display:grid;grid-template-columns:minmax(5rem,auto) minmax(6rem,1fr) auto;gap:.3rem .7rem;align-items:center;
margin:.4rem 0}
.ve-kinds .k{overflow-wrap:anywhere}
.ve-track{position:relative;height:.85rem;border-radius:.5rem;background:var(--background-fill-secondary)}
.ve-track i{position:absolute;inset:0 auto 0 0;border-radius:.5rem;background:var(--color-accent)}
.ve-track b{position:absolute;top:.3rem;height:.25rem;background:var(--body-text-color);opacity:.75}
.ve-num{font-variant-numeric:tabular-nums;font-size:.9rem}
</style>"""
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


def shown(html: str) -> str:
    """Returns what stands in a panel of the tab; a panel without it is taken for empty, and takes no room."""
    return f'<div class="ve">{html}</div>' if html else ""


def picture(png: bytes, words: str = "") -> str:
    """Returns a small picture as an element."""
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def preview(
    facts: Sequence[str], rows: Sequence[tuple[Sequence[bytes], str, Sequence[str], str]], lang: Language
) -> str:
    """Returns how a data set is read, and rows of (pictures, text as it is sent, expected answers, problem)."""
    told = "".join(f"<p>{escape(fact)}</p>" for fact in facts)
    drawn = []
    for place, (pictures, text, wanted, problem) in enumerate(rows, 1):
        pics = "".join(picture(png) for png in pictures)
        body = f"<p>{escape(text)}</p>"
        if wanted:
            answers = " | ".join(dict.fromkeys(wanted))[:300]
            body += f'<p class="meta">{escape(t("evaluate.expected", lang, answers=answers))}</p>'
        if problem:
            body += f'<p class="meta">{parts.badge(t("evaluate.state_skipped", lang), "warn")} {escape(problem)}</p>'
        drawn.append(f'<div class="ve-row" data-row="{place}"><div class="pics">{pics}</div><div>{body}</div></div>')
    title = escape(t("evaluate.first_rows", lang))
    return shown(f'<div class="ve-facts">{told}</div><h3>{title}</h3><div class="ve-rows">{"".join(drawn)}</div>')


def progress(status: RunStatus, already: int, lang: Language) -> str:
    """Returns how far a run is, with rows a second and the time left."""
    rate = max(status.done - already, 0) / status.seconds if status.seconds else 0.0
    words = t("evaluate.done", lang, done=status.done, total=status.total or "?", rate=f"{rate:.1f}")
    if status.seconds_left is not None:
        words += " · " + t("lab.left", lang, seconds=f"{status.seconds_left:.0f}")
    if step := status.notes.get("step"):
        words = t(f"lab.{step}", lang, **status.notes) + " · " + words
    share = status.done / status.total if status.total else None
    return shown(f'<div data-run="{escape(status.run_id)}">{parts.progress(share, words)}</div>')


def result(found: Mapping[str, Json], run_id: str, lang: Language) -> str:
    """Returns the accuracy with its interval, the sentences about it, and a bar for each type of question."""
    lines = sentences(found, run_id, lang)
    kinds = found["by_kind"]
    if len(kinds) > 1:  # drawn below
        lines = [line for line in lines if not line.startswith("  ") or not any(f"  {kind}" in line for kind in kinds)]
    big = ""
    if found["accuracy"] is not None:
        interval = found["interval"]
        between = f"{percent(interval['low'])} – {percent(interval['high'])}"
        big = f'<p class="ve-big">{percent(found["accuracy"])} <small>{between}</small></p>'
    told = "".join(f"<p>{escape(line)}</p>" for line in lines)
    bars = ""
    if len(kinds) > 1:
        rows = "".join(_bar(kind, each) for kind, each in list(kinds.items())[:KINDS_SHOWN])
        bars = f'<h3>{escape(t("evaluate.by_type", lang))}</h3><div class="ve-kinds">{rows}</div>'
    return shown(f'<div data-run="{escape(run_id)}">{big}<div class="ve-facts">{told}</div>{bars}</div>')


def _bar(kind: str, each: Mapping[str, Json]) -> str:
    low, high = 100 * each["interval"]["low"], 100 * each["interval"]["high"]
    width = 100 * each["accuracy"]
    return (
        f'<span class="k">{escape(kind)}</span><span class="ve-track"><i style="width:{width:.1f}%"></i>'
        f'<b style="left:{low:.1f}%;width:{max(high - low, 0.5):.1f}%"></b></span>'
        f'<span class="ve-num">{percent(each["accuracy"])} · {each["rows"]}</span>'
    )


def listing(rows: Sequence[Entry], pictures: Mapping[int, Sequence[bytes]], lang: Language) -> str:
    """Returns a page of rows with their pictures, expected and given answers."""
    if not rows:
        return f"<p>{escape(t('evaluate.nothing_here', lang))}</p>"
    return f'<div class="ve-rows">{"".join(_entry(row, pictures.get(row.place, ()), lang) for row in rows)}</div>'


def _entry(row: Entry, pictures: Sequence[bytes], lang: Language) -> str:
    pics = "".join(picture(png) for png in pictures)
    meta = [f"#{row.place + 1}", parts.badge(t(f"evaluate.state_{row.state}", lang), TONES[row.state])]
    if row.flipped:
        meta.append(parts.badge(t("evaluate.state_flipped", lang), "warn"))
    if row.kind:
        meta.append(escape(row.kind))
    if row.margin is not None:
        meta.append(escape(t("evaluate.margin", lang, margin=f"{row.margin:.3f}")))
    if row.seconds:
        meta.append(escape(t("evaluate.seconds", lang, seconds=f"{row.seconds:.2f}")))
    body = f'<p class="meta">{" ".join(meta)}</p><p>{escape(row.question)}</p>'
    if row.texts:
        body += f'<p class="ve-given">{escape(" ‖ ".join(row.texts))}</p>'
    if row.wanted:
        body += f'<p class="meta">{escape(t("evaluate.expected", lang, answers=" | ".join(row.wanted)))}</p>'
    if row.texts:
        buttons = (
            f'<button type="button" class="ve-again" data-open="{where}" data-row="{row.place}">'
            f"{escape(t(f'evaluate.open_{where}', lang))}</button>"
            for where in ("ask", "repeat")
        )
        body += f"<p>{' '.join(buttons)}</p>"
    if row.reason:
        body += f"<p>{escape(row.reason_zh if lang == 'zh' else row.reason)}</p>"
    return f'<div class="ve-row" data-row="{row.place}"><div class="pics">{pics}</div><div>{body}</div></div>'
