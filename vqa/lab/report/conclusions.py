"""What a run concluded, as pieces of HTML that the page and the report share: sentences, causes, evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vqa.answers import Json
from vqa.engine.profiles import PROFILES
from vqa.lab.certificate.rows import lengths
from vqa.lab.diagnosis.diagnose import undecided
from vqa.lab.diagnosis.findings import Cause, Confidence, Diagnosis, Finding, Verdict
from vqa.lab.diagnosis.premises import arm_kind
from vqa.lab.diagnosis.verdict import engineer_sentence, manager_sentence, percent
from vqa.lab.plan.arms import Arm
from vqa.lab.report.glossary import explained
from vqa.lab.run.documents import finding_of
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.intervals import flip_interval
from vqa.lab.stats.summary import RunSummary, Summary
from vqa.markup import html, joined
from vqa.text import Language, t, table, text_or_itself

TONES = {
    Verdict.IDENTICAL: "vl-good",
    Verdict.DRIFT: "vl-good",
    Verdict.DIFFERS: "vl-bad",
}
CONFIDENCE_TONES = {Confidence.CONFIRMED: "vl-good", Confidence.CONSISTENT: "vl-warn", Confidence.UNKNOWN: "vl-soft"}


def tone(summary: Summary | RunSummary) -> str:
    """Returns the class that colours a verdict: good when the text holds, bad when it differs, else warn."""
    holds = summary.holds(Level.TEXT)
    return "vl-good" if holds else "vl-warn" if holds is None else "vl-bad"


def sentences(
    summary: Summary | RunSummary, language: Language, *, invalid: str | None = None, running: bool = False
) -> str:
    """Returns the verdict box: the badge, a sentence for a manager, and behind a fold one for an engineer.

    `invalid` says why none of it counts; while the run goes on the badge says so.
    """
    if invalid is not None:
        seen = "" if summary.changed else t("lab.seen_anyway", language, seen=engineer_sentence(summary, language))
        hue, said, more = "vl-warn", invalid, seen
    else:
        hue, said = tone(summary), manager_sentence(summary, language)
        more = engineer_sentence(summary, language)
    word = badge_word(summary, language, invalid=invalid is not None)
    shown = t("report.so_far", language, badge=word) if running else word
    chip = "" if said.startswith(word) else html('<span class="vl-chip {}">{}</span> ', hue, shown)
    return html(
        '<div class="vl-verdict {}" role="status">{}<strong>{}</strong>{}</div>',
        hue, chip, said, folded(more, language) if more and more != said else "",
    )  # fmt: skip


def badge_word(summary: Summary | RunSummary, language: Language, *, invalid: bool = False) -> str:
    """Returns how answers compared, in the one or two words that page, report and terminal share."""
    unknown = invalid or summary.holds(Level.TEXT) is None
    return t("report.badge_unknown" if unknown else f"report.badge_{summary.level}", language)


def folded(words: str, language: Language) -> str:
    """Returns figures behind a fold; assets/page.js keeps one open that a redraw would close."""
    return html(
        '<details data-fold="statistics"><summary>{}</summary><p>{}</p></details>',
        t("report.statistics", language),
        explained(words, language),
    )


def failures(summary: Summary, language: Language) -> str:
    """Returns what became of requests without an answer that counts, and of answers cut at max_tokens."""
    notes = []
    if summary.failed:
        codes = ", ".join(f"{code} × {count}" for code, count in summary.errors.items())
        notes.append(t("report.failed", language, failed=summary.failed, n=summary.n, codes=codes))
        if summary.error_example:
            notes.append(summary.error_example)
    if summary.cut:
        notes.append(t("report.cut_note", language, cut=summary.cut, n=summary.ok))
    return joined(html('<p class="vl-note-box">{}</p>', note) for note in notes)


def arm_title(name: str, language: Language) -> str:
    """Returns an arm's name as people say it; `concurrent_8` is named with its number, `serial/repeat` with both."""
    profile, slash, name = name.rpartition("/")
    if slash:
        return f"{profile} · {arm_title(name, language)}"
    base, _, load = name.rpartition("_")
    if base == "concurrent" and load.isdigit():
        return t("report.arm_concurrent", language, n=load)
    if base == "process_cold":
        return t("report.arm_process_cold_n", language, n=load)
    key = f"report.arm_{name}"
    return t(key, language) if key in table(language) else name


