"""What a certificate stores of each profile and load, and what follows from all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vqa.answers import Json
from vqa.lab.run.documents import exit_code
from vqa.lab.stats.agreement import LEVELS, Level
from vqa.lab.stats.summary import RunSummary, Summary


def load_row(load: int, run: RunSummary) -> dict[str, Json]:
    """Returns what one load showed: counts of token and logprob sequences, the strongest level, and the cost."""
    summary: Summary = run.questions[0]
    bitwise = summary.levels[Level.BITWISE]
    return {
        "load": load,
        "n": summary.n,
        "ok": summary.ok,
        "failed": summary.failed,
        "level": str(summary.level),
        "holds": {str(level): summary.holds(level) for level in LEVELS},
        "distinct": summary.levels[summary.display_level].distinct,
        "logprob_variants": bitwise.distinct if bitwise.visible else None,
        "leading": summary.leading,
        "epsilon": summary.drift.epsilon if summary.drift else None,
        "first_divergence": min((each.index for each in summary.divergences), default=None),
        "median_seconds": summary.latency.median,
        "throughput": summary.latency.throughput,
    }


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
