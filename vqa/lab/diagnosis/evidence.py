"""The evidence table: from the summaries of a run's arms to one `Evidence` row for each arm, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vqa.lab.diagnosis.cases import CaseView
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.diagnosis.findings import AnswerClass, Evidence
from vqa.lab.diagnosis.premises import arm_kind, arm_load, invalid_reason, together
from vqa.lab.plan.arms import Arm
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summary import RunSummary

INCOMPARABLE = frozenset({Arm.POSITIVE_CONTROL, Arm.REPEAT})


def evidence_rows(arms: Mapping[str, RunSummary], facts: Facts, cases: Sequence[CaseView]) -> tuple[Evidence, ...]:
    """Returns the rows in the order of the arms."""
    return tuple(_row(name, run, facts, cases) for name, run in arms.items())


def _row(name: str, run: RunSummary, facts: Facts, cases: Sequence[CaseView]) -> Evidence:
    level = Level.TOKENS if Level.TOKENS in run.visible and run.ok else Level.TEXT
    cached = [count for each in run.questions for count in each.cached_tokens if count is not None]
    medians = [each.latency.median for each in run.questions if each.latency.median is not None]
    rates = [each.latency.throughput for each in run.questions if each.latency.throughput is not None]
    equal = [same for same in (case.equals_repeat(name) for case in cases) if same is not None]
    return Evidence(
        arm=name,
        n=run.n,
        ok=run.ok,
        failed=run.failed,
        distinct=max((each.levels[level].distinct for each in run.questions), default=0),
        level=level,
        holds=run.level,
        equals_repeat=None if arm_kind(name) in INCOMPARABLE or not equal else all(equal),
        cached_low=min(cached, default=None),
        cached_high=max(cached, default=None),
        median_seconds=sum(medians) / len(medians) if medians else None,
        throughput=sum(rates) / len(rates) if rates else None,
        invalid=invalid_reason(name, run, facts),
        together=together(name, run, facts) if arm_load(name) > 1 else None,
        classes=_classes(name, cases[0]) if cases and arm_kind(name) is not Arm.POSITIVE_CONTROL else (),
    )


def _classes(name: str, case: CaseView) -> tuple[AnswerClass, ...]:
    """Returns which answer came with how much from the cache, by answer; a request that found as much is one class."""
    found = (AnswerClass(cached, case.numbers[label], count) for (cached, label), count in case.classes(name).items())
    return tuple(sorted(found, key=lambda each: (each.answer, each.cached or 0)))