def arm_about(name: str, language: Language) -> str:
    """Returns what an arm is for, in a sentence; empty for an unknown one."""
    name = name.rpartition("/")[2]
    base, _, load = name.rpartition("_")
    key = f"report.arm_{base if base in {'concurrent', 'process_cold'} and load.isdigit() else name}_about"
    return t(key, language) if key in table(language) else ""


def titled(language: Language) -> Callable[..., str]:
    """Returns a function from a part's name and its fragments to the part below its heading; empty parts vanish."""

    def say(name: str, *parts: str) -> str:
        inside = joined(parts)
        title = explained(t(f"report.title_{name}", language), language)
        return html("<section><h3>{}</h3>{}</section>", title, inside) if inside else ""

    return say


def verdict_box(found: Diagnosis, language: Language) -> str:
    """Returns a diagnosis's verdict in a box, with what each load may have missed, and for what it holds."""
    loads = html("<p>{}</p>", _loads(found, language)) if found.verdict is Verdict.IDENTICAL else ""
    hue, said = TONES.get(found.verdict, "vl-warn"), _verdict_words(found, language, loads="")
    word = t(f"diagnose.verdict_{found.verdict}", language)
    chip = "" if said.startswith(word) else html('<span class="vl-chip {}">{}</span> ', hue, word)
    return html(
        '<div class="vl-verdict {}" role="status">{}<strong>{}</strong>{}<p>{}</p></div>',
        hue,
        chip,
        said,
        loads,
        t("report.under_load", language),
    )


def verdict_words(found: Diagnosis, language: Language = "en") -> str:
    """Returns a diagnosis's verdict in a sentence: what each load may have missed, or why nothing could be told."""
    return _verdict_words(found, language, loads=_loads(found, language))


def _verdict_words(found: Diagnosis, language: Language, *, loads: str) -> str:
    values = {**found.values, "loads": loads, "why": _why(found, language)}
    return t(f"lab.verdict_{found.verdict}", language, **values).strip()


def _loads(found: Diagnosis, language: Language) -> str:
    questions = int(found.values.get("questions") or 1)
    items = []
    for row in found.evidence:
        if row.invalid or row.ok <= questions or arm_kind(row.arm) not in LOADS:
            continue
        high = percent(flip_interval(0, row.ok - questions).high)
        item = t("lab.load_item", language, arm=arm_title(row.arm, language), high=high, n=row.ok)
        if row.together is not None:
            item += t("report.comma", language) + t("lab.together", language, together=row.together)
        items.append(item)
    return t("lab.loads", language, items=t("lab.part_join", language).join(items)) if items else ""


def _why(found: Diagnosis, language: Language) -> str:
    failed = int(found.values.get("failed") or 0)
    if failed:
        return t("lab.why_failed", language, failed=failed, n=found.values.get("asked", found.values.get("n", 0)))
    missing = undecided(found.evidence)
    if not missing:
        return t("lab.why_too_few", language)
    reasons = {row.arm: row.invalid or "" for row in found.evidence}
    named = (f"{arm_title(arm, language)} ({text_or_itself(reasons[arm], language)})" for arm in missing)
    return t("lab.why_invalid", language, arms=t("lab.part_join", language).join(named))


LOADS = frozenset({Arm.REPEAT, Arm.CONCURRENT, Arm.BACKGROUND})
"""Arms whose name says under how much load they ask."""


def cause_values(each: Finding, language: Language) -> dict[str, Json]:
    """Returns what the sentences about a cause are filled with, its tests named as people say them."""
    values = dict(each.values)
    if "arms" in values:
        named = (arm_title(name, language) for name in str(values["arms"]).split(", "))
        values["arms"] = t("report.comma", language).join(named)
    if each.cause is Cause.PREFIX_CACHE_HISTORY:
        values["met"] = t(f"lab.history_{'met' if values.get('met') else 'not_met'}", language)
    return values


