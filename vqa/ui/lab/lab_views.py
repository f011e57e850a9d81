"""What the lab's tabs show of a run, as HTML built from the fragments that the report uses too."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gradio as gr

from vqa.errors import VQAError
from vqa.lab.diagnosis.invalid import invalid_sentence
from vqa.lab.report import conclusions, fragments, notes
from vqa.lab.run import recorded
from vqa.lab.run.failures import error_text
from vqa.lab.run.live import RunStatus
from vqa.lab.run.public_header import public_text
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summary import Group, RunSummary, Summary
from vqa.markup import Markup, html, joined
from vqa.media.notes import note_text
from vqa.store import Run, Store
from vqa.text import Language, t, table
from vqa.ui.widgets import parts

GROUP_SCRIPT = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-group]');
  if (button) trigger('click', {group: Number(button.dataset.group)});
});
"""
"""Tells the server which group's button was pressed; bound to the root, so that it survives every redraw."""
LONG_SECONDS = 10.0
"""From when on somebody may rather look elsewhere than at a run."""


def address(tab: str) -> str:
    """Returns the script that puts the run just started on `tab` into the address, for a reload or to share.

    A busy page draws the new run a moment after the script is called; until then nothing or the former run is there.
    """
    return f"""() => {{ let tries = 60; const look = () => {{
const run = document.querySelector('#{tab}-progress [data-run]')?.dataset.run; const here = new URL(location.href);
if (!run || run === here.searchParams.get('run')) {{ if (tries--) setTimeout(look, 50); return; }}
here.searchParams.set('tab', '{tab}'); here.searchParams.set('run', run); here.searchParams.delete('from');
history.replaceState(history.state, '', here); }}; look(); }}"""


def panel(elem_id: str, value: str = "", **options: Any) -> gr.HTML:
    """Renders an empty place for fragments; Gradio's own prose styles stay out of it."""
    return gr.HTML(
        value, elem_id=elem_id, elem_classes="vl-panel-html", padding=False, apply_default_css=False, **options
    )


def hint(title: str, words: str) -> str:
    """Returns what stands in a panel where nothing is yet."""
    return parts.empty(title, words)


