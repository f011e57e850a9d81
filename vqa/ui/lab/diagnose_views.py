"""What the Diagnose tab shows: the plan and its arms while they run, before and after, profiles, the certificate."""

from __future__ import annotations

from collections.abc import Mapping

from vqa.engine.profiles import PROFILES
from vqa.lab.report import cells, conclusions, fragments
from vqa.lab.run.live import RunStatus
from vqa.lab.stats.summary import RunSummary
from vqa.markup import html, joined
from vqa.store import Run
from vqa.text import Language, t, text_or_itself
from vqa.ui.lab.lab_views import duration

NUMBER = html(' class="vl-num"')


def plan(run: Run, lang: Language, *, concluded: bool = False) -> str:
    """Returns how many requests in how many arms a run plans, and how long that should take.

    Of a run that has concluded, only what it left out: a plan beside what came of it would be read as that.
    """
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
    skipped = joined(
        html("<li>{}: {}</li>", conclusions.arm_title(arm["name"], lang), text_or_itself(arm["reason"], lang))
        for arm in run.plan.get("skipped") or ()
    )
    left_out = html("<details><summary>{}</summary><ul>{}</ul></details>", t("diagnose.skipped", lang), skipped)
    warned = "" if "engine" in run.header else html('<p class="vl-note-box">{}</p>', t("lab.attached_may_die", lang))
    planned = "" if concluded else html('<p class="vl-soft">{}</p>', words)
    return joined((planned, left_out if skipped else "", "" if concluded else warned))


def arms(run: Run, summaries: Mapping[str, RunSummary], status: RunStatus, lang: Language) -> str:
    """Returns one row for each planned arm with what it has shown so far; the one being asked is marked."""
    cases = max(len((run.plan.get("spec") or {}).get("questions") or [1]), 1)
    planned = {str(arm["name"]): int(arm["n"]) * cases for arm in run.plan.get("arms") or ()}
    for name, summary in summaries.items():
        planned.setdefault(name, summary.n)
    if not planned:
        return ""
    names = ("arm", "answers", "distinct", "holds", "cached", "seconds")
    head = joined(
        html('<th scope="col"{}>{}</th>', "" if name in {"arm", "holds"} else NUMBER, t(f"report.column_{name}", lang))
        for name in names
    )
    rows = joined(_arm_row(name, n, summaries.get(name), status, lang) for name, n in planned.items())
    body = html('<table class="vl-arms"><thead><tr>{}<th></th></tr></thead><tbody>{}</tbody></table>', head, rows)
    return html('<div class="vl-scroll" tabindex="0">{}</div>', body)


def _arm_row(name: str, planned: int, run: RunSummary | None, status: RunStatus, lang: Language) -> str:
    about = conclusions.arm_about(name, lang)
    title = html("<b>{}</b><br><small>{}</small>", conclusions.arm_title(name, lang), about)
    active = status.running and status.arm == name
    mark = html(' class="vl-active"') if active else ""
    if run is None or not run.n:
        waiting = t("diagnose.waiting" if status.running else "diagnose.not_run", lang)
        return html(
            '<tr{}><td>{}</td><td class="vl-num">0/{}</td><td colspan="5">{}</td></tr>', mark, title, planned, waiting
        )
    distinct = max(len(each.groups) for each in run.questions)
    compared = any(each.compared for each in run.questions)
    hits = [hit for each in run.questions for hit in each.cached_tokens if hit is not None]
    cached = "–" if not hits else str(min(hits)) if min(hits) == max(hits) else f"{min(hits)}–{max(hits)}"
    medians = [each.latency.median for each in run.questions if each.latency.median is not None]
    seconds = conclusions.number(sum(medians) / len(medians) if medians else None)
    return html(
        '<tr{}><td>{}</td><td class="vl-num">{}/{}</td><td class="vl-num">{}</td><td>{}</td>'
        '<td class="vl-num">{}</td><td class="vl-num">{}</td><td>{}</td></tr>',
        mark,
        title,
        run.ok,
        planned,
        distinct,
        conclusions.level_chip(run.level, lang) if compared else "–",
        cached,
        seconds,
        _mini(run),
    )


def _mini(run: RunSummary) -> str:
    """Returns a row of small cells, one for each request of the arm's first question."""
    summary = run.questions[0]
    small = joined(
        html('<i style="background:{}"></i>', cells.colour(cells.ERROR if group is None else group))
        for group in summary.cells()[:64]
    )
    return html('<span class="vl-mini" aria-hidden="true">{}</span>', small)


def profiles(reasons: Mapping[str, str | None], current: str | None, offered: tuple[str, ...], lang: Language) -> str:
    """Returns all engine profiles: what each does, the one in force, those offered, and why some are not available."""
    items = []
    for name, profile in PROFILES.items():
        what = " ".join((*(f"{key}={value}" for key, value in profile.environment.items()), *profile.flags))
        chips = ""
        if name == current:
            chips += html(' <span class="vl-chip vl-soft">{}</span>', t("diagnose.current", lang))
        if name in offered and not reasons.get(name):
            chips += html(' <span class="vl-chip vl-good">{}</span>', t("diagnose.offered", lang))
        reason = reasons.get(name)
        note = html("<span>{}</span>", text_or_itself(reason, lang)) if reason else ""
        about = t(f"diagnose.profile_{name.replace('-', '_')}", lang)
        dim = html(' class="vl-dim" aria-disabled="true"') if reason else ""
        items.append(
            html(
                "<li{}><b>{}</b>{}<span>{}</span><span class='vl-mono'>{}</span>{}</li>",
                dim,
                name,
                chips,
                about,
                what,
                note,
            )
        )
    return fragments.wrap(html('<ul class="vl-profiles">{}</ul>', joined(items)))


def unable(reasons: Mapping[str, str | None], lang: Language) -> str:
    """Returns the profiles that this machine cannot run, greyed, each with its reason; empty where it can run all."""
    items = joined(
        html('<li class="vl-dim" aria-disabled="true"><b>{}</b> <span>{}</span></li>', name, text_or_itself(why, lang))
        for name, why in reasons.items()
        if why is not None
    )
    return fragments.wrap(html('<ul class="vl-profiles">{}</ul>', items)) if items else ""
