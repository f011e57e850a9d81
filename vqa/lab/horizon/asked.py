"""What a horizon asks: the question, the loads, how many requests of each, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vqa.answers import Json
from vqa.errors import InputError
from vqa.lab.certificate.certify import CONTROLS
from vqa.lab.certificate.wanted import Certified
from vqa.lab.horizon.search import doublings
from vqa.lab.plan.arms import MAX_CONCURRENCY, Arm, ArmPlan, Plan, RunSpec, Salting
from vqa.lab.run.documents import spec_from_record
from vqa.lab.run.header import plan_record

if TYPE_CHECKING:
    from vqa.store import Store

LONE = 16
"""Lone answers under each profile, which all the others are compared with."""
AT_LEAST = 16
"""Requests of a load, where its waves are fewer."""
PRIMING = 2
"""Requests before the first that count: a horizon is not about what the first ones after a start meet."""
SECONDS_PER_REQUEST = 1.5
"""Assumed before anything was asked."""


@dataclass(frozen=True)
class Asked:
    """What a horizon asks, beside the question itself."""

    spec: RunSpec
    most: int = MAX_CONCURRENCY
    waves: int = 2
    """How often a load's number of requests is sent in each round."""
    at_least: int = 1
    """So many together must keep the required level for the run to say that it holds."""
    profiles: tuple[str, ...] = ()
    """Under which the engine is started; none for a server that is asked as it is."""
    model: str | None = None
    """What the engine serves; the probe when None."""
    fields: Mapping[str, Json] = field(default_factory=dict)
    """Further fields of the engine's spec."""

    def check(self) -> Asked:
        """Returns itself if it can be asked; raises InputError otherwise."""
        self.spec.check()
        for name, value, most in (
            ("most", self.most, MAX_CONCURRENCY),
            ("at-least", self.at_least, self.most),
            ("waves", self.waves, 100),
        ):
            if not 1 <= value <= most:
                raise InputError("number_invalid", name=name, value=value, least=1, most=most)
        return self

    def count(self, load: int) -> int:
        """Returns how many requests a round of a load sends."""
        return LONE if load == 1 else max(AT_LEAST, self.waves * load)

    def most_of(self, wanted: Certified | None) -> int:
        """Returns the largest load that is worth asking under a profile: no more than its engine runs together."""
        if wanted is None:
            return self.most
        told = 1 if wanted.name == "serial" else wanted.spec.max_num_seqs
        return min(self.most, told or self.most)

    def cost(self, most: int, seconds_per_request: float = SECONDS_PER_REQUEST) -> tuple[int, int, float]:
        """Returns the fewest and the most requests of one profile, and about how many seconds the fewest take.

        The fewest is the doubling alone, where nothing splits; the most adds, for each of the three levels below which
        answers split on their own, a bisection between the two largest loads and two repeats.
        """
        loads = doublings(most)
        fewest = sum(self.count(load) for load in loads) + CONTROLS + PRIMING
        bisected = max(most // 2 - 1, 0).bit_length() * self.count(most)
        seconds = sum(self._arm(load).seconds(seconds_per_request) for load in loads)
        return fewest, fewest + 3 * (bisected + 2 * self.count(most)), seconds

    def plan(self, load: int, *, salting: Salting, spread: float, serial: bool, seconds: float) -> Plan:
        """Returns the plan of one round of one load."""
        arm = replace(self._arm(load), salting=salting, spread_seconds=spread)
        return Plan(self.spec, (arm,), seconds_per_request=seconds, serial=serial)

    def _arm(self, load: int) -> ArmPlan:
        arm, priming = (Arm.REPEAT, PRIMING) if load == 1 else (Arm.CONCURRENT, 0)
        return ArmPlan(arm, self.count(load), load, priming=priming, whole=True)

    def record(self) -> dict[str, Json]:
        """Returns what is asked as plain values for the store."""
        names = ("most", "waves", "at_least", "model")
        own = {name: getattr(self, name) for name in names} | {
            "profiles": list(self.profiles),
            "fields": dict(self.fields),
        }
        return plan_record(Plan(self.spec, (self._arm(1),))) | {"horizon": own}

    @staticmethod
    def from_record(plan: Mapping[str, Json], store: Store) -> Asked:
        """Returns what `record` wrote.

        Raises:
            StoreError: a picture is no longer stored.
        """
        own = dict(plan["horizon"])
        return Asked(spec_from_record(plan["spec"], store), **own | {"profiles": tuple(own["profiles"])})
