"""Whether what an arm promises came about: a cold or a warm cache, a background load, a restart; else why not."""

from __future__ import annotations

from vqa.lab.diagnosis.facts import Facts
from vqa.lab.plan.arms import CACHE_HISTORY, Arm
from vqa.lab.stats.summary import RunSummary


def arm_kind(name: str) -> Arm | None:
    """Returns the kind of an arm from its name, a profile before it left out; None for one that is not known here."""
    name = name.rpartition("/")[2]
    base, _, number = name.rpartition("_")
    plain = base if number.isdigit() else name
    return Arm(plain) if plain in set(Arm) else None


def invalid_reason(name: str, run: RunSummary, facts: Facts) -> str | None:
    """Returns the text key of why an arm's premise did not hold, or None when it held.

    Whether a request met a warm cache is read from `cached_tokens`, and where the server does not report it from the
    differences of its counters, as long as nobody else was asking.
    """
    if facts.died_in(name):
        return "lab.invalid_engine_died"
    if any(not each.compared for each in run.questions) or not run.questions:
        return "lab.invalid_too_few"
    if arm_kind(name) is Arm.BACKGROUND and not any(block.background_answered for block in facts.of(name)):
        return "lab.invalid_no_background"
    start = facts.start_of(name)
    if start is not None and not start.fresh:
        return "lab.invalid_not_restarted"
    return load_reason(name, run, facts) or cache_reason(name, run, facts)


ENOUGH_TOGETHER = 0.75
"""A load was reached when this share of its requests were once running together."""
ENOUGH_LOOKS = 10
"""So often must the server have been looked at for its own count to refute that."""


def arm_load(name: str) -> int:
    """Returns how many requests at a time an arm of that name sends; 1 for those that send one after another."""
    number = name.rpartition("_")[2]
    return int(number) if arm_kind(name) is Arm.CONCURRENT and number.isdigit() else 1


def together(name: str, run: RunSummary, facts: Facts) -> int | None:
    """Returns how many requests of an arm really ran together at most; None where nothing tells.

    Over several questions the least counts. What answers tell (their time from first to last token) is refuted by a
    server that was looked at often and never said it was running so many.
    """
    met = [each.together for each in run.questions]
    known = [count for count in met if count is not None]
    looked = [block for block in facts.of(name) if block.running is not None]
    said = max((block.running or 0 for block in looked), default=None)
    if len(known) < len(met) or not known:
        return said
    if said is not None and sum(block.looks for block in looked) >= ENOUGH_LOOKS:
        return min(*known, said)
    return min(known)


def load_reason(name: str, run: RunSummary, facts: Facts) -> str | None:
    """Returns the text key of why a load was not the one that the arm's name promises; None if it was, or none is.

    An engine that runs one request at a time is under that load when requests wait for it. And what already differs at
    a smaller load than promised is a difference all the same: only agreement proves nothing there.
    """
    load = arm_load(name)
    if load < 2 or facts.capabilities.serial:
        return None
    if any(view.holds is False for each in run.questions for view in each.levels.values()):
        return None
    met = together(name, run, facts)
    return "lab.invalid_not_together" if met is not None and met < ENOUGH_TOGETHER * load else None


def cache_reason(name: str, run: RunSummary, facts: Facts) -> str | None:
    """Returns the text key of why an arm's requests did not meet the cache that its name promises; None if they did.

    One request that met another cache is enough. Arms that promise nothing, and those without an answer, give None.
    """
    kind = arm_kind(name)
    if kind in CACHE_HISTORY:
        return _history_reason(kind, run, facts)
    if kind not in {Arm.COLD, Arm.FULLY_COLD, Arm.PROCESS_COLD, Arm.WARM} or not run.ok:
        return None
    cached = [count for each in run.questions for count in each.cached_tokens if count is not None]
    least, most = min(cached, default=0), max(cached, default=0)
    if kind is Arm.WARM and cached and least == 0:
        return "lab.invalid_not_warm"
    if kind is not Arm.WARM and most > 0:
        return "lab.invalid_not_cold"
    if len(cached) < run.ok:
        hits = 0 if facts.capabilities.prefix_cache is False else _hits(facts, name)
        if hits is None:
            return "lab.invalid_cache_unknown"
        least = most = hits
    if kind is Arm.WARM:
        return "lab.invalid_not_warm" if least == 0 else None
    return "lab.invalid_not_cold" if most > 0 else None


def _history_reason(kind: Arm | None, run: RunSummary, facts: Facts) -> str | None:
    """Returns why a request did not find what was asked before it; None where the server does not tell."""
    cached = [count for each in run.questions for count in each.cached_tokens if count is not None]
    if not cached or facts.capabilities.prefix_cache is False:
        return None
    if kind is not Arm.AFTER_EVICTION:
        return "lab.invalid_nothing_before" if min(cached) == 0 else None
    block, prompt = facts.capabilities.block_size, facts.capabilities.prompt_tokens
    whole = (prompt - 1) // block * block if block and prompt else None
    return "lab.invalid_not_evicted" if whole is not None and max(cached) >= whole else None


def _hits(facts: Facts, name: str) -> int | None:
    """Returns the prefix-cache hits of an arm by the server's counters; None where they cannot be told apart."""
    blocks = facts.of(name)
    if not blocks or any(block.counters is None or block.others for block in blocks):
        return None
    return sum(block.counters.prefix_cache_hits for block in blocks if block.counters is not None)
