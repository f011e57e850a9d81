"""From the samples of several arms to a verdict, its causes, how sure they are, and what helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from vqa.answers import Json, Sample
from vqa.lab.diagnosis.cases import CaseView
from vqa.lab.diagnosis.causes import find_causes
from vqa.lab.diagnosis.evidence import evidence_rows
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.diagnosis.findings import Cause, Confidence, Diagnosis, Evidence, Finding, Verdict
from vqa.lab.diagnosis.history import tried, under_profile, unexplained
from vqa.lab.diagnosis.premises import arm_kind
from vqa.lab.plan.arms import Arm
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summarize import summarize_run
from vqa.lab.stats.summary import RunSummary, Summary

__all__ = ["Cause", "Confidence", "Diagnosis", "Evidence", "Finding", "Verdict", "diagnose", "together"]


def diagnose(samples: Mapping[str, Sequence[Sample]], facts: Facts) -> Diagnosis:
    """Returns what the samples of all arms, keyed by arm name, and the facts beside them allow to say.

    Those of a profile that was tried as a remedy (`float32/cold`) only tell whether it helps.
    """
    remedies = tried(samples)
    samples = {name: taken for name, taken in samples.items() if not under_profile(name)}
    arms = {name: summarize_run(taken) for name, taken in samples.items()}
    evidence = evidence_rows(arms, facts, case_views(arms, facts))
    valid = {row.arm: arms[row.arm] for row in evidence if row.invalid is None}
    # What an invalid arm's requests answered says nothing about the condition that its name promises.
    cases = case_views(valid, facts)
    everything = together({name: samples[name] for name in valid})
    asked = together(samples)
    if facts.several is not None:
        n = facts.several.n
        differs = any(case.differs for case in cases)
        causes = find_causes(cases) if differs else ()
        findings = tuple(_of_several(each, n) for each in causes if each.cause is not Cause.UNKNOWN)
        return Diagnosis(Verdict.SEVERAL, findings, evidence, _values(asked, arms) | {"servers": n})
    if facts.changed or asked.changed:
        what = facts.what_changed(asked.servers) or "/metrics"
        finding = Finding(Cause.SERVER_CHANGED, Confidence.CONFIRMED, {"what": what})
        return Diagnosis(Verdict.INVALID, (finding,), evidence, _values(asked, arms))
    findings = find_causes(cases)
    failed = together({name: taken for name, taken in samples.items() if not facts.died_in(name)}).failed
    verdict = _verdict(valid, everything, cases, failed=failed, undecided=bool(undecided(evidence)))
    findings = tuple(_with_tried(each, remedies) for each in findings)
    if rest := unexplained(cases, findings):
        findings = (*findings, rest)
    if verdict is Verdict.DIFFERS and not findings:
        findings = (Finding(Cause.UNKNOWN, Confidence.UNKNOWN, {}),)
    if verdict is Verdict.DRIFT:
        findings = (_drift_finding(everything),)
    if verdict not in {Verdict.DIFFERS, Verdict.DRIFT}:
        findings = ()
    values = _values(everything, valid) | {"failed": asked.failed, "asked": asked.n}
    return Diagnosis(verdict, findings, evidence, values)


def _with_tried(finding: Finding, remedies: list[dict[str, Json]]) -> Finding:
    shown = remedies if finding.cause is Cause.PREFIX_CACHE_HISTORY else []
    return replace(finding, values=finding.values | {"tried": shown}) if shown else finding


def _of_several(finding: Finding, servers: int) -> Finding:
    """Returns the finding as sure as it can be where another server may have given the other answer.

    No profile is offered: what helps against a cause that may not be there is to ask one server.
    """
    sure = finding.confidence is Confidence.CONFIRMED
    confidence = Confidence.CONSISTENT if sure else finding.confidence
    return replace(finding, confidence=confidence, values=finding.values | {"servers": servers}, profiles=())


DECISIVE = (
    frozenset({Arm.REPEAT}),
    frozenset({Arm.POSITIVE_CONTROL}),
    frozenset({Arm.COLD, Arm.FULLY_COLD, Arm.WARM}),
    frozenset({Arm.CONCURRENT, Arm.BACKGROUND}),
)
"""Questions that a diagnosis answers: in a row, can a difference be seen, does the cache matter, does a load matter."""


def undecided(evidence: Sequence[Evidence]) -> tuple[str, ...]:
    """Returns the arms of every question that was asked but answered by no valid arm: without it nothing is said."""
    found: list[str] = []
    for kinds in DECISIVE:
        rows = [row for row in evidence if arm_kind(row.arm) in kinds]
        if rows and all(row.invalid for row in rows):
            found += [row.arm for row in rows]
    return tuple(found)


def together(samples: Mapping[str, Sequence[Sample]]) -> RunSummary:
    """Returns one summary over all arms that are meant to agree: not the positive control, nor remedies by profile."""
    agree = (
        taken
        for name, taken in samples.items()
        if arm_kind(name) is not Arm.POSITIVE_CONTROL and not under_profile(name)
    )
    return summarize_run(sample for taken in agree for sample in taken)


def case_views(arms: Mapping[str, RunSummary], facts: Facts) -> tuple[CaseView, ...]:
    """Returns for each question its summaries by arm; an arm without that question is left out."""
    count = max((len(run.questions) for run in arms.values()), default=0)
    return tuple(
        CaseView(case, {name: run.questions[case] for name, run in arms.items() if case < len(run.questions)}, facts)
        for case in range(count)
    )


def _verdict(
    arms: Mapping[str, RunSummary], everything: RunSummary, cases: Sequence[CaseView], *, failed: int, undecided: bool
) -> Verdict:
    if any(case.differs for case in cases):
        return Verdict.DIFFERS
    repeats = [run for name, run in arms.items() if arm_kind(name) is Arm.REPEAT]
    compared = any(each.compared for run in repeats for each in run.questions)
    if not compared or failed or undecided:
        return Verdict.CANNOT_TELL
    if any(each.drift is not None and each.drift.epsilon > 0 for each in everything.questions):
        return Verdict.DRIFT  # whatever the control says: this difference was seen
    controls = [run for name, run in arms.items() if arm_kind(name) is Arm.POSITIVE_CONTROL]
    if controls:
        told = [_display(each).holds for run in controls for each in run.questions]
        if all(holds is None for holds in told):
            return Verdict.CANNOT_TELL
        if not any(holds is False for holds in told):
            return Verdict.CANNOT_DETECT
    return Verdict.IDENTICAL


def _display(summary: Summary) -> Json:
    return summary.levels[summary.display_level]


def _drift_finding(everything: RunSummary) -> Finding:
    worst = max(
        (each for each in everything.questions if each.drift is not None),
        key=lambda each: each.drift.epsilon if each.drift else 0.0,
    )
    fragile = [position for each in everything.questions for position in each.fragile]
    values = {
        "epsilon": f"{worst.drift.epsilon:.2g}" if worst.drift else "0",
        "position": worst.drift.position if worst.drift else 0,
        "fragile": len(fragile),
        "token": min(fragile) if fragile else "–",
    }
    return Finding(Cause.DRIFT, Confidence.CONFIRMED, values, ("batch-invariant-triton", "serial"))


def _values(everything: RunSummary, arms: Mapping[str, RunSummary]) -> dict[str, Json]:
    level = Level.TOKENS if Level.TOKENS in everything.visible else Level.TEXT
    interval = everything.interval(level)
    moved = [each.drift.epsilon for each in everything.questions if each.drift is not None]
    return {
        "n": everything.n,
        "ok": everything.ok,
        "failed": everything.failed,
        "arms": sum(arm_kind(name) is not Arm.POSITIVE_CONTROL for name in arms),
        "questions": len(everything.questions),
        "distinct": max((_display(each).distinct for each in everything.questions), default=0),
        "bound": f"{100 * interval.high:.1f}%",
        "epsilon": f"{max(moved, default=0.0):.2g}",
        "level": str(everything.level),
    }
