"""What a horizon stores of each step and profile, and what follows from the steps; works on stored rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vqa.answers import Json, Sample
from vqa.lab.certificate.rows import detects
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.diagnosis.premises import invalid_reason, together
from vqa.lab.horizon.search import Horizon, Search, Step
from vqa.lab.run.documents import exit_code
from vqa.lab.run.public_header import public
from vqa.lab.stats.agreement import LEVELS, Level
from vqa.lab.stats.summarize import RunSummarizer, summarize_run
from vqa.lab.stats.summary import Summary

VERSION = 1
TOLD = ("fails", "not_seen", "not_reached", "alone", "hidden", "blind")
"""What ends a horizon: a load at which the level failed; none up to the most that was asked; loads that were not
reached; the lone answers themselves; a level that is not shown; a control that saw no difference."""


def step_row(
    load: int, arm: str, lone: Iterable[Sample], samples: Sequence[Sample], facts: Facts, *, salted: bool = True
) -> dict[str, Json]:
    """Returns what one round of a load showed, its answers compared with the lone ones, and what it cost.

    `arm` is the name under which the samples and their facts are stored. `salted` tells that each request had a cache
    salt of its own and must have found nothing in the prefix cache.
    """
    run = summarize_run(samples)
    summary = run.questions[0]
    both = RunSummarizer()
    for sample in (*lone, *samples) if load > 1 else samples:
        both.add(sample)
    whole: Summary = both.summary().questions[0]
    cached = [count for count in summary.cached_tokens if count is not None]
    invalid = invalid_reason(arm, run, facts)
    if salted and max(cached, default=0) > 0:
        invalid = invalid or "lab.invalid_not_cold"
    blocks = facts.of(arm)
    bitwise = summary.levels[Level.BITWISE]
    return {
        "load": load,
        "arm": arm,
        "n": summary.n,
        "ok": summary.ok,
        "failed": summary.failed,
        "holds": {str(level): _holds(whole, level, invalid) for level in LEVELS},
        "fragile": [str(Level.TOKENS)] if whole.holds(Level.TOKENS) and whole.fragile else [],
        "together": together(arm, run, facts) if load > 1 else 1,
        "running": max((block.running for block in blocks if block.running is not None), default=None),
        "looks": sum(block.looks for block in blocks),
        "invalid": invalid,
        "cached_tokens": [min(cached), max(cached)] if cached else None,
        "distinct": summary.levels[summary.display_level].distinct,
        "logprob_variants": bitwise.distinct if bitwise.visible else None,
        "epsilon": whole.drift.epsilon if whole.drift else None,
        "first_divergence": min((each.index for each in whole.divergences), default=None),
        "median_seconds": summary.latency.median,
        "first_token_seconds": summary.latency.first_token_median,
        "throughput": summary.latency.throughput,
        "tokens_per_second": summary.latency.tokens_per_second,
        "facts": public(facts.to_record()),
    }


def _holds(whole: Summary, level: Level, invalid: str | None) -> bool | None:
    """Returns whether a level holds; a load not reached proves nothing, but a difference stays one."""
    holds = whole.holds(level)
    return None if invalid and holds else holds


def search_of(row: Mapping[str, Json]) -> Search:
    """Returns the search as a profile's stored steps leave it."""
    return Search([step_of(step) for step in row["steps"]], row["most"])


def step_of(step: Mapping[str, Json]) -> Step:
    """Returns a stored step as the search needs it."""
    holds = {level: step["holds"][str(level)] for level in LEVELS}
    fragile = frozenset(Level(name) for name in step["fragile"])
    return Step(int(step["load"]), holds, fragile, step["together"], step["invalid"] is None)


def levels_row(row: Mapping[str, Json]) -> dict[str, Json]:
    """Returns for each level how far it holds under a profile.

    `up_to` is the largest load at which it held, or fewer where fewer really ran together; None where nothing can be
    said; `fails_at` is the smallest load at which it did not hold; `end` is one of `TOLD`.
    """
    search = search_of(row)
    found = {}
    for level in LEVELS:
        horizon = search.horizon(level)
        end = _end(horizon, int(row["most"]))
        up_to = horizon.good
        if up_to is not None and end not in {"fails", "alone"} and not detects(row):
            end, up_to = "blind", None
        met = [step["together"] for step in row["steps"] if step["load"] == horizon.good]
        if up_to and (known := [count for count in met if count is not None]):
            up_to = min(up_to, *known)
        found[str(level)] = {"up_to": up_to, "fails_at": horizon.bad, "end": end}
    return found


def _end(horizon: Horizon, most: int) -> str:
    if horizon.good is None:
        return "hidden"
    if horizon.good == 0 and horizon.bad == 1:
        return "alone"
    if horizon.bad is not None:
        return "fails"
    return "not_seen" if horizon.good >= most else "not_reached"


def horizon_result(rows: Sequence[dict[str, Json]], require: Level, most: int, at_least: int = 1) -> dict[str, Json]:
    """Returns what is stored: every profile's steps and levels, and whether `require` holds for `at_least` together.

    A profile that could not run, whose server changed, or whose loads were not reached leaves that open, unless
    another one shows that it does not hold.
    """
    rows = [row | {"levels": levels_row(row)} if row["steps"] else row | {"levels": {}} for row in rows]
    told = [_enough(row, require, at_least) for row in rows]
    holds = False if False in told else None if not told or None in told else True
    return {
        "version": VERSION,
        "require": str(require),
        "most": most,
        "at_least": at_least,
        "holds": holds,
        "exit_code": exit_code(holds),
        "profiles": list(rows),
    }


def _enough(row: Mapping[str, Json], require: Level, at_least: int) -> bool | None:
    level = row["levels"].get(str(require))
    if level is None or row.get("changed") or row.get("several"):
        return None
    if level["fails_at"] is not None and level["fails_at"] <= at_least:
        return False
    if level["up_to"] is None:
        return None
    if level["up_to"] >= at_least:
        return True
    # What held at fewer and failed at more may hold in between, where that could not be told.
    return None
