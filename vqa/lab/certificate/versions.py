"""What another vLLM changes: the answers of two engines under the same profile, condition by condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from vqa.answers import Json, Sample
from vqa.lab.plan.arms import Arm
from vqa.lab.stats.agreement import LEVELS, Level, level_key, shown_levels


def distinct(samples: Iterable[Sample]) -> set[tuple[int, bytes]]:
    """Returns the answers that differ in tokens (in text where no tokens are shown), each with its question's place."""
    found = set()
    for sample in samples:
        if sample.answer is not None:
            level = Level.TOKENS if Level.TOKENS in shown_levels(sample.answer) else Level.TEXT
            found.add((sample.question, level_key(sample.answer, level)))
    return found


def same_on(one: Sequence[Sample], other: Sequence[Sample]) -> Level:
    """Returns the strongest level on which both gave the same set of answers to each question; NONE for none.

    Where an engine answers in several ways by itself, another that does it in the same ways changes nothing.
    """
    answers = [[(each.question, each.answer) for each in side if each.answer is not None] for side in (one, other)]
    if not all(answers):
        return Level.NONE
    for level in LEVELS:
        if all(level in shown_levels(answer) for side in answers for _, answer in side):
            keys = [{(question, level_key(answer, level)) for question, answer in side} for side in answers]
            if keys[0] == keys[1]:
                return level
    return Level.NONE


def version_rows(profiles: Sequence[Mapping[str, Json]], arms: Mapping[str, Sequence[Sample]]) -> list[dict[str, Json]]:
    """Returns for each pair of engines under one profile what both answered; none where one engine was asked.

    `profiles` are the rows of a certificate, `arms` its samples by their whole names. Of each condition: the number
    of different answers before and now, of those that both gave, and the level on which both gave the same ones.
    """
    found = []
    by_profile: dict[str, list[Mapping[str, Json]]] = {}
    for row in profiles:
        if row.get("vllm") and row["reason"] is None:
            by_profile.setdefault(str(row["profile"]), []).append(row)
    for profile, rows in by_profile.items():
        for before, now in pairwise(rows):
            conditions = _conditions(f"{before['name']}/", f"{now['name']}/", arms)
            found.append({"profile": profile, "before": before["vllm"], "now": now["vllm"], "conditions": conditions})
    return found


def _conditions(before: str, now: str, arms: Mapping[str, Sequence[Sample]]) -> list[dict[str, Json]]:
    found = []
    for name, earlier in arms.items():
        arm = name.removeprefix(before)
        later = arms.get(now + arm)
        if arm == name or later is None or arm == str(Arm.POSITIVE_CONTROL):
            continue
        one, other = distinct(earlier), distinct(later)
        shared, level = len(one & other), str(same_on(earlier, later))
        found.append({"arm": arm, "before": len(one), "now": len(other), "shared": shared, "level": level})
    return found
