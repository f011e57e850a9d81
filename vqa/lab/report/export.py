"""A stored run as one HTML file that opens anywhere offline, as JSON, CSV and JUnit XML; asks no server."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vqa.answers import Answer, Json, Sample
from vqa.errors import StoreError
from vqa.lab.diagnosis.invalid import early_sentence, ended_after, invalid_sentence
from vqa.lab.diagnosis.premises import arm_kind
from vqa.lab.diagnosis.verdict import engineer_sentence
from vqa.lab.plan.arms import Arm
from vqa.lab.report import matrix
from vqa.lab.report.junit import Outcome, TestOutcome, junit_xml
from vqa.lab.report.reproduce import case_texts
from vqa.lab.run.run_json import Report, document, dump, load_report
from vqa.lab.stats.agreement import LEVELS, Level
from vqa.lab.stats.summarize import summarize_run
from vqa.lab.stats.summary import RunSummary, Summary
from vqa.text import Language, t

if TYPE_CHECKING:
    from vqa.store import Run, Store

__all__ = [
    "Report", "collect", "document", "dump", "load_report", "required", "summaries", "to_csv", "to_html", "to_junit",
]  # fmt: skip

COLUMNS = (
    "arm", "question", "index", "group", "started_at", "seconds", "seconds_to_first_token", "prompt_tokens",
    "completion_tokens", "cached_tokens", "finish_reason", "seed", "concurrency", "request_id", "text", "error",
    "error_message", "reasoning", "refusal", "tool_calls", "retried", "run_status",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def collect(store: Store, run_id: str) -> Report:
    """Returns a stored run with its samples and pictures; a picture that is gone is left out.

    Raises:
        StoreError: there is no such run.
    """
    run = store.run(run_id)
    images = []
    for digest in (run.plan.get("spec") or run.plan).get("images") or ():
        try:
            images.append(store.image(digest))
        except StoreError:
            continue
    return Report(run, tuple(store.samples(run_id)), tuple(images))


def summaries(report: Report) -> dict[str, RunSummary]:
    """Returns the summary of each arm, in the order in which the arms were first sent."""
    arms: dict[str, list[Sample]] = {}
    for sample in report.samples:
        arms.setdefault(sample.arm, []).append(sample)
    return {arm: summarize_run(samples) for arm, samples in arms.items()}


def to_html(report: Report, language: Language = "en", *, arms: Mapping[str, RunSummary] | None = None) -> str:
    """Returns one HTML file with everything in it, in both languages, opening in `language`; it runs no script.

    `arms` saves summarising again when the summaries are at hand.
    """
    from vqa.lab.report.html import render

    return render(report, arms if arms is not None else summaries(report), language)


def to_csv(report: Report) -> str:
    """Returns one row for each sample; a text that a spreadsheet would take for a formula gets an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    how = (ended_early(report.run, "en") or report.run.status).rstrip(".")
    cells = {
        (arm, place): summary.cells()
        for arm, run in summaries(report).items()
        for place, summary in enumerate(run.questions)
    }
    for sample in report.samples:
        groups = cells.get((sample.arm, sample.question), ())
        group = groups[sample.index] if sample.index < len(groups) else None
        writer.writerow([no_formula(cell) for cell in (*_csv_row(sample, group), how)])
    return out.getvalue()


def ended_early(run: Run, language: Language) -> str | None:
    """Returns after how many of how many requests a run ended that did not ask them all; None for any other."""
    if run.status in {"finished", "running"}:
        return None
    told = early_sentence(run.result, language)
    planned = int(run.plan.get("samples") or 0)
    return told or ended_after(run.samples, max(planned, run.samples), language, by_hand=run.status == "stopped")


def _csv_row(sample: Sample, group: int | None) -> list[Json]:
    answer = sample.answer or Answer("", None)
    counted = sample.answer is not None
    return [
        sample.arm,
        sample.question,
        sample.index,
        "" if group is None else group,
        datetime.fromtimestamp(sample.started_at, UTC).isoformat(timespec="milliseconds"),
        f"{answer.seconds:.6f}" if counted else "",
        "" if answer.seconds_to_first_token is None else f"{answer.seconds_to_first_token:.6f}",
        answer.prompt_tokens,
        answer.completion_tokens,
        answer.cached_tokens,
        answer.finish_reason,
        sample.seed,
        sample.concurrency,
        answer.request_id,
        answer.text,
        sample.error.code if sample.error else "",
        sample.error.message if sample.error else "",
        answer.reasoning,
        answer.refusal,
        ", ".join(f"{call.name}({call.arguments})" for call in answer.tool_calls),
        answer.retried if counted else "",
    ]


