"""A horizon in sentences and as HTML: how far each level holds under each profile, and what every load cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vqa.answers import Json
from vqa.lab.diagnosis.invalid import invalid_sentence
from vqa.lab.report import conclusions, in_turn
from vqa.lab.stats.agreement import LEVELS, Level
from vqa.markup import html, joined
from vqa.text import Language, t, text_or_itself


def horizon_sentence(row: Mapping[str, Json], language: Language = "en") -> str:
    """Returns how far each level holds under a profile: 'bitwise up to 43 (not at 44), tokens up to 256 (…)'."""
    if row.get("several"):
        return t("lab.open_several", language, n=row["several"]["n"])
    if row.get("changed"):
        return t("horizon.changed", language)
    if not row["levels"]:
        return text_or_itself(str(row["reason"] or "horizon.nothing"), language)
    groups: list[tuple[list[Level], Mapping[str, Json]]] = []
    for level in LEVELS:
        found = row["levels"][str(level)]
        if found["end"] == "hidden":
            continue
        if groups and groups[-1][1] == found:
            groups[-1][0].append(level)
        else:
            groups.append(([level], found))
    parts = [_levels(levels, found, language) for levels, found in groups]
    said = t("report.comma", language).join(parts) or t("horizon.nothing", language)
    return f"{said} · {text_or_itself(str(row['reason']), language)}" if row["reason"] else said


def _levels(levels: Sequence[Level], found: Mapping[str, Json], language: Language) -> str:
    """Returns how far levels hold that hold equally far; where nothing fails, the strongest says it for the others."""
    named = levels if found["fails_at"] is not None else levels[:1]
    words = t("horizon.and", language).join(t(f"lab.level_{level}", language) for level in named)
    values = {"level": words, "up_to": found["up_to"], "fails_at": found["fails_at"]}
    return t(f"horizon.end_{found['end']}", language, **values)


def horizon_lines(result: Mapping[str, Json], language: Language = "en", *, technical: bool) -> list[str]:
    """Returns one line for each profile, and with `technical` one for each load of it and its positive control."""
    lines = [invalid] if (invalid := invalid_sentence(result, language)) else []
    for row in result["profiles"]:
        lines.append(f"{row['name']}: {horizon_sentence(row, language)}")
        if not technical:
            continue
        for step in sorted(row["steps"], key=lambda each: int(each["load"])):
            lines.append("  " + _step_line(step, language))
        lines += in_turn.control_line(row, language)
    return lines


def _step_line(step: Mapping[str, Json], language: Language) -> str:
    values = {name: conclusions.number(step[name]) for name in ("median_seconds", "throughput", "tokens_per_second")}
    said = t("horizon.step", language, load=step["load"], state=_state(step, language), ok=step["ok"], **values)
    return said + " · " + t("lab.together", language, together=_met(step)) if step["load"] > 1 else said


def _met(step: Mapping[str, Json]) -> Json:
    return "–" if step["together"] is None else step["together"]


def _state(step: Mapping[str, Json], language: Language) -> str:
    """Returns the strongest level at which a load's answers equal the lone ones, or why it does not count."""
    failed = Level.TOKENS if step["holds"][str(Level.TOKENS)] is not None else Level.TEXT
    if step["invalid"] and step["holds"][str(failed)] is None:
        return f"{t('report.invalid', language)} ({text_or_itself(str(step['invalid']), language)})"
    return t(f"lab.level_{_strongest(step)}", language)


def _strongest(step: Mapping[str, Json]) -> Level:
    return next((level for level in LEVELS if step["holds"][str(level)]), Level.NONE)


def horizon_html(result: Mapping[str, Json], language: Language) -> str:
    """Returns the horizons of all profiles: a sentence for each, then a table of its loads with witness and cost."""
    return in_turn.framed(result, "horizon", lambda row: _profile(row, language), language)


def _profile(row: Mapping[str, Json], language: Language) -> str:
    said = in_turn.said_of(row, horizon_sentence(row, language))
    if not row["steps"]:
        return said
    names = ("load", "holds", "together", "answers", "seconds", "first_token", "throughput", "tokens")
    head = joined(html('<th scope="col">{}</th>', t(f"horizon.column_{name}", language)) for name in names)
    steps = sorted(row["steps"], key=lambda each: int(each["load"]))
    body = joined(_step(step, steps[0], language) for step in steps)
    made = html('<table class="vl-certificate"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', head, body)
    note = in_turn.control_note(row, language)
    return html('{}<div class="vl-scroll" tabindex="0">{}</div><p class="vl-soft">{}</p>', said, made, note)


def _step(step: Mapping[str, Json], lone: Mapping[str, Json], language: Language) -> str:
    level = _strongest(step)
    if step["invalid"] and level is Level.NONE and False not in step["holds"].values():
        why = text_or_itself(str(step["invalid"]), language)
        chip: str = html('<span class="vl-chip vl-warn">{}</span> {}', t("report.invalid", language), why)
    else:
        chip = conclusions.level_chip(level, language)
    answers = t(
        "diagnose.certificate_counts",
        language,
        ok=step["ok"],
        distinct=step["distinct"],
        variants="–" if step["logprob_variants"] is None else step["logprob_variants"],
    )
    if step["failed"]:
        answers += " · " + t("diagnose.certificate_failed", language, failed=step["failed"])
    cells = [str(step["load"]), chip, _witness(step, language), answers, _against(step, lone, "median_seconds")]
    cells += [_against(step, lone, name) for name in ("first_token_seconds", "throughput", "tokens_per_second")]
    return html("<tr>{}</tr>", joined(html("<td>{}</td>", cell) for cell in cells))


def _witness(step: Mapping[str, Json], language: Language) -> str:
    if step["load"] == 1:
        return "1"
    if step["running"] is None:
        return str(_met(step))
    return t("horizon.witness", language, together=_met(step), running=step["running"], looks=step["looks"])


def _against(step: Mapping[str, Json], lone: Mapping[str, Json], name: str) -> str:
    """Returns a cost, and what it is of the lone requests' one."""
    value, before = step[name], lone[name]
    if not value:
        return "–"
    said = conclusions.number(value)
    return said if step is lone or not before else f"{said} (×{conclusions.number(value / before)})"
