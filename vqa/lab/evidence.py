"""The evidence table: one row for each arm, and why an arm does not count because its premise did not hold. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vqa.lab.arms import Arm
from vqa.lab.facts import Facts
from vqa.lab.findings import Evidence
from vqa.lab.ladder import Rung
from vqa.lab.summary import RunSummary

if TYPE_CHECKING:
    from vqa.lab.causes import CaseView

INCOMPARABLE = frozenset({Arm.POSITIVE_CONTROL, Arm.REPEAT})


def arm_kind(name: str) -> Arm | None:
    """Returns the kind of an arm from its name, a profile before it left out; None for one that is not known here."""
    name = name.rpartition("/")[2]
    base, _, number = name.rpartition("_")
    plain = base if number.isdigit() else name
    return Arm(plain) if plain in set(Arm) else None


def evidence_rows(arms: Mapping[str, RunSummary], facts: Facts, cases: Sequence[CaseView]) -> tuple[Evidence, ...]:
    """Returns the rows in the order of the arms."""
    return tuple(_row(name, run, facts, cases) for name, run in arms.items())


def _row(name: str, run: RunSummary, facts: Facts, cases: Sequence[CaseView]) -> Evidence:
    rung = Rung.TOKENS if Rung.TOKENS in run.visible and run.ok else Rung.TEXT
    cached = [count for each in run.questions for count in each.cached_tokens if count is not None]
    medians = [each.latency.median for each in run.questions if each.latency.median is not None]
    rates = [each.latency.throughput for each in run.questions if each.latency.throughput is not None]
    equal = [same for same in (case.equals_repeat(name) for case in cases) if same is not None]
    return Evidence(
        arm=name,
        n=run.n,
        ok=run.ok,
        failed=run.failed,
        distinct=max((each.rungs[rung].distinct for each in run.questions), default=0),
        rung=rung,
        holds=run.rung,
        equals_repeat=None if arm_kind(name) in INCOMPARABLE or not equal else all(equal),
        cached_low=min(cached, default=None),
        cached_high=max(cached, default=None),
        median_seconds=sum(medians) / len(medians) if medians else None,
        throughput=sum(rates) / len(rates) if rates else None,
        void=void_reason(name, run, facts),
    )


def void_reason(name: str, run: RunSummary, facts: Facts) -> str | None:
    """Returns the text key of why an arm's premise did not hold, or None when it held.

    Whether a request met a warm cache is read from `cached_tokens`, and where the server does not report it from the
    differences of its counters, as long as nobody else was asking.
    """
    if any(not each.compared for each in run.questions) or not run.questions:
        return "lab.void_too_few"
    if arm_kind(name) is Arm.NEEDLE and not any(block.background_answered for block in facts.of(name)):
        return "lab.void_no_background"
    start = facts.start_of(name)
    if start is not None and not start.fresh:
        return "lab.void_not_restarted"
    return cache_reason(name, run, facts)


def cache_reason(name: str, run: RunSummary, facts: Facts) -> str | None:
    """Returns the text key of why an arm's requests did not meet the cache that its name promises; None if they did.

    One request that met another cache is enough. Arms that promise nothing, and those without an answer, give None.
    """
    kind = arm_kind(name)
    if kind not in {Arm.COLD, Arm.FULLY_COLD, Arm.PROCESS_COLD, Arm.WARM} or not run.ok:
        return None
    cached = [count for each in run.questions for count in each.cached_tokens if count is not None]
    least, most = min(cached, default=0), max(cached, default=0)
    if kind is Arm.WARM and cached and least == 0:
        return "lab.void_not_warm"
    if kind is not Arm.WARM and most > 0:
        return "lab.void_not_cold"
    if len(cached) < run.ok:
        hits = 0 if facts.capabilities.prefix_cache is False else _hits(facts, name)
        if hits is None:
            return "lab.void_cache_unknown"
        least = most = hits
    if kind is Arm.WARM:
        return "lab.void_not_warm" if least == 0 else None
    return "lab.void_not_cold" if most > 0 else None


def _hits(facts: Facts, name: str) -> int | None:
    """Returns the prefix-cache hits of an arm by the server's counters; None where they cannot be told apart."""
    blocks = facts.of(name)
    if not blocks or any(block.counters is None or block.others for block in blocks):
        return None
    return sum(block.counters.prefix_cache_hits for block in blocks if block.counters is not None)
