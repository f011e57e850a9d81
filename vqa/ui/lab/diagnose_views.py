"""What the Diagnose tab shows: the plan and its arms while they run, before and after, profiles, the certificate."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from vqa.engine.profiles import PROFILES
from vqa.lab.report import charts, conclusions, fragments
from vqa.lab.run.live import RunStatus
from vqa.lab.stats.summary import RunSummary
from vqa.store import Run
from vqa.text import Language, t, table
from vqa.ui.lab.lab_views import duration

NUMBER = ' class="vl-num"'


def plan(run: Run, lang: Language) -> str:
    """Returns how many requests in how many arms a run plans, and how long that should take."""
    arms = run.plan.get("arms") or []
    if not arms:
        return ""
    words = t(
        "diagnose.plan",
        lang,
        arms=len(arms),
        requests=run.plan.get("requests", 0),
        time=duration(float(run.plan.get("seconds") or 0), lang),
    )
    skipped = "".join(
        f"<li>{escape(conclusions.arm_title(arm['name'], lang))}: {escape(_text(arm['reason'], lang))}</li>"
        for arm in run.plan.get("skipped") or ()
    )
    left_out = f"<details><summary>{escape(t('diagnose.skipped', lang))}</summary><ul>{skipped}</ul></details>"
    return f'<p class="vl-soft">{escape(words)}</p>{left_out if skipped else ""}'


def arms(run: Run, summaries: Mapping[str, RunSummary], status: RunStatus, lang: Language) -> str:
    """Returns one row for each planned arm with what it has shown so far; the one being asked is marked."""
    cases = max(len((run.plan.get("spec") or {}).get("questions") or [1]), 1)
    planned = {str(arm["name"]): int(arm["n"]) * cases for arm in run.plan.get("arms") or ()}
    for name, summary in summaries.items():
        planned.setdefault(name, summary.n)
    if not planned:
        return ""
    names = ("arm", "answers", "distinct", "holds", "cached", "seconds")
    head = "".join(
        f'<th scope="col"{"" if name in {"arm", "holds"} else NUMBER}>{escape(t(f"report.column_{name}", lang))}</th>'
        for name in names
    )
    rows = "".join(_arm_row(name, n, summaries.get(name), status, lang) for name, n in planned.items())
    body = f'<table class="vl-arms"><thead><tr>{head}<th></th></tr></thead><tbody>{rows}</tbody></table>'
    return f'<div class="vl-scroll" tabindex="0">{body}</div>'


def _arm_row(name: str, planned: int, run: RunSummary | None, status: RunStatus, lang: Language) -> str:
    about = conclusions.arm_about(name, lang)
    title = f"<b>{escape(conclusions.arm_title(name, lang))}</b><br><small>{escape(about)}</small>"
    active = status.running and status.arm == name
    mark = ' class="vl-active"' if active else ""
    if run is None or not run.n:
        waiting = t("diagnose.waiting" if status.running else "diagnose.not_run", lang)
        return (
            f'<tr{mark}><td>{title}</td><td class="vl-num">0/{planned}</td><td colspan="5">{escape(waiting)}</td></tr>'
        )
    distinct = max(len(each.groups) for each in run.questions)
    compared = any(each.compared for each in run.questions)
    hits = [hit for each in run.questions for hit in each.cached_tokens if hit is not None]
    cached = "–" if not hits else str(min(hits)) if min(hits) == max(hits) else f"{min(hits)}–{max(hits)}"
    medians = [each.latency.median for each in run.questions if each.latency.median is not None]
    seconds = conclusions.number(sum(medians) / len(medians) if medians else None)
    return (
        f'<tr{mark}><td>{title}</td><td class="vl-num">{run.ok}/{planned}</td><td class="vl-num">{distinct}</td>'
        f"<td>{conclusions.level_chip(run.level, lang) if compared else '–'}</td>"
        f'<td class="vl-num">{cached}</td><td class="vl-num">{seconds}</td><td>{_mini(run)}</td></tr>'
    )


def _mini(run: RunSummary) -> str:
    """Returns a row of small cells, one for each request of the arm's first question."""
    summary = run.questions[0]
    cells = "".join(
        f'<i style="background:{charts.colour(charts.ERROR if group is None else group)}"></i>'
        for group in summary.cells()[:64]
    )
    return f'<span class="vl-mini" aria-hidden="true">{cells}</span>'


def profiles(reasons: Mapping[str, str | None], current: str | None, offered: tuple[str, ...], lang: Language) -> str:
    """Returns all engine profiles: what each does, the one in force, those offered, and why some are not available."""
    items = []
    for name, profile in PROFILES.items():
        what = " ".join((*(f"{key}={value}" for key, value in profile.environment.items()), *profile.flags))
        chips = ""
        if name == current:
            chips += f' <span class="vl-chip vl-soft">{escape(t("diagnose.current", lang))}</span>'
        if name in offered and not reasons.get(name):
            chips += f' <span class="vl-chip vl-good">{escape(t("diagnose.offered", lang))}</span>'
        reason = reasons.get(name)
        note = f"<span>{escape(_text(reason, lang))}</span>" if reason else ""
        about = escape(t(f"diagnose.profile_{name.replace('-', '_')}", lang))
        dim = ' class="vl-dim" aria-disabled="true"' if reason else ""
        items.append(
            f"<li{dim}><b>{escape(name)}</b>{chips}<span>{about}</span>"
            f"<span class='vl-mono'>{escape(what)}</span>{note}</li>"
        )
    return fragments.wrap(f'<ul class="vl-profiles">{"".join(items)}</ul>')


def _text(key: str, lang: Language) -> str:
    return t(key, lang) if key in table(lang) else key
