"""Which load to ask next so that the horizon of every level is found: doubling, bisecting, repeating what is near."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from vqa.lab.stats.agreement import LEVELS, Level

ROUNDS = 2
"""How often a load is asked at which a level held by little."""


@dataclass(frozen=True)
class Step:
    """What one load showed against the lone answers, in one round."""

    load: int
    holds: Mapping[Level, bool | None]
    """Whether all answers equal the lone ones on each level; None where that could not be told."""
    fragile: frozenset[Level] = frozenset()
    """Levels that held by little: logprobs moved about as far as a token would need to flip."""
    together: int | None = None
    """How many really ran together, at most."""
    reached: bool = True
    """Whether the load was what it says; one that was not proves nothing."""


@dataclass(frozen=True)
class Horizon:
    """How far one level holds."""

    good: int | None
    """The largest load at which it held with none below at which it did not; 0: not even alone; None: not shown."""
    bad: int | None
    """The smallest load at which it did not hold; None: none was seen."""
    open: bool = False
    """Whether loads between or above these could not be told, since they were not reached or requests failed."""


@dataclass(frozen=True)
class Search:
    """All steps so far, up to `most` requests at a time."""

    steps: Sequence[Step]
    most: int
    _rounds: dict[int, list[Step]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Sorts the steps by load."""
        for step in sorted(self.steps, key=lambda each: each.load):
            self._rounds.setdefault(step.load, []).append(step)

    def told(self, load: int, level: Level) -> bool | None:
        """Returns whether a level held in every round of a load that tells; a difference counts in any of them."""
        held = [step.holds.get(level) for step in self._rounds.get(load, ())]
        if False in held:
            return False
        reached = [step.holds.get(level) for step in self._rounds.get(load, ()) if step.reached]
        return True if reached and None not in reached else None

    @property
    def shown(self) -> tuple[Level, ...]:
        """The levels that the lone answers show, strongest first."""
        return tuple(level for level in LEVELS if self.told(1, level) is not None)

    def horizon(self, level: Level) -> Horizon:
        """Returns how far a level holds by the steps so far."""
        if self.told(1, level) is None:
            return Horizon(None, None)
        bad = next((load for load in self._rounds if self.told(load, level) is False), None)
        below = [load for load in self._rounds if bad is None or load < bad]
        good = max((load for load in below if self.told(load, level)), default=0)
        unclear = any(load > good and self.told(load, level) is None for load in below)
        return Horizon(good, bad, unclear)

    @property
    def limit(self) -> int:
        """The most requests at a time that are worth asking: no more than ran together where a load was not reached."""
        limit = self.most
        for load, rounds in self._rounds.items():
            for step in rounds:
                if not step.reached and step.together is not None and step.together < load:
                    limit = min(limit, step.together)
                elif not step.reached or all(step.holds.get(level) is None for level in self.shown):
                    limit = min(limit, load // 2)
        return max(limit, 1)

    def next_load(self) -> int | None:
        """Returns the load to ask next; None when nothing more can be learnt."""
        if not self._rounds:
            return 1
        horizons = {level: self.horizon(level) for level in self.shown}
        alive = [each.good for each in horizons.values() if each.bad is None and each.good]
        if alive and (load := min(2 * max(alive), self.limit)) > max(alive) and load not in self._rounds:
            return load
        for each in horizons.values():
            if each.bad is not None and each.good and each.bad - each.good > 1:
                middle = (each.good + each.bad) // 2
                if middle not in self._rounds:
                    return middle
        return self._by_little(horizons)

    def _by_little(self, horizons: Mapping[Level, Horizon]) -> int | None:
        """Returns a load at which a level held by little and that was not asked often enough yet."""
        for level, each in horizons.items():
            good = each.good or 0
            rounds = self._rounds.get(good, [])
            close = each.bad == good + 1 or any(level in step.fragile for step in rounds)
            if good > 1 and close and len(rounds) < ROUNDS:
                return good
        return None


def doublings(most: int) -> tuple[int, ...]:
    """Returns the loads of the doubling: 1, 2, 4, … and `most` itself."""
    return (*takewhile(lambda load: load < most, (2**power for power in range(most.bit_length()))), most)
