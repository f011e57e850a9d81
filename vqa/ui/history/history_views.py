"""What the History tab shows: the list of runs, one run's essence, and two runs compared. HTML from the fragments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vqa.answers import Answer, Json
from vqa.evaluate.reporting.saying import sentences
from vqa.lab.diagnosis.invalid import invalid_sentence
from vqa.lab.diagnosis.verdict import manager_sentence
from vqa.lab.report import conclusions, fragments, outcomes
from vqa.lab.report.reasons import likely_reasons
from vqa.lab.report.reproduce import case_texts
from vqa.lab.run import public_header, recorded
from vqa.lab.run.failures import error_text
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summary import RunSummary, Summary
from vqa.markup import html, joined
from vqa.store import Run
from vqa.text import Language, t

ROW_SCRIPT = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-run]');
  if (!button) return;
  document.querySelector('#history-detail')?.classList.add('open');
  trigger('click', {run: button.dataset.run});
});
"""
"""Tells the server which run was chosen, and opens the sheet that it is shown on where the screen is narrow."""
CLOSE_SCRIPT = """
element.addEventListener('click', (event) => {
  if (event.target.closest('button')) document.querySelector('#history-detail')?.classList.remove('open');
});
"""
FEW = 6
"""Differences in how two runs were made that are shown at once; more are folded."""
STATUS_TONES = {"finished": "vl-good", "failed": "vl-bad", "running": "vl-warn"}


def back(lang: Language) -> str:
    """Returns the button that leads from a run's sheet back to the list."""
    return html('<button type="button" class="vqa-copy">← {}</button>', t("history.back", lang))


def listing(runs: Sequence[Run], chosen: str | None, small: Mapping[str, str], lang: Language) -> str:
    """Returns the runs as toggle buttons, newest first; `small` holds small pictures as data URLs by run."""
    if not runs:
        words = html("<p class='vl-note-box'>{}</p>", t("history.none", lang))
        return fragments.wrap(words)
    rows = joined(_row(run, run.id == chosen, small.get(run.id, ""), lang) for run in runs)
    return fragments.wrap(html('<div class="vl-runs">{}</div>', rows))


def title(run: Run, lang: Language) -> str:
    """Returns a run's name, else its first question, else its id."""
    texts = case_texts(run.plan)
    return recorded.named(run, lang) or (texts[0] if texts else "") or run.id


def _row(run: Run, pressed: bool, small: str, lang: Language) -> str:
    kind = t(f"report.kind_{run.kind}", lang)
    model = public_header.public_text(str(run.header.get("model") or ""))
    when = run.created_at.strftime("%Y-%m-%d %H:%M UTC")
    counts = t("report.counts", lang, n=run.samples)
    line = " · ".join(part for part in (kind, model, recorded.label(run, lang) or when, counts, run.id) if part)
    picture = html('<img alt="" src="{}">', small) if small else ""
    return html(
        '<button type="button" class="vl-run" data-run="{}" aria-pressed="{}">{}<b>{}</b>{}<small>{}</small></button>',
        run.id,
        str(pressed).lower(),
        picture,
        title(run, lang)[:160],
        outcome(run, lang),
        line,
    )


def outcome(run: Run, lang: Language) -> str:
    """Returns how a run ended in a pill: the level that holds, the diagnosis, or its status."""
    result = run.result or {}
    found = outcomes.diagnosis_of(run)
    if found is not None:
        hue = conclusions.TONES.get(found.verdict, "vl-warn")
        return html('<span class="vl-chip {}">{}</span>', hue, t(f"diagnose.verdict_{found.verdict}", lang))
    if run.status != "finished":
        hue = STATUS_TONES.get(run.status, "vl-warn")
        return html('<span class="vl-chip {}">{}</span>', hue, t(f"report.status_{run.status}", lang))
    if "dataset" in run.plan and result.get("accuracy") is not None:
        return html('<span class="vl-chip vl-soft">{:.1f}%</span>', 100 * result["accuracy"])
    if invalid_sentence(result, lang) is not None:
        return html('<span class="vl-chip vl-warn">{}</span>', t("report.badge_unknown", lang))
    if "level" in result and result.get("ok", 0) > 1:
        level = Level(result["level"])
        return html('<span class="vl-chip {}">{}</span>', conclusions.hue(level), t(f"report.badge_{level}", lang))
    return html('<span class="vl-chip vl-soft">{}</span>', t("report.status_finished", lang))


def essence(run: Run, arms: Mapping[str, RunSummary], lang: Language) -> str:
    """Returns a chosen run's verdict and what it was made with."""
    top = ""
    concluded = outcomes.of_run(run, lang)
    if "dataset" in run.plan:
        told = sentences(run.result, run.id, lang) if run.result and "scorer" in run.result else []
        top = joined(html("<p>{}</p>", line) for line in told)
    elif concluded:
        top = concluded
    elif (whole := conclusions.main_arm(arms)) is not None:
        shown = whole if len(whole.questions) > 1 else whole.questions[0]
        top = conclusions.sentences(shown, lang, invalid=invalid_sentence(run.result, lang))
    failed = error_text(run.error, run.result, lang)
    error = html('<p class="vl-note-box">{}</p>', failed) if failed else ""
    rows = joined(
        html('<tr><th scope="row">{}</th><td class="vl-mono">{}</td></tr>', name, value)
        for name, value in public_header.rows(run.header)
    )
    head = html(
        "<details><summary>{}</summary><table><tbody>{}</tbody></table></details>", t("report.header", lang), rows
    )
    where = html('<p class="vl-soft">{}</p>', label) if (label := recorded.label(run, lang)) else ""
    return fragments.wrap(html("<section><h3>{}</h3>{}{}{}{}</section>", title(run, lang), where, top, error, head))