def duration(seconds: float, lang: Language) -> str:
    """Returns seconds as people say them: '8 s', '3 min 20 s', '2 h 5 min'."""
    whole = round(seconds)
    if whole < 60:
        return t("repeat.seconds", lang, s=whole if seconds >= 10 else f"{seconds:.1f}")
    if whole < 3600:
        return t("repeat.minutes", lang, m=whole // 60, s=whole % 60)
    return t("repeat.hours", lang, h=whole // 3600, m=whole % 3600 // 60)


@dataclass(frozen=True)
class Picture:
    """A picture of a run: a small copy (PNG), and what was done to the given one before it was sent, as text keys."""

    png: bytes
    notes: tuple[str, ...] = ()
    sizes: str = ""
    """The given and the sent pixels, where they differ."""


def pictures_of(store: Store, run: Run) -> tuple[Picture, ...]:
    """Returns a run's pictures; those that are gone are left out."""
    found = []
    for digest in (run.plan.get("spec") or {}).get("images") or ():
        with suppress(VQAError):
            image = store.image(digest)
            given, sent = (image.given_width, image.given_height), (image.width, image.height)
            sizes = f"{given[0]}×{given[1]} → {sent[0]}×{sent[1]}" if all(given) and given != sent else ""
            found.append(Picture(image.thumbnail(160), image.notes, sizes))
    return tuple(found)


def asked(run: Run, shown: Sequence[Picture], lang: Language) -> str:
    """Returns what was asked and how: pictures, the questions, and the settings that are not the usual."""
    spec = run.plan.get("spec") or {}
    sampling = spec.get("sampling") or {}
    pictures = joined(
        html('<img alt="" src="data:image/png;base64,{}">', base64.b64encode(each.png).decode()) for each in shown[:4]
    )
    questions = spec.get("questions") or []
    words = questions[0] if len(questions) == 1 else "\n".join(f"{n}. {text}" for n, text in enumerate(questions, 1))
    model, name = str(run.header.get("model") or ""), recorded.named(run, lang)
    facts = [name, model, f"temperature {sampling.get('temperature', 0):g}"]
    if run.kind == "repeat":
        facts.append(f"N {spec.get('n')} · c {spec.get('concurrency')}")
        if spec.get("cache", "as_is") != "as_is":
            facts.append(f"{t('repeat.cache', lang)}: {t('repeat.cache_' + str(spec['cache']), lang)}")
        if spec.get("seed_policy") == "varied":
            facts.append(f"{t('repeat.seeds', lang)}: {t('repeat.seeds_varied', lang)}")
    line = " · ".join(public_text(fact) for fact in facts if fact)
    body = html('<p class="vl-question">{}</p><p class="vl-soft">{}</p>', words, line)
    done = [" ".join(filter(None, (note_text(note, lang), each.sizes))) for each in shown for note in each.notes]
    chips = joined(html('<span class="vl-chip vl-warn">{}</span> ', note) for note in dict.fromkeys(done))
    body += html("<p>{}</p>", chips) if chips else ""
    if label := recorded.label(run, lang):
        body += html('<p><span class="vl-chip vl-warn">{}</span></p>', label)
    return fragments.wrap(html('<div class="vl-asked">{}<div>{}</div></div>', pictures, body))


def progress(status: RunStatus, lang: Language) -> str:
    """Returns how far a run is, the time left while it runs, and how it ended."""
    return html('<div class="vl" data-run="{}">{}</div>', status.run_id, _progress(status, lang))


def _progress(status: RunStatus, lang: Language) -> str:
    if status.running:
        if not status.total:
            return parts.progress(None, step(status, lang) or t("repeat.preparing", lang))
        words = t("repeat.progress", lang, done=status.done, total=status.total, time=duration(status.seconds, lang))
        if status.seconds_left is not None:
            words += " · " + t("repeat.left", lang, time=duration(status.seconds_left, lang))
        if status.failed:
            words += " · " + t("repeat.failed", lang, n=status.failed)
        doing = step(status, lang)
        bar = parts.progress(status.done / status.total, f"{doing} · {words}" if doing else words)
        return bar + tell_me(lang) if status.seconds > LONG_SECONDS else bar
    words = t(f"repeat.ended_{status.status}", lang, done=status.done, total=max(status.total, status.done))
    tone: parts.Tone = {"finished": "good", "failed": "bad"}.get(status.status, "warn")  # type: ignore[assignment]
    error = error_text(status.error, status.result, lang)
    detail = f" {error}" if error else ""
    took = f" · {duration(status.seconds, lang)}" if status.seconds else ""
    return html('<p class="vl-ended">{}{}{}</p>', parts.badge(words, tone), took, detail)


def tell_me(lang: Language) -> Markup:
    """Returns the button by which somebody is told of the end of a run elsewhere; assets/keys.js does it."""
    return html('<button type="button" class="vqa-tell" data-vqa="tell">{}</button>', t("repeat.tell_me", lang))


def step(status: RunStatus, lang: Language) -> str:
    """Returns what a run is doing now: a restart of the engine, or the arm that is being asked."""
    named = str(status.notes.get("step") or "")
    if named:
        key = named if named.startswith("lab.") else f"lab.{named}"
        values = {name: value for name, value in status.notes.items() if name != "step"}
        return t(key, lang, **values) if key in table(lang) else named
    if status.kind != "repeat" and status.arm:
        return conclusions.arm_title(status.arm.rpartition("/")[2], lang)
    return ""


def verdict(run: RunSummary, question: int, status: RunStatus, planned: int, lang: Language) -> str:
    """Returns the verdict, the levels and the strip of one question; `planned` requests are its whole."""
    summary = chosen(run, question)
    if summary is None:
        return ""
    titled = conclusions.titled(lang)
    invalid = invalid_sentence(status.result, lang)
    said = conclusions.sentences(summary, lang, invalid=invalid, running=status.running)
    top = "" if status.running and summary.ok < 2 else said
    overview = questions_table(run, lang) if len(run.questions) > 1 else ""
    strips = fragments.strips(summary, max(planned, len(summary.seconds)), lang, running=status.running)
    levels = fragments.levels(summary, lang) + fragments.unseen(summary, lang)
    return fragments.wrap(
        overview,
        top,
        titled("strip", strips, first_note(summary, status, lang), fragments.cache_note(summary, lang)),
        titled("levels", levels, notes.noted(status.result, lang)),
        conclusions.failures(summary, lang),
    )


def chosen(run: RunSummary, question: int) -> Summary | None:
    """Returns the summary of a question, or None before its first sample."""
    return run.questions[question] if 0 <= question < len(run.questions) and run.questions[question].n else None


def first_note(summary: Summary, status: RunStatus, lang: Language) -> str:
    """Returns the pointer to Diagnose when the first requests alone differ, when answers split otherwise, or when
    several servers answer, each of which is asked by itself there.
    """
    several = (status.result or {}).get("several")
    if several:
        words = t("repeat.several", lang)
    elif summary.leading:
        key = "repeat.first_differs" if summary.leading == 1 else "repeat.leading_differ"
        words = t(key, lang, k=summary.leading, rest=summary.ok - summary.leading)
    elif len(summary.groups) > 1:
        words = t("repeat.splits", lang)
    else:
        return ""
    link = html(
        '<a href="?tab=diagnose&amp;from={}">{}</a>',
        status.run_id,
        t(f"repeat.to_{'each' if several else 'diagnose'}", lang),
    )
    return html('<p class="vl-note-box">{} {}</p>', words, link)


def questions_table(run: RunSummary, lang: Language) -> str:
    """Returns one row for each question: answers, variants and the strongest level; and the agreement over all."""
    head = joined(
        html('<th scope="col">{}</th>', t(f"report.column_{name}", lang))
        for name in ("question", "answers", "distinct", "holds")
    )
    rows = joined(
        html(
            '<tr><td>{}</td><td class="vl-num">{}/{}</td><td class="vl-num">{}</td><td>{}</td></tr>',
            place + 1,
            each.ok,
            each.n,
            len(each.groups),
            conclusions.level_chip(each.level, lang) if each.compared else "–",
        )
        for place, each in enumerate(run.questions)
    )
    agreed = run.tar(Level.TEXT)
    note = "" if agreed is None else t("repeat.tar", lang, share=f"{100 * agreed:.3g}")
    table_html = html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", head, rows)
    return html('<div class="vl-scroll" tabindex="0">{}</div><p class="vl-soft">{}</p>', table_html, note)


def groups(summary: Summary | None, pressed: Sequence[int], lang: Language) -> str:
    """Returns the distinct answers as toggle buttons."""
    if summary is None:
        return ""
    hint = t("repeat.pick_two", lang) if len(summary.groups) > 1 else ""
    small = html('<p class="vl-soft">{}</p>', hint) if hint else ""
    cards = fragments.groups(summary, lang, pressed=pressed, buttons=len(summary.groups) > 1)
    return fragments.wrap(conclusions.titled(lang)("groups", small, cards))


def pair(summary: Summary | None, pressed: Sequence[int]) -> tuple[tuple[int, Group], tuple[int, Group]] | None:
    """Returns the two groups to set side by side with their places: the chosen, else the two most frequent."""
    if summary is None or len(summary.groups) < 2:
        return None
    placed = list(enumerate(summary.groups))
    picked = [each for each in placed if each[1].key in pressed][:2]
    picked += [each for each in placed if each not in picked][: 2 - len(picked)]
    first, second = sorted(picked, key=lambda each: each[0])
    return first, second


def plots(summary: Summary | None, lang: Language) -> str:
    """Returns the latency and margin plots."""
    if summary is None:
        return ""
    titled = conclusions.titled(lang)
    return fragments.wrap(
        titled("latency", fragments.latency(summary, lang)), titled("margins", fragments.margins(summary, lang))
    )
