"""Summaries as plain values, for the store and for `--json`: small, versioned, without samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from vqa.answers import Json, Sampling
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.diagnosis.findings import AnswerClass, Cause, Confidence, Diagnosis, Evidence, Finding, Verdict
from vqa.lab.diagnosis.premises import cache_reason, load_reason
from vqa.lab.plan.arms import RunSpec
from vqa.lab.stats.agreement import LEVELS, Level
from vqa.lab.stats.summary import RunSummary, Summary
from vqa.store import Store

RESULT_VERSION = 2
EXIT_HOLDS, EXIT_DIFFERS, EXIT_CANNOT_TELL = 0, 1, 2


def exit_code(holds: bool | None) -> int:
    """Returns the exit status of a command: 0 holds, 1 does not, 2 could not tell."""
    return EXIT_CANNOT_TELL if holds is None else EXIT_HOLDS if holds else EXIT_DIFFERS


def run_result(
    summary: RunSummary, require: Level, facts: Facts | None = None, *, arm: str = "repeat"
) -> dict[str, Json]:
    """Returns what is stored as the result of a repeat run whose only arm is `arm`.

    Nothing is said to hold or not to hold when the server changed meanwhile, or when requests did not meet the cache
    that the arm promises: that is then stored as `invalid`, the arm and a text key; see `vqa.lab.diagnosis.invalid`.
    """
    several = facts.several if facts else None
    changed = several is None and (summary.changed or bool(facts and facts.changed))
    died = "lab.invalid_engine_died" if facts and facts.died_in(arm) else None
    reason = died or load_reason(arm, summary, facts or Facts()) or cache_reason(arm, summary, facts or Facts())
    holds = None if changed or several or reason else summary.holds(require)
    result = {
        "version": RESULT_VERSION,
        "require": str(require),
        "holds": holds,
        "exit_code": exit_code(holds),
        "server_changed": changed,
        **summary_record(summary),
        "facts": facts and facts.to_record(),
    }
    if several is not None:
        return result | {"several": asdict(several)}
    return result | ({"invalid": {"arm": arm, "reason": reason}} if reason else {})


def summary_record(summary: RunSummary) -> dict[str, Json]:
    """Returns one arm over all its questions."""
    return {
        "n": summary.n,
        "ok": summary.ok,
        "failed": summary.failed,
        "cut": summary.cut,
        "level": str(summary.level),
        "visible": [str(level) for level in summary.visible],
        "tar_raw": summary.tar(Level.TEXT),
        "tar_answer": summary.tar(Level.ANSWER),
        "intervals": {str(level): asdict(summary.interval(level)) for level in summary.visible},
        "questions": [question_record(each) for each in summary.questions],
    }


def question_record(summary: Summary) -> dict[str, Json]:
    """Returns one question of an arm; groups by size, the texts of the largest twenty."""
    shown = {level: summary.levels[level] for level in LEVELS if summary.levels[level].visible}
    return {
        "n": summary.n,
        "ok": summary.ok,
        "failed": summary.failed,
        "broken": summary.broken,
        "cut": summary.cut,
        "level": str(summary.level),
        "distinct": {str(level): view.distinct for level, view in shown.items()},
        "modal_share": {str(level): view.modal_share for level, view in shown.items()},
        "groups": [
            {"count": group.count, "first_index": group.first_index, "text": group.text}
            for group in summary.groups[:20]
        ],
        "divergences": [asdict(each) for each in summary.divergences[:20]],
        "drift": summary.drift and asdict(summary.drift),
        "fragile": list(summary.fragile[:200]),
        "leading": summary.leading,
        "latency": asdict(summary.latency),
        "together": summary.together,
        "errors": dict(summary.errors),
        "error_example": summary.error_example,
        "servers": list(summary.servers),
        "prompts": list(summary.prompts),
    }


def diagnosis_record(found: Diagnosis) -> dict[str, Json]:
    """Returns a diagnosis as plain values; `diagnosis_from_record` reads it back."""
    return {
        "verdict": str(found.verdict),
        "values": found.values,
        "findings": [
            {
                "cause": str(each.cause),
                "confidence": str(each.confidence),
                "values": each.values,
                "profiles": list(each.profiles),
            }
            for each in found.findings
        ],
        "evidence": [asdict(row) | {"level": str(row.level), "holds": str(row.holds)} for row in found.evidence],
    }


def finding_of(record: Mapping[str, Json]) -> Finding:
    """Returns one finding of those that `diagnosis_record` wrote."""
    sure = Confidence(record["confidence"])
    return Finding(Cause(record["cause"]), sure, record["values"], tuple(record["profiles"]))


def diagnosis_from_record(record: Json) -> Diagnosis:
    """Returns the diagnosis that `diagnosis_record` wrote."""
    findings = (finding_of(each) for each in record["findings"])
    evidence = (
        Evidence(
            **row
            | {"level": Level(row["level"]), "holds": Level(row["holds"])}
            | {"classes": tuple(AnswerClass(**each) for each in row.get("classes") or ())}
        )
        for row in record["evidence"]
    )
    return Diagnosis(Verdict(record["verdict"]), tuple(findings), tuple(evidence), record["values"])


def spec_from_record(record: Json, store: Store) -> RunSpec:
    """Returns the spec that `vqa.lab.run.header.spec_record` wrote, its images taken from the store.

    Raises:
        StoreError: an image is no longer stored.
    """
    values = dict(record)
    values["questions"] = tuple(values["questions"])
    values["images"] = tuple(store.image(sha256) for sha256 in values["images"])
    values["sampling"] = Sampling(**values["sampling"])
    values["require"] = Level(values["require"])
    return RunSpec(**values)