def comparison(
    runs: tuple[Run, Run],
    arms: tuple[Mapping[str, RunSummary], Mapping[str, RunSummary]],
    modal: Sequence[tuple[str, Answer | None, Answer | None]],
    lang: Language,
) -> str:
    """Returns two runs side by side: verdicts, figures, what differs in how they were made, and their answers.

    `modal` holds, for each question of both, its text and the most frequent answer in each run.
    """
    titled = conclusions.titled(lang)
    figures = _figures(runs, arms, lang)
    changed = header_differences(runs[0].header, runs[1].header)
    rows = joined(
        html('<tr><th scope="row">{}</th><td class="vl-mono">{}</td><td class="vl-mono">{}</td></tr>', name, one, other)
        for name, one, other in changed
    )
    made = html(
        "<details{}><summary>{}</summary>"
        '<div class="vl-scroll" tabindex="0"><table><tbody>{}</tbody></table></div></details>',
        html(" open") if len(changed) <= FEW else "", t("history.changed", lang, n=len(changed)), rows,
    )  # fmt: skip
    made = made if rows else html("<p class='vl-soft'>{}</p>", t("history.same_header", lang))
    answers = joined(_answers(text, one, other, lang) for text, one, other in modal)
    apart = any(one is not None and other is not None and one.text != other.text for _, one, other in modal)
    reasons = likely_reasons(runs[0].header, runs[1].header, lang) if apart else []
    return fragments.wrap(
        _outcomes(runs, arms, lang),
        titled("modal_answers", answers),
        joined(html('<p class="vl-note-box">{}</p>', reason) for reason in reasons),
        titled("made_differently", made),
        titled("comparison", figures),
    )


def _outcomes(
    runs: tuple[Run, Run], arms: tuple[Mapping[str, RunSummary], Mapping[str, RunSummary]], lang: Language
) -> str:
    """Returns how each of two runs came out, in a pill and a sentence."""
    columns = [_column(run, found, lang) for run, found in zip(runs, arms, strict=True)]
    cards = joined(
        html("<section><b>{}</b> {}<p>{}</p></section>", title(run, lang)[:80], column["level"], column["verdict"])
        for run, column in zip(runs, columns, strict=True)
    )
    return html('<div class="vl-pair">{}</div>', cards)


def _figures(
    runs: tuple[Run, Run], arms: tuple[Mapping[str, RunSummary], Mapping[str, RunSummary]], lang: Language
) -> str:
    head = joined(html('<th scope="col">{}<br><small>{}</small></th>', title(run, lang)[:80], run.id) for run in runs)
    columns = [_column(run, found, lang) for run, found in zip(runs, arms, strict=True)]
    rows = joined(
        html(
            '<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>',
            t(f"history.row_{name}", lang),
            columns[0][name],
            columns[1][name],
        )
        for name in columns[0]
    )
    body = html("<table><thead><tr><th></th>{}</tr></thead><tbody>{}</tbody></table>", head, rows)
    return html('<div class="vl-scroll" tabindex="0">{}</div>', body)


def _column(run: Run, arms: Mapping[str, RunSummary], lang: Language) -> dict[str, str]:
    whole = conclusions.main_arm(arms)
    first: Summary | None = whole.questions[0] if whole and whole.questions else None
    judged = whole if first is None or (whole is not None and len(whole.questions) > 1) else first
    sentence = "–" if judged is None else invalid_sentence(run.result, lang) or manager_sentence(judged, lang)
    return {
        "when": run.created_at.strftime("%Y-%m-%d %H:%M UTC"),
        "verdict": sentence,
        "level": outcome(run, lang),
        "distinct": "–" if whole is None else str(max((len(each.groups) for each in whole.questions), default=0)),
        "first": "–" if first is None else conclusions.number(first.latency.first),
        "median": "–" if first is None else conclusions.number(first.latency.median),
        "throughput": "–" if first is None else conclusions.number(first.latency.throughput),
    }


def header_differences(one: Mapping[str, Json], other: Mapping[str, Json]) -> list[tuple[str, str, str]]:
    """Returns (name, first value, second value) for what differs in how two runs were made; times are left out."""
    first, second = dict(public_header.rows(one)), dict(public_header.rows(other))
    names = [name for name in dict.fromkeys((*first, *second)) if not name.endswith(("_at", "generation", "available"))]
    return [
        (name, first.get(name, "–"), second.get(name, "–")) for name in names if first.get(name) != second.get(name)
    ]


def _answers(text: str, one: Answer | None, other: Answer | None, lang: Language) -> str:
    if one is None or other is None:
        return ""
    same = one.text == other.text
    words = t("history.same_answer" if same else "history.other_answer", lang)
    chip = html('<span class="vl-chip {}">{}</span>', "vl-good" if same else "vl-bad", words)
    body = html('<p class="vl-note-box">{}</p>', one.text) if same else fragments.diff(one, other, (0, 1), lang)
    return html("<h4>{} {}</h4>{}", text, chip, body)
