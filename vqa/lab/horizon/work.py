"""The horizon as a job of the lab: each profile's engine, one load after another, until the search knows enough."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from vqa.answers import Json, Sample
from vqa.client import Client
from vqa.lab.certificate.certify import CONTROLS, SPREAD_SECONDS
from vqa.lab.certificate.in_turn import InTurn, empty_row, former_row, gone_on, work_in_turn
from vqa.lab.certificate.rows import control_row
from vqa.lab.certificate.wanted import Certified
from vqa.lab.horizon.asked import SECONDS_PER_REQUEST, Asked
from vqa.lab.horizon.rows import horizon_result, search_of, step_row
from vqa.lab.plan.arms import Arm, ArmPlan, Plan, Salting
from vqa.lab.plan.plans import CONTROL_TEMPERATURE
from vqa.lab.run.job import RunJob, Work, is_serial
from vqa.lab.run.server import ServerView
from vqa.lab.stats.agreement import LEVELS, level_key, shown_levels
from vqa.lab.stats.summarize import summarize_run

if TYPE_CHECKING:
    from vqa.engine.spec import EngineSpec


def horizon_work(
    asked: Asked,
    wanted: Sequence[Certified] | None,
    before: EngineSpec | None = None,
    *,
    kept: Mapping[str, Json] | None = None,
) -> Work:
    """Returns the job: under each profile one load after another; then `before` starts again.

    Without `wanted` the server is asked as it is. `kept` is the result of a run that goes on: its steps are not asked
    again where the lone answers are still the same.
    """
    return work_in_turn(
        wanted,
        before,
        lambda each: _row(asked, each, kept),
        lambda rows: horizon_result(rows, asked.spec.require, asked.most, asked.at_least),
        lambda job, row, by_now: _Profile(job, asked, row, by_now),
    )


def _row(asked: Asked, wanted: Certified | None, kept: Mapping[str, Json] | None) -> dict[str, Json]:
    """Returns a profile's row as it is before its engine starts, with the steps that a former process left."""
    former = former_row(wanted, kept)
    row = empty_row(wanted) | {"most": asked.most_of(wanted), "steps": []}
    if former is None or former["most"] != row["most"]:
        return row
    return gone_on(row, former, steps=former["steps"])


class _Profile(InTurn[Asked]):
    """The steps under one profile; what is known is stored after every step."""

    def __init__(self, job: RunJob, asked: Asked, row: dict[str, Json], by_now: Callable[[], dict[str, Json]]) -> None:
        super().__init__(job, asked, row, by_now)
        self._seconds = SECONDS_PER_REQUEST

    async def _ask(self, client: Client, view: ServerView) -> None:
        capabilities = await view.capabilities(managed=self._job.engine is not None, learn=True)
        salting: Salting = "fresh" if capabilities.vllm else "none"
        if self._row["steps"]:
            await self._begin_again(client, view, salting)
        while (load := search_of(self._row).next_load()) is not None:
            await self._step(load, client, view, salting)
        if self._row["control"] is None:
            await self._control(client, view, salting)
        self._row["complete"] = True
        await self._keep()

    async def _step(self, load: int, client: Client, view: ServerView, salting: Salting) -> None:
        row = self._row
        known = {each["load"] for each in row["steps"]}
        self._job.live.tell(step="step_horizon", profile=row["name"], load=load, known=len(known))
        round_ = 1 + sum(each["load"] == load for each in row["steps"])
        prefix = self._prefix(round_)
        lone = await asyncio.to_thread(self._samples, row["steps"][0]["arm"]) if row["steps"] else []
        quickest = row["steps"][0]["median_seconds"] if row["steps"] else None
        # Over more than half a lone answer the first ones would be through before the last begin.
        spread = min(SPREAD_SECONDS, (quickest or 0.0) / 2)
        plan = self._asked.plan(
            load, salting=salting, spread=spread, serial=is_serial(self._job.engine), seconds=self._seconds
        )
        arm = prefix + plan.arms[0].name
        self._job.live.expect(plan, prefix)
        facts = await self._job.run(plan, client, view, prefix=prefix)
        samples = await asyncio.to_thread(self._samples, arm)
        step = step_row(load, arm, lone, samples, facts, salted=salting == "fresh")
        self._seconds = row["steps"][0]["median_seconds"] or self._seconds if row["steps"] else self._seconds
        row["steps"] = [*row["steps"], step]
        row["changed"] = row["changed"] or facts.changed
        if facts.several is not None:
            row["several"] = asdict(facts.several)
        await self._keep()

    async def _begin_again(self, client: Client, view: ServerView, salting: Salting) -> None:
        """Asks the lone question in this process too; where its answers are others, the former steps are let go."""
        prefix = self._prefix(1)
        plan = self._asked.plan(1, salting=salting, spread=0.0, serial=False, seconds=self._seconds)
        self._job.live.expect(plan, prefix)
        facts = await self._job.run(plan, client, view, prefix=prefix)
        arm = prefix + plan.arms[0].name
        before = await asyncio.to_thread(self._samples, self._row["steps"][0]["arm"])
        samples = await asyncio.to_thread(self._samples, arm)
        if _keys(before) != _keys(samples):
            self._row["steps"] = [step_row(1, arm, (), samples, facts, salted=salting == "fresh")]

    async def _control(self, client: Client, view: ServerView, salting: Salting) -> None:
        control = ArmPlan(
            Arm.POSITIVE_CONTROL, CONTROLS, salting=salting, temperature=CONTROL_TEMPERATURE, whole=True,
            varied_seeds=salting == "none",
        )  # fmt: skip
        prefix = self._prefix(1)
        plan = Plan(self._asked.spec, (control,), seconds_per_request=self._seconds)
        self._job.live.expect(plan, prefix)
        await self._job.run(plan, client, view, prefix=prefix)
        samples = await asyncio.to_thread(self._samples, prefix + control.name)
        self._row["control"] = control_row(summarize_run(samples))

    def _prefix(self, round_: int) -> str:
        """Returns what stands before an arm's name: the profile, then session and round where there are several."""
        parts = [self._row["name"]]
        if self._row["sessions"] > 1:
            parts.append(f"session {self._row['sessions']}")
        if round_ > 1:
            parts.append(f"round {round_}")
        return "/".join(parts) + "/"


def _keys(samples: Sequence[Sample]) -> list[set[bytes]]:
    """Returns the distinct answers on every level that all of them show."""
    answers = [sample.answer for sample in samples if sample.answer is not None]
    shown = [level for level in LEVELS if all(level in shown_levels(answer) for answer in answers)]
    return [{level_key(answer, level) for answer in answers} for level in shown]
