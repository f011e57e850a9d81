"""What a certificate stores of each profile and load, and what follows from all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vqa.answers import Json, Sample
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.diagnosis.premises import arm_load, invalid_reason
from vqa.lab.run.documents import exit_code
from vqa.lab.stats.agreement import LEVELS, Level
from vqa.lab.stats.summarize import RunSummarizer, summarize_run
from vqa.lab.stats.summary import RunSummary, Summary


def load_rows(prefix: str, arms: Mapping[str, Sequence[Sample]], facts: Facts) -> list[dict[str, Json]]:
    """Returns the rows of the loads, smallest first, each compared with all the smaller ones that were reached.

    `arms` are the samples of each arm of one profile by its own name; `prefix` stands before it in `facts`.
    """
    rows, so_far = [], RunSummarizer()
    for name in sorted(arms, key=arm_load):
        run = summarize_run(arms[name])
        invalid = invalid_reason(prefix + name, run, facts)
        if invalid is None:
            for sample in arms[name]:
                so_far.add(sample)
        rows.append(load_row(arm_load(name), run, so_far.summary() if not invalid else None, invalid))
    return rows


def load_row(
    load: int, run: RunSummary, up_to_here: RunSummary | None = None, invalid: str | None = None
) -> dict[str, Json]:
    """Returns what one load showed: counts of token and logprob sequences, the strongest level, and the cost.

    `up_to_here` is the summary of all answers at this and every smaller load, the lone ones included: what holds and
    the level are of those, since answers that agree with each other at a load, but not with the lone ones, do not
    repeat. `alone` is what this load's own answers say of each other. `invalid` is why the load was not reached.
    """
    summary: Summary = run.questions[0]
    whole: Summary = (up_to_here or run).questions[0]
    bitwise = summary.levels[Level.BITWISE]
    return {
        "load": load,
        "n": summary.n,
        "ok": summary.ok,
        "failed": summary.failed,
        "level": str(whole.level),
        "holds": {str(level): _holds(whole, summary, level, invalid) for level in LEVELS},
        "alone": {str(level): summary.holds(level) for level in LEVELS},
        "together": summary.together,
        "invalid": invalid,
        "distinct": summary.levels[summary.display_level].distinct,
        "logprob_variants": bitwise.distinct if bitwise.visible else None,
        "leading": summary.leading,
        "epsilon": summary.drift.epsilon if summary.drift else None,
        "first_divergence": min((each.index for each in summary.divergences), default=None),
        "median_seconds": summary.latency.median,
        "throughput": summary.latency.throughput,
    }


def _holds(whole: Summary, summary: Summary, level: Level, invalid: str | None) -> bool | None:
    """Returns whether a level holds up to a load; a load that was not reached refutes and proves nothing."""
    return None if invalid else False if summary.holds(level) is False else whole.holds(level)


def differs_from_smaller(load: Mapping[str, Json], require: str) -> bool:
    """Returns whether a load's answers agree with each other on a level, but not with those at smaller loads.

    Certificates of earlier versions did not compare loads, and do not tell.
    """
    return bool((load.get("alone") or {}).get(require)) and load["holds"][require] is False


def control_row(run: RunSummary) -> dict[str, Json]:
    """Returns what the positive control showed: `detects` is whether its answers differed, as they must.

    Where they did not (or it could not be told: None), equal answers under this profile prove nothing.
    """
    summary = run.questions[0]
    view = summary.levels[summary.display_level]
    detects = None if view.holds is None else not view.holds
    return {"n": summary.n, "ok": summary.ok, "distinct": view.distinct, "detects": detects}


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
    changed = any(row.get("changed") for row in rows)
    holds = None if changed else holds
    return {
        "version": 1,
        "require": str(require),
        "holds": holds,
        "exit_code": exit_code(holds),
        "profiles": list(rows),
    }