def no_formula(cell: Json) -> Json:
    """Returns a cell that no spreadsheet computes; servers and imported runs fill every column, not only the answer."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def required(run: Run) -> Level:
    """Returns the level that a run was asked to hold; the text level where it was asked for none."""
    named = (run.plan.get("spec") or {}).get("require")
    return Level(named) if named in set(LEVELS) else Level.TEXT


def to_junit(report: Report, require: Level | None = None, language: Language = "en") -> str:
    """Returns JUnit XML with a test case for each arm of each question: does `require` hold there?

    None checks the level that the run itself required.
    """
    require = require or required(report.run)
    questions = case_texts(report.run.plan)
    evidence = ((report.run.result or {}).get("diagnosis") or {}).get("evidence") or ()
    invalid = {row["arm"]: str(row["invalid"]) for row in evidence if row.get("invalid")}
    whole, early = invalid_sentence(report.run.result, language), ended_early(report.run, language)
    cases = []
    for arm, run in summaries(report).items():
        for place, summary in enumerate(run.questions):
            text = f" {questions[place]}" if place < len(questions) else ""
            case = _case(arm, f"{place + 1}.{text}", summary, require, language)
            if case.outcome is Outcome.PASSED and arm in invalid:
                case = replace(case, outcome=Outcome.SKIPPED, message=t(invalid[arm], language))
            if early is not None and case.outcome is Outcome.PASSED:
                case = replace(case, outcome=Outcome.SKIPPED, message=early)
            elif whole is not None and whole != early:
                case = replace(case, outcome=Outcome.ERROR, message=whole)
            cases.append(case)
    if report.run.kind == "matrix":
        cases = matrix.outcomes(report.run, cases, require, language)
    if early is not None:
        # An arm that was never begun has no case of its own that could say so.
        cases.append(TestOutcome(early, "vqa.run", 0.0, Outcome.SKIPPED, early))
    name = f"vqa-lab {report.run.kind} {report.run.name or report.run.id}"
    properties = [("run", report.run.id), ("require", str(require)), ("app_version", report.app_version)]
    properties.append(("status", report.run.status))
    return junit_xml(name, report.run.created_at, cases, properties, seconds=wall_seconds(report.run))


def wall_seconds(run: Run) -> float | None:
    """Returns the seconds from a run's begin to its end; None for one that has not ended."""
    return None if run.finished_at is None else max(0.0, (run.finished_at - run.created_at).total_seconds())


def _case(arm: str, name: str, summary: Summary, require: Level, language: Language) -> TestOutcome:
    # Wall time: requests that are under way together do not take the sum of their seconds.
    seconds = summary.ok / summary.latency.throughput if summary.latency.throughput else 0.0
    holds = summary.holds(require)
    detail = engineer_sentence(summary, language)
    level = t(f"report.level_{require}", language)
    if arm_kind(arm) is Arm.POSITIVE_CONTROL:
        return _control(TestOutcome(name, f"vqa.{arm}", seconds, Outcome.PASSED, detail=detail), summary, language)
    if holds:
        return TestOutcome(name, f"vqa.{arm}", seconds, Outcome.PASSED, detail=detail)
    if holds is False:
        message = t("report.junit_differs", language, level=level, distinct=len(summary.groups), n=summary.ok)
        return TestOutcome(name, f"vqa.{arm}", seconds, Outcome.FAILED, message, detail)
    hidden = summary.ok > 1 and not summary.failed and not summary.levels[require].visible
    outcome = Outcome.SKIPPED if hidden else Outcome.ERROR
    key = "report.junit_hidden" if hidden else "report.junit_untold"
    return TestOutcome(
        name, f"vqa.{arm}", seconds, outcome, t(key, language, level=level, failed=summary.failed), detail
    )


def _control(case: TestOutcome, summary: Summary, language: Language) -> TestOutcome:
    """Returns the outcome of the positive control: its answers must differ, or a difference could not be seen here."""
    if summary.levels[summary.display_level].holds is False:
        return case
    return replace(case, outcome=Outcome.ERROR, message=t("report.junit_control", language, n=summary.ok))
