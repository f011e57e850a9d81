"""What each restart of the engine showed, request by request, as plain values for the store and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from vqa.answers import Json
from vqa.lab.diagnosis.cases import CaseView
from vqa.lab.diagnosis.diagnose import case_views
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.diagnosis.premises import arm_kind, invalid_reason
from vqa.lab.plan.arms import Arm
from vqa.lab.stats.summary import RunSummary


def restart_rows(arms: Mapping[str, RunSummary], facts: Facts) -> list[Json]:
    """Returns for each restart its arm, the engine's PID, why it does not count, and the requests of each question.

    A request has its answer (0 is the most frequent one after all restarts, then by first coming; None for a failed
    one), the tokens found in the prefix cache, and its seconds.
    """
    names = [name for name in arms if arm_kind(name) is Arm.PROCESS_COLD]
    cases = case_views(arms, facts) if names else ()
    numbers = [_numbers(case, names) for case in cases]
    return [
        {
            "arm": name,
            "pid": start.process.pid if (start := facts.start_of(name)) and start.process else None,
            "invalid": invalid_reason(name, arms[name], facts),
            "questions": [_requests(case, name, known) for case, known in zip(cases, numbers, strict=True)],
        }
        for name in names
    ]


def _numbers(case: CaseView, names: Sequence[str]) -> dict[Hashable, int]:
    labels = [label for name in names for label in case.labels(name).values()]
    return {label: number for number, (label, _) in enumerate(Counter(labels).most_common())}


def _requests(case: CaseView, name: str, numbers: Mapping[Hashable, int]) -> list[Json]:
    summary = case.arms.get(name)
    if summary is None:
        return []
    answers = {index: numbers[label] for index, label in case.labels(name).items()}
    return [
        {"answer": answers.get(index), "cached": summary.cached_tokens[index], "seconds": seconds}
        for index, seconds in enumerate(summary.seconds)
    ]