def remedy(finding: Finding, language: Language = "en") -> str:
    """Returns what helps against a cause; where several servers answered, that one of them is to be asked."""
    key = "lab.several_remedy" if "servers" in finding.values else f"lab.cause_{finding.cause}_remedy"
    return t(key, language, **cause_values(finding, language))


def finding_title(finding: Finding, language: Language = "en") -> str:
    """Returns a cause and how sure it is."""
    cause = t(f"lab.cause_{finding.cause}", language, **cause_values(finding, language))
    return t(f"lab.confidence_{finding.confidence}", language, cause=cause)


def causes_of(profile: Mapping[str, Json]) -> list[Finding]:
    """Returns why answers differed under a profile of a certificate; none in certificates of earlier versions."""
    return [finding_of(each) for each in profile.get("causes") or ()]


def length_words(load: Mapping[str, Json], language: Language, batched: int | None = None) -> list[str]:
    """Returns what held at a certificate's load for prompts of each length, where it holds several.

    A prompt of more than `batched` tokens, which the engine computes at a time, is computed in parts.
    """
    told = []
    for n, level in lengths(load):
        parts = -(-n // batched) if batched else 1
        key = "lab.certificate_length_parts" if parts > 1 else "lab.certificate_length"
        told.append(t(key, language, tokens=n, parts=parts, level=t(f"lab.level_{level}", language)))
    return told


def tried_lines(each: Finding, language: Language) -> list[str]:
    """Returns what became of each remedy that was tried against a cause, in sentences."""
    lines = []
    for row in each.values.get("tried") or ():
        key = "lab.tried_profile" if row["remedy"] in PROFILES else "lab.tried"
        words = {"remedy": arm_title(row["remedy"], language), "level": t(f"lab.level_{row['level']}", language)}
        lines.append(t(key, language, **row | words))
    return lines


def untried_lines(result: Mapping[str, Json] | None, language: Language) -> list[str]:
    """Returns which profiles could not be tried as a remedy, and why, in sentences."""
    return [t("lab.untried", language, **row) for row in (result or {}).get("untried") or ()]


def finding(each: Finding, language: Language) -> str:
    """Returns one cause: its name, how sure it is, why, and what helps."""
    chip = html(
        '<span class="vl-chip {}">{}</span>',
        CONFIDENCE_TONES[each.confidence],
        t(f"report.confidence_{each.confidence}", language),
    )
    values = cause_values(each, language)
    why = t(f"lab.cause_{each.cause}_why", language, **values)
    name = t(f"lab.cause_{each.cause}", language, **values)
    return html(
        '<section class="vl-finding"><h3>{} {}</h3><p>{}</p><p><b>{}</b> {}</p>{}</section>',
        name[:1].upper() + name[1:],
        chip,
        explained(why, language),
        t("report.remedy", language),
        explained(remedy(each, language), language),
        joined(html("<p>{}</p>", line) for line in tried_lines(each, language)),
    )


def hue(level: Level) -> str:
    """Returns the CSS class of a level's colour, by how much holds."""
    return {Level.NONE: "vl-bad", Level.ANSWER: "vl-warn"}.get(level, "vl-good")


def level_chip(level: Level, language: Language) -> str:
    """Returns a level's name in a pill, coloured by how much holds."""
    return html('<span class="vl-chip {}">{}</span>', hue(level), t(f"report.level_{level}", language))


def number(value: float | None) -> str:
    """Returns a number in three digits, or a dash."""
    return "–" if value is None else f"{value:.3g}"


def main_arm(arms: Mapping[str, RunSummary]) -> RunSummary | None:
    """Returns the arm that stands for a run where only one can be shown: its repeats in a row, else its first."""
    return arms.get("repeat") or next(iter(arms.values()), None)
