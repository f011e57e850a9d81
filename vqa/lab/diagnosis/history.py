"""The history of the prefix cache as a cause, what was tried against it, and answers that no cause explains."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from vqa.answers import Json, Sample
from vqa.lab.diagnosis.cases import CaseView
from vqa.lab.diagnosis.findings import Cause, Confidence, Finding
from vqa.lab.diagnosis.premises import arm_kind
from vqa.lab.plan.arms import CACHE_HISTORY, REMEDIES, Arm
from vqa.lab.stats.summarize import summarize_run

PROFILES = ("no-prefix-cache", "batch-invariant-triton", "float32")
OF_ITSELF = (Arm.REPEAT, Arm.COLD, Arm.FULLY_COLD, Arm.WARM)
"""Arms whose requests find in the cache nothing but what the very same question left there."""
MADE = (*CACHE_HISTORY, Arm.AS_ASKED)
"""Arms whose requests find what other questions left there: on purpose, or as it happens to be."""
CROWDED = frozenset({Arm.CONCURRENT, Arm.BACKGROUND})
EXPLAINS_ALL = frozenset({Cause.PREPROCESSING, Cause.NOT_GREEDY, Cause.OTHER_TRAFFIC, Cause.UNKNOWN})
"""Causes under which any answer may be another one."""


def cache_history(case: CaseView) -> Finding | None:
    """Other questions that were asked before change a lone answer: it is none of those of the question by itself.

    Confirmed where such a history was made on purpose, gave the same answer each time for as much from the cache, and
    nobody disturbed it.
    """
    if case.settled is None or not case.counts("cold"):
        return None
    usual = _labels(case, OF_ITSELF)
    odd = [name for kind in MADE for name in case.named(kind) if case.counts(name) and _answers(case, name) - usual]
    if not odd:
        return None
    made = [name for name in odd if arm_kind(name) is not Arm.AS_ASKED]
    steady = all(not case.same_cache_split(name, case.labels(name)) for name in made)
    confirmed = bool(made) and steady and not case.disturbed([*made, "repeat"])
    kinds = len(usual | _labels(case, MADE))
    values: dict[str, Json] = {"arms": ", ".join(odd), "kinds": kinds, "met": str(Arm.AS_ASKED) in odd}
    confidence = Confidence.CONFIRMED if confirmed else Confidence.CONSISTENT
    return Finding(Cause.PREFIX_CACHE_HISTORY, confidence, values, PROFILES)


def under_profile(arm: str) -> str:
    """Returns the profile under which a diagnosis tried a remedy in an arm of that name; empty for all other arms."""
    return arm.rpartition("/")[0]


def tried(samples: Mapping[str, Sequence[Sample]]) -> list[dict[str, Json]]:
    """Returns for each remedy that was tried how many answers it gave, how many are the same, and on which level.

    `samples` are those of all arms by name; the arms under one profile are one remedy, named after it.
    """
    taken: dict[str, list[Sample]] = {}
    for name, found in samples.items():
        if remedy := under_profile(name) or (name if arm_kind(name) in REMEDIES else ""):
            taken.setdefault(remedy, []).extend(found)
    runs = ((remedy, summarize_run(found)) for remedy, found in taken.items())
    return [
        {
            "remedy": remedy,
            "n": run.n,
            "same": sum(each.groups[0].count for each in run.questions if each.groups),
            "level": str(run.level),
        }
        for remedy, run in runs
        if run.ok
    ]


def unexplained(cases: Sequence[CaseView], findings: Sequence[Finding]) -> Finding | None:
    """Returns the arms that answered otherwise than the lone requests without any found cause being the reason."""
    causes = {each.cause for each in findings}
    if causes & EXPLAINS_ALL:
        return None
    names = [name for case in cases for name in case.arms if not _explained(case, name, causes)]
    if not names:
        return None
    return Finding(Cause.UNEXPLAINED, Confidence.UNKNOWN, {"arms": ", ".join(dict.fromkeys(names))})


def _explained(case: CaseView, name: str, causes: set[Cause]) -> bool:
    kind = arm_kind(name)
    if kind in {Arm.POSITIVE_CONTROL, Arm.REPEAT} or case.equals_repeat(name) is not False:
        return True
    if kind in CROWDED and Cause.BATCH_COMPOSITION in causes:
        return True
    if kind is Arm.PROCESS_COLD and Cause.START_UP in causes:
        return True
    known: set[Hashable] = {case.settled}
    if causes & {Cause.COLD_PREFIX_CACHE, Cause.PREFIX_CACHE_HISTORY}:
        known |= _labels(case, OF_ITSELF)
    if Cause.PREFIX_CACHE_HISTORY in causes:
        known |= _labels(case, (*MADE, *REMEDIES))
    return _answers(case, name) <= known


def _labels(case: CaseView, kinds: Sequence[Arm]) -> set[Hashable]:
    return {label for kind in kinds for name in case.named(kind) for label in case.labels(name).values()}


def _answers(case: CaseView, name: str) -> set[Hashable]:
    return set(case.labels(name).values())
