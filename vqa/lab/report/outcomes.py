"""What a diagnosis or a certificate ended in, beside a former one where there is one: as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vqa.answers import Json
from vqa.lab.certificate.rows import detects, differs_from_smaller
from vqa.lab.diagnosis.findings import Diagnosis
from vqa.lab.diagnosis.invalid import invalid_sentence
from vqa.lab.diagnosis.shown import shown_lines
from vqa.lab.report import cells, conclusions, notes
from vqa.lab.report.across import across_html
from vqa.lab.report.evidence import diagnosis
from vqa.lab.report.horizon import horizon_html
from vqa.lab.report.matrix import matrix_html
from vqa.lab.report.servers import servers_html
from vqa.lab.report.versions import version_table
from vqa.lab.run.documents import diagnosis_from_record
from vqa.lab.stats.agreement import Level
from vqa.markup import html, joined
from vqa.store import Run
from vqa.text import Language, t, text_or_itself


def diagnosis_of(run: Run) -> Diagnosis | None:
    """Returns what a stored run concluded, or None when it has not."""
    record = (run.result or {}).get("diagnosis")
    return diagnosis_from_record(record) if record else None


def of_run(run: Run, language: Language) -> str:
    """Returns all that a diagnose or certify run concluded; empty for other runs and before the end."""
    titled = conclusions.titled(language)
    found = diagnosis_of(run)
    if found is not None:
        compared = titled("before_after", before_after(run, language))
        restarts = titled("after_start", after_start((run.result or {}).get("restarts") or (), language))
        refused = notes.noted(run.result, language)
        lines = [*conclusions.untried_lines(run.result, language), *shown_lines(run.result, language)]
        shown = joined(html('<p class="vl-note-box">{}</p>', words) for words in lines)
        return compared + diagnosis(found, language) + shown + restarts + refused
    if run.kind == "horizon":
        return titled("horizon", horizon_html(run.result or {}, language))
    if run.kind == "matrix":
        return titled("matrix", matrix_html(run.result or {}, language))
    if across := across_html(run.result or {}, language):
        return titled("across", across)
    if servers := servers_html(run.result or {}, language):
        return titled("servers", servers)
    return titled("certificate", certificate(run.result or {}, language))


def after_start(restarts: Sequence[Mapping[str, Json]], language: Language) -> str:
    """Returns the first requests after each restart: which answer, how many seconds; one table for each question."""
    tables = []
    questions = max((len(row["questions"]) for row in restarts), default=0)
    for question in range(questions):
        asked = [row["questions"][question] for row in restarts]
        head = joined(html('<th scope="col">{}</th>', place + 1) for place in range(max(map(len, asked))))
        rows = joined(_start_row(row, requests, language) for row, requests in zip(restarts, asked, strict=True))
        number = f"{t('report.column_question', language)} {question + 1}" if questions > 1 else ""
        made = html("<table><thead><tr><th>{}</th>{}</tr></thead><tbody>{}</tbody></table>", number, head, rows)
        tables.append(html('<div class="vl-scroll" tabindex="0">{}</div>', made))
    note = html('<p class="vl-soft">{}</p>', t("report.after_start_note", language)) if tables else ""
    return joined(tables) + note


def _start_row(row: Mapping[str, Json], requests: Sequence[Mapping[str, Json]], language: Language) -> str:
    process = "" if row["pid"] is None else html("<br><small>PID {}</small>", row["pid"])
    invalid = ""
    if row["invalid"]:
        invalid = html('<br><span class="vl-chip vl-warn">{}</span> ', t("report.invalid", language))
        invalid += text_or_itself(row["invalid"], language)
    cells = joined(html("<td>{}</td>", _request(request)) for request in requests)
    return html(
        '<tr><th scope="row">{}{}{}</th>{}</tr>', conclusions.arm_title(row["arm"], language), process, invalid, cells
    )


def _request(request: Mapping[str, Json]) -> str:
    group = cells.ERROR if request["answer"] is None else request["answer"]
    seconds = "" if request["seconds"] is None else html(" <small>{} s</small>", conclusions.number(request["seconds"]))
    return html('<i class="vl-cell" style="background:{}">{}</i>{}', cells.colour(group), cells.letter(group), seconds)


def before_after(run: Run, language: Language) -> str:
    """Returns the diagnosis under the former profile beside this one, with the cost; empty without a former one."""
    result = run.result or {}
    former = (result.get("before") or {}).get("result") or {}
    if not former.get("diagnosis") or not result.get("diagnosis"):
        return ""
    sides = [_side(each) for each in (former, result)]
    head = joined(
        html('<th scope="col">{} <small>{}</small></th>', t("diagnose." + name, language), str(side["profile"]))
        for name, side in zip(("before", "after"), sides, strict=True)
    )
    rows = []
    for name in ("verdict", "level", "seconds", "throughput"):
        cells = []
        for side in sides:
            value = side[name]
            if name == "verdict":
                cells.append(t(f"diagnose.verdict_{value}", language))
            elif name == "level":
                cells.append(t(f"report.level_{value}", language))
            else:
                cells.append(conclusions.number(value))
        label = t(f"diagnose.row_{name}", language)
        rows.append(html('<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>', label, cells[0], cells[1]))
    body = html(
        '<div class="vl-scroll" tabindex="0"><table class="vl-sides"><thead><tr><th></th>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>",
        head,
        joined(rows),
    )
    return html("{}<p>{}</p>", body, _cost(sides, language))


def _side(result: Mapping[str, Json]) -> dict[str, Json]:
    found = diagnosis_from_record(result["diagnosis"])
    by_arm = {row.arm: row for row in found.evidence}
    row = by_arm.get("repeat")
    rates = [each.throughput for each in found.evidence if each.arm.startswith("concurrent") and each.throughput]
    return {
        "profile": result.get("profile") or "default",
        "verdict": str(found.verdict),
        "level": result.get("level") or "none",
        "seconds": row.median_seconds if row else None,
        "throughput": max(rates, default=None),
    }


def _cost(sides: list[dict[str, Json]], language: Language) -> str:
    before, after = sides
    parts = []
    if before["seconds"] and after["seconds"]:
        change = 100 * (after["seconds"] / before["seconds"] - 1)
        parts.append(t("diagnose.cost_seconds", language, change=f"{change:+.0f}"))
    if before["throughput"] and after["throughput"]:
        change = 100 * (after["throughput"] / before["throughput"] - 1)
        parts.append(t("diagnose.cost_throughput", language, change=f"{change:+.0f}"))
    return t("report.comma", language).join(parts)


def certificate(result: Mapping[str, Json], language: Language) -> str:
    """Returns the engine certificate: for each profile and load the strongest level and the cost; and what it means.

    The cost is the median latency of a request and the throughput, each also against the profile `default`.
    """
    rows = result.get("profiles") or []
    if not rows:
        return ""
    loads = sorted({int(load["load"]) for row in rows for load in row.get("loads") or ()})
    head = joined(html('<th scope="col">{}</th>', _load(load, language)) for load in loads)
    base = next((row for row in rows if row.get("profile", row["name"]) == "default"), rows[0])
    body = joined(_certificate_row(row, loads, base, str(result["require"]), language) for row in rows)
    name = t("diagnose.profile", language)
    invalid = invalid_sentence(result, language)
    top = html('<div class="vl-verdict vl-warn" role="status"><strong>{}</strong></div>', invalid) if invalid else ""
    made = html(
        '<table class="vl-certificate"><thead><tr><th>{}</th>{}</tr></thead><tbody>{}</tbody></table>', name, head, body
    )
    says, does_not = (t(f"diagnose.certificate_{key}", language) for key in ("says", "says_not"))
    notes = html('<p class="vl-soft">{}</p><p class="vl-soft">{}</p>', says, does_not)
    if engines := result.get("at_once"):
        notes = html('<p class="vl-note-box">{}</p>{}', t("lab.certificate_at_once", language, engines=engines), notes)
    if not any(row.get("control") or any(load["distinct"] > 1 for load in row.get("loads") or ()) for row in rows):
        notes = html('<p class="vl-note-box">{}</p>{}', t("diagnose.certificate_no_control", language), notes)
    versions = version_table(result, language)
    return html('{}<div class="vl-scroll" tabindex="0">{}</div>{}{}', top, made, versions, notes)


def _certificate_row(
    row: Mapping[str, Json], loads: list[int], base: Mapping[str, Json], require: str, language: Language
) -> str:
    why = joined(
        html("<br><small>{}</small>", conclusions.finding_title(each, language)) for each in conclusions.causes_of(row)
    )
    name = html('<th scope="row">{}{}{}</th>', str(row["name"]), _control(row, language), why)
    if row.get("reason"):
        reason = text_or_itself(str(row["reason"]), language)
        return html('<tr class="vl-dim">{}<td colspan="{}">{}</td></tr>', name, max(len(loads), 1), reason)
    by_load = {int(load["load"]): load for load in row.get("loads") or ()}
    usual = {int(load["load"]): load for load in base.get("loads") or ()}
    blind = not detects(row)
    cells = joined(
        _certificate_cell(by_load.get(load), usual.get(load), blind, require, row.get("batched_tokens"), language)
        for load in loads
    )
    return html("<tr>{}{}</tr>", name, cells)


def _control(row: Mapping[str, Json], language: Language) -> str:
    """Returns what the positive control under a profile showed; nothing where none was made."""
    control = row.get("control")
    if not control:
        return ""
    return html("<br><small>{}</small>", t("diagnose.certificate_control", language, **control))


def _certificate_cell(
    load: Mapping[str, Json] | None, usual: Mapping[str, Json] | None, blind: bool, require: str, batched: int | None,
    language: Language,
) -> str:  # fmt: skip
    """`blind` tells that the positive control saw no difference: then only a difference is shown for what it is.

    `batched` are the tokens that the engine computes at a time.
    """
    if load is None:
        return html("<td>–</td>")
    level = Level(load["level"])
    chip = conclusions.level_chip(level, language) if load["ok"] else "–"
    if blind and level is not Level.NONE:
        chip = html('<span class="vl-chip vl-warn">{}</span>', t("diagnose.verdict_cannot_detect", language))
    if load.get("invalid"):
        chip = html('<span class="vl-chip vl-warn">{}</span> ', t("report.invalid", language))
        chip += text_or_itself(str(load["invalid"]), language)
    counts = t(
        "diagnose.certificate_counts",
        language,
        ok=load["ok"],
        distinct=load["distinct"],
        variants="–" if load.get("logprob_variants") is None else load["logprob_variants"],
    )
    if load.get("failed"):
        counts += " · " + t("diagnose.certificate_failed", language, failed=load["failed"])
    counts += "".join(" · " + words for words in conclusions.length_words(load, language, batched))
    if differs_from_smaller(load, require):
        counts += " · " + t("lab.certificate_alone", language)
    if load.get("together") is not None and load["load"] > 1:
        counts += " · " + t("lab.together", language, together=load["together"])
    costs = []
    for name in ("median_seconds", "throughput"):
        value, before = load.get(name), (usual or {}).get(name)
        if value:
            cost = t(f"diagnose.certificate_{name}", language, value=conclusions.number(value))
            costs.append(cost if load is usual or not before else f"{cost} ({100 * (value / before - 1):+.0f}%)")
    figures = joined(html("<br><small>{}</small>", words) for words in (counts, *costs))
    return html("<td>{}{}</td>", chip, figures)


def _load(load: int, language: Language) -> str:
    return t("report.arm_repeat", language) if load == 1 else t("report.arm_concurrent", language, n=load)
