"""What a certificate stores of each profile and load, and what follows from all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from vqa.answers import Json, Sample
from vqa.lab.diagnosis.diagnose import diagnose
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.diagnosis.premises import arm_kind, arm_load, invalid_reason
from vqa.lab.plan.arms import Arm
from vqa.lab.run.documents import diagnosis_record, exit_code
from vqa.lab.stats.agreement import LEVELS, Level
from vqa.lab.stats.summarize import RunSummarizer, summarize_run
from vqa.lab.stats.summary import RunSummary

LONE = frozenset({Arm.COLD, Arm.AFTER_UNRELATED, Arm.AFTER_SHORTER})
"""Arms whose answers stand beside those in a row: they are lone ones as well."""


def load_rows(prefix: str, arms: Mapping[str, Sequence[Sample]], facts: Facts) -> list[dict[str, Json]]:
    """Returns the rows of the loads, smallest first, each compared with all the smaller ones that were reached.

    `arms` are the samples of each arm of one profile by its own name; `prefix` stands before it in `facts`.
    """
    runs = {name: summarize_run(taken) for name, taken in arms.items()}
    invalid = {name: invalid_reason(prefix + name, run, facts) for name, run in runs.items()}
    lone = [name for name in arms if arm_kind(name) in LONE and invalid[name] is None]
    rows, so_far = [], RunSummarizer()
    for name in sorted(arms, key=arm_load):
        if arm_kind(name) not in {Arm.REPEAT, Arm.CONCURRENT}:
            continue
        tokens: dict[int, int] = {}
        for arm in [] if invalid[name] else [name, *lone] if arm_kind(name) is Arm.REPEAT else [name]:
            for sample in arms[arm]:
                so_far.add(sample)
                if sample.answer is not None and sample.answer.prompt_tokens:
                    tokens[sample.question] = sample.answer.prompt_tokens
        up_to_here = None if invalid[name] else so_far.summary()
        rows.append(load_row(arm_load(name), runs[name], up_to_here, invalid[name], tokens))
    return rows


def causes(prefix: str, arms: Mapping[str, Sequence[Sample]], facts: Facts) -> list[dict[str, Json]]:
    """Returns why answers under a profile differ, as a diagnosis of the same samples finds it."""
    blocks = (replace(block, arm=block.arm.removeprefix(prefix)) for block in facts.blocks)
    deaths = (replace(death, arm=death.arm.removeprefix(prefix)) for death in facts.deaths)
    found = diagnose(arms, replace(facts, blocks=tuple(blocks), deaths=tuple(deaths)))
    return list(diagnosis_record(found)["findings"])


def load_row(
    load: int,
    run: RunSummary,
    up_to_here: RunSummary | None = None,
    invalid: str | None = None,
    lengths: Mapping[int, int] | None = None,
) -> dict[str, Json]:
    """Returns what one load showed: counts of token and logprob sequences, the strongest level, and the cost.

    `up_to_here` is the summary of all answers at this and every smaller load, the lone ones included: what holds and
    the level are of those, since answers that agree with each other at a load, but not with the lone ones, do not
    repeat. `alone` is what this load's own answers say of each other. `invalid` is why the load was not reached.
    `lengths` are the prompt tokens of each question. Of several questions the worst counts; `questions` has each.
    """
    whole = up_to_here or run
    bitwise = [each.levels[Level.BITWISE] for each in run.questions]
    met = [each.together for each in run.questions if each.together is not None]
    moved = [each.drift.epsilon for each in run.questions if each.drift]
    medians = [each.latency.median for each in run.questions if each.latency.median is not None]
    rates = [each.latency.throughput for each in run.questions if each.latency.throughput is not None]
    return {
        "load": load,
        "n": run.n,
        "ok": run.ok,
        "failed": run.failed,
        "level": str(whole.level),
        "holds": {str(level): _holds(whole, run, level, invalid) for level in LEVELS},
        "alone": {str(level): run.holds(level) for level in LEVELS},
        "together": min(met) if len(met) == len(run.questions) else None,
        "invalid": invalid,
        "distinct": max(each.levels[each.display_level].distinct for each in run.questions),
        "logprob_variants": max(view.distinct for view in bitwise) if all(view.visible for view in bitwise) else None,
        "leading": max(each.leading for each in run.questions),
        "epsilon": max(moved, default=None),
        "first_divergence": min((each.index for one in run.questions for each in one.divergences), default=None),
        "median_seconds": sum(medians) / len(medians) if medians else None,
        "throughput": sum(rates) / len(rates) if rates else None,
        "questions": [
            {
                "prompt_tokens": (lengths or {}).get(place),
                "level": str(each.level),
                "distinct": each.levels[each.display_level].distinct,
            }
            for place, each in enumerate(whole.questions)
        ],
    }


def _holds(whole: RunSummary, run: RunSummary, level: Level, invalid: str | None) -> bool | None:
    """Returns whether a level holds up to a load; a load that was not reached refutes and proves nothing."""
    return None if invalid else False if run.holds(level) is False else whole.holds(level)


def differs_from_smaller(load: Mapping[str, Json], require: str) -> bool:
    """Returns whether a load's answers agree with each other on a level, but not with those at smaller loads.

    Certificates of earlier versions did not compare loads, and do not tell.
    """
    return bool((load.get("alone") or {}).get(require)) and load["holds"][require] is False


def lengths(load: Mapping[str, Json]) -> list[tuple[int, str]]:
    """Returns the prompt tokens and the level of each question of a load, where there were several and it is told."""
    told = [
        (int(each["prompt_tokens"]), str(each["level"]))
        for each in load.get("questions") or ()
        if each["prompt_tokens"]
    ]
    return told if len(told) > 1 else []


def control_row(run: RunSummary) -> dict[str, Json]:
    """Returns what the positive control showed, of the question where it showed least.

    `detects` is whether its answers differed, as they must. Where they did not (or it could not be told: None), equal
    answers under this profile prove nothing.
    """
    views = [each.levels[each.display_level] for each in run.questions]
    told = [view.holds for view in views]
    detects = None if None in told else True not in told
    sizes = {"n": min(each.n for each in run.questions), "ok": min(each.ok for each in run.questions)}
    return {**sizes, "distinct": min(view.distinct for view in views), "detects": detects}


def detects(row: Mapping[str, Json]) -> bool:
    """Returns whether a difference would have been seen under a profile; taken for granted of rows without a control.

    Certificates made before there was one have none.
    """
    control = row.get("control")
    return control is None or control["detects"] is True


def certificate_result(rows: Sequence[dict[str, Json]], require: Level) -> dict[str, Json]:
    """Returns what is stored: every profile's row, and whether `require` holds in all that were asked for.

    One that could not run, or whose positive control saw no difference, leaves that open, unless another shows that it
    does not.
    """
    told = [None for row in rows if row["reason"] is not None or not detects(row)]
    told += [load["holds"][str(require)] for row in rows if row["reason"] is None for load in row["loads"]]
    holds = False if False in told else None if not told or None in told else True
    changed = any(row.get("changed") or row.get("several") for row in rows)
    holds = None if changed else holds
    return {
        "version": 1,
        "require": str(require),
        "holds": holds,
        "exit_code": exit_code(holds),
        "profiles": list(rows),
    }
