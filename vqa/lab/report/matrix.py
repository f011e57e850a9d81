"""A vision matrix in sentences and as HTML: what changes an answer, then one table of prompts and what stood beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vqa.answers import Json
from vqa.lab.certificate.rows import detects
from vqa.lab.diagnosis.invalid import invalid_sentence
from vqa.lab.matrix.asked import ALONE
from vqa.lab.matrix.rows import alone_of, judged
from vqa.lab.report import conclusions, in_turn
from vqa.lab.report.junit import Outcome, TestOutcome
from vqa.lab.stats.agreement import LEVELS, Level
from vqa.markup import html, joined
from vqa.text import Language, t, text_or_itself

if TYPE_CHECKING:
    from vqa.store import Run


def matrix_sentence(row: Mapping[str, Json], require: Level, language: Language = "en") -> str:
    """Returns what changes an answer under a profile, in a few sentences: 'neighbours of another size (in 3 of 16)'."""
    if row.get("several"):
        return t("lab.open_several", language, n=row["several"]["n"])
    if row.get("changed"):
        return t("horizon.changed", language)
    cells = [cell for prompt in row["prompts"] for cell in prompt["cells"] if "holds" in cell]
    if not cells:
        return text_or_itself(str(row["reason"] or "matrix.nothing"), language)
    return " ".join(filter(None, (_alone(row, require, language), *_changes(row, require, language))))


def _alone(row: Mapping[str, Json], require: Level, language: Language) -> str:
    """Returns for how many prompts lone answers differ; empty where they agree."""
    lone = [each for each in map(alone_of, row["prompts"]) if each is not None]
    differing = sum(judged(each, require) is False for each in lone)
    return t("matrix.not_alone", language, k=differing, m=len(lone)) if differing else ""


def _changes(row: Mapping[str, Json], require: Level, language: Language) -> list[str]:
    found: Mapping[str, Mapping[str, Json]] = row.get("columns") or {}
    comma, level = t("report.comma", language), t(f"lab.level_{require}", language)
    what = []
    for name, column in found.items():
        if not column["changed"]:
            continue
        count = len(column["changed"]) + column["held"] + column["open"] + len(column["as_any"])
        words = t(f"matrix.changes_{name}", language)
        what.append(t("matrix.of", language, what=words, k=len(column["changed"]), m=count))
    untold = [column_title(name, language) for name, column in found.items() if column["open"]]
    said = []
    held = sum(column["held"] for column in found.values())
    if what:
        said.append(t("matrix.differ", language, level=level, what=comma.join(what)))
        if not row["reason"]:
            rest = "nothing_else_seen" if untold or not detects(row) else "nothing_else"
            said.append(t(f"matrix.{rest}", language))
    elif held and not detects(row):
        said.append(t("matrix.blind", language))
    elif held:
        answers = sum(cell["ok"] for prompt in row["prompts"] for cell in prompt["cells"] if "holds" in cell)
        said.append(t("matrix.nothing_changes", language, level=level, cells=held, answers=answers))
    if untold:
        said.append(t("matrix.open", language, what=comma.join(untold)))
    if row["reason"]:
        said.append(text_or_itself(str(row["reason"]), language))
    return said


def matrix_lines(result: Mapping[str, Json], language: Language = "en", *, technical: bool) -> list[str]:
    """Returns for each profile what changes an answer, the prompts not measured and why; with `technical` every row."""
    lines = [invalid] if (invalid := invalid_sentence(result, language)) else []
    require = Level(result["require"])
    for row in result["profiles"]:
        lines.append(f"{row['name']}: {matrix_sentence(row, require, language)}")
        for prompt in row["prompts"]:
            if prompt["reason"]:
                words = text_or_itself(str(prompt["reason"]), language)
                lines.append("  " + t("matrix.refused", language, prompt=prompt_title(prompt, language), reason=words))
                continue
            cells = [cell for cell in prompt["cells"] if technical or _told(cell, require)]
            if cells:
                lines.append("  " + _line(prompt, cells, language))
        if orders := _orders(row, language):
            lines.append("  " + orders)
        lines += in_turn.control_line(row, language) if technical else []
    return lines


def _told(cell: Mapping[str, Json], require: Level) -> bool:
    """Returns whether a cell is told of even in few words: its answers differ, or it does not count."""
    return "holds" in cell and (judged(cell, require) is False or bool(cell["invalid"]) or _untold(cell))


def telling(result: Mapping[str, Json]) -> set[str]:
    """Returns the arms of which a report shows every detail: those that differ or do not count, and their lone ones."""
    require, found = Level(result["require"]), set()
    for row in result["profiles"]:
        for prompt in row["prompts"]:
            told = [cell["arm"] for cell in prompt["cells"] if _told(cell, require)]
            found.update([prompt["cells"][0]["arm"], *told] if told else [])
    return found


def outcomes(run: Run, cases: Sequence[TestOutcome], require: Level, language: Language) -> list[TestOutcome]:
    """Returns the test cases of a matrix's arms, `vqa.` and the arm being their class, as its cells judge them.

    An answer that repeats beside neighbours but is not the lone one fails; a prompt that was refused is skipped.
    """
    prompts = [prompt for row in (run.result or {}).get("profiles") or () for prompt in row["prompts"]]
    cells = {f"vqa.{cell['arm']}": cell for prompt in prompts for cell in prompt["cells"] if "holds" in cell}
    judged_cases = []
    for case in cases:
        cell = cells.get(case.classname)
        if cell is None:
            judged_cases.append(case)
        elif cell["invalid"]:
            why = text_or_itself(str(cell["invalid"]), language)
            judged_cases.append(replace(case, outcome=Outcome.SKIPPED, message=why))
        elif judged(cell, require) is False:
            message = f"{column_title(cell['beside'], language)}: {_state(cell, language)}"
            judged_cases.append(replace(case, outcome=Outcome.FAILED, message=message))
        else:
            judged_cases.append(case)
    refused = (prompt for prompt in prompts if prompt["reason"])
    skipped = (
        TestOutcome(prompt_title(each, language), "vqa.matrix", 0.0, Outcome.SKIPPED, str(each["reason"]))
        for each in refused
    )
    return [*judged_cases, *skipped]


def _line(prompt: Mapping[str, Json], of: Sequence[Mapping[str, Json]], language: Language) -> str:
    cells = []
    for cell in of:
        said = f"{column_title(cell['beside'], language)} {_state(cell, language)}"
        cells.append(f"{said} ({_figures(cell, language)})" if "holds" in cell else said)
    return t(
        "matrix.row", language, prompt=prompt_title(prompt, language), cells=t("report.comma", language).join(cells)
    )


def _state(cell: Mapping[str, Json], language: Language) -> str:
    if "holds" not in cell:
        return f"– ({text_or_itself(str(cell['reason']), language)})"
    if cell["invalid"]:
        return f"{t('report.invalid', language)} ({text_or_itself(str(cell['invalid']), language)})"
    if _untold(cell):
        return t("report.badge_unknown", language)
    return t(f"lab.level_{_strongest(cell)}", language)


def _untold(cell: Mapping[str, Json]) -> bool:
    """Returns whether no level can be said to hold or not to, as where a request failed."""
    return True not in cell["holds"].values() and False not in cell["holds"].values()


def _strongest(cell: Mapping[str, Json]) -> Level:
    return next((level for level in LEVELS if cell["holds"][str(level)]), Level.NONE)


def _figures(cell: Mapping[str, Json], language: Language) -> str:
    """Returns how many answers a cell has, how many distinct ones, and what witnesses its premise."""
    said = [t("matrix.cell", language, ok=cell["ok"], distinct=cell["distinct"])]
    if cell["failed"]:
        said.append(t("matrix.failed", language, failed=cell["failed"]))
    if cell["together"] is not None:
        key = "matrix.witness_alone" if cell["running"] is None else "matrix.witness"
        said.append(t(key, language, **{name: cell[name] for name in ("together", "running", "looks")}))
    if cell["beside"] == "aborted":
        said.append(t("matrix.broken_off", language, broken_off=cell["broken_off"]))
    if cell["beside"] == "image_cache" and cell["image_hits"] is not None:
        said.append(t("matrix.hits", language, hits=cell["image_hits"]))
    if cell["cached_tokens"] and cell["cached_tokens"][1]:
        least, most = cell["cached_tokens"]
        said.append(t("matrix.cached", language, cached=least if least == most else f"{least}–{most}"))
    return " · ".join(said)


def prompt_title(prompt: Mapping[str, Json], language: Language) -> str:
    """Returns how many pictures of which size a prompt has, and what comes first."""
    width, height = prompt["size"]
    order = t(f"matrix.order_{prompt['order']}", language)
    return t("matrix.prompt", language, pictures=prompt["pictures"], width=width, height=height, order=order)


def column_title(beside: str, language: Language) -> str:
    """Returns what stood beside, in a few words."""
    return t(f"report.arm_{beside}", language)


def _orders(row: Mapping[str, Json], language: Language) -> str:
    found = row.get("orders") or {"pairs": 0}
    return t("matrix.orders", language, **found) if found["pairs"] else ""


def matrix_html(result: Mapping[str, Json], language: Language) -> str:
    """Returns for each profile what changes an answer, then the table: a prompt a row, what stood beside a column."""

    def profile(row: Mapping[str, Json]) -> str:
        return _profile(row, (ALONE, *map(str, result["beside"])), Level(result["require"]), language)

    return in_turn.framed(result, "matrix", profile, language)


def _profile(row: Mapping[str, Json], columns: Sequence[str], require: Level, language: Language) -> str:
    said = in_turn.said_of(row, matrix_sentence(row, require, language))
    if not row["prompts"]:
        return said
    titles = [t("matrix.column_prompt", language), *(column_title(name, language) for name in columns)]
    head = joined(html('<th scope="col">{}</th>', title) for title in titles)
    body = joined(_prompt(prompt, columns, require, language) for prompt in row["prompts"])
    made = html(
        '<table class="vl-certificate vl-matrix"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', head, body
    )
    under = filter(None, (in_turn.control_note(row, language), _orders(row, language)))
    notes = joined(html('<p class="vl-soft">{}</p>', words) for words in under)
    return html('{}<div class="vl-scroll" tabindex="0">{}</div>{}', said, made, notes)


def _prompt(prompt: Mapping[str, Json], columns: Sequence[str], require: Level, language: Language) -> str:
    tokens = prompt["prompt_tokens"]
    size = html("<br><small>{}</small>", t("matrix.prompt_tokens", language, tokens=tokens)) if tokens else ""
    name = html('<th scope="row">{}{}</th>', prompt_title(prompt, language), size)
    if prompt["reason"]:
        reason = text_or_itself(str(prompt["reason"]), language)
        return html('<tr class="vl-dim">{}<td colspan="{}">{}</td></tr>', name, len(columns), reason)
    cells = {cell["beside"]: cell for cell in prompt["cells"]}
    return html("<tr>{}{}</tr>", name, joined(_cell(cells.get(each), require, language) for each in columns))


def _cell(cell: Mapping[str, Json] | None, require: Level, language: Language) -> str:
    if cell is None:
        return html("<td></td>")
    if "holds" not in cell:
        return html('<td class="vl-soft">–<br><small>{}</small></td>', text_or_itself(str(cell["reason"]), language))
    figures = _figures(cell, language)
    if cell["invalid"]:
        why = text_or_itself(str(cell["invalid"]), language)
        chip: str = html('<span class="vl-chip vl-warn">{}</span> {}', t("report.invalid", language), why)
    elif _untold(cell):
        chip = html('<span class="vl-chip vl-warn">{}</span>', t("report.badge_unknown", language))
    else:
        chip = conclusions.level_chip(_strongest(cell), language)
    return html("<td>{}<small>{}</small></td>", chip, figures)
