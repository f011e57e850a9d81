"""The horizon as a job of the lab: each profile's engine, one load after another, until the search knows enough."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from vqa.answers import Json, Sample
from vqa.client import Client
from vqa.errors import EngineError
from vqa.lab.certificate.certify import CONTROLS, SPREAD_SECONDS, Certified, serving_under
from vqa.lab.certificate.rows import control_row
from vqa.lab.horizon.asked import SECONDS_PER_REQUEST, Asked
from vqa.lab.horizon.rows import horizon_result, search_of, step_row
from vqa.lab.plan.arms import Arm, ArmPlan, Plan, Salting
from vqa.lab.plan.plans import CONTROL_TEMPERATURE
from vqa.lab.run.going_back import then_back
from vqa.lab.run.job import RunJob, Work, is_serial
from vqa.lab.run.public_header import public
from vqa.lab.run.server import ServerView
from vqa.lab.stats.agreement import LEVELS, level_key, shown_levels
from vqa.lab.stats.summarize import summarize_run

if TYPE_CHECKING:
    from vqa.engine.spec import EngineSpec

ATTACHED = "as-is"
"""The name of the only profile of a server that is not restarted."""


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

    async def work(job: RunJob) -> Json:
        rows = [_row(asked, each, kept) for each in (wanted if wanted is not None else (None,))]
        job.partial = lambda: _result(job, asked, rows)

        async def measured() -> dict[str, Json]:
            for place, row in enumerate(rows, 1):
                each = None if wanted is None else wanted[place - 1]
                await _Profile(job, asked, row, rows).measure(each, (place, len(rows)))
            return _result(job, asked, rows)

        return await (measured() if wanted is None else then_back(job, before, measured))

    return work


def _row(asked: Asked, wanted: Certified | None, kept: Mapping[str, Json] | None) -> dict[str, Json]:
    """Returns a profile's row as it is before its engine starts, with the steps that a former process left."""
    name = ATTACHED if wanted is None else wanted.name
    former = next((row for row in (kept or {}).get("profiles") or () if row["name"] == name), None)
    row: dict[str, Json] = {
        "name": name,
        "command": None if wanted is None else public({"command": wanted.spec.command()})["command"],
        "reason": None if wanted is None else wanted.reason,
        "most": asked.most_of(wanted),
        "steps": [],
        "control": None,
        "changed": False,
        "complete": False,
        "sessions": 1,
    }
    if former is None or former["most"] != row["most"]:
        return row
    return row | {key: former[key] for key in ("steps", "control", "changed", "complete")} | {
        "sessions": former["sessions"] + (not former["complete"])
    }  # fmt: skip


def _result(job: RunJob, asked: Asked, rows: Sequence[dict[str, Json]]) -> dict[str, Json]:
    """Returns what is to be told by now; a run that did not come to its end says so."""
    result = horizon_result(rows, asked.spec.require, asked.most, asked.at_least)
    if all(row["complete"] or row["reason"] for row in rows):
        return result
    done = job.live.snapshot().done
    early = {"done": done, "total": max(done, job.live.snapshot().total), "by_hand": job.live.stop_wanted}
    holds = False if result["holds"] is False else None
    return result | {"stopped": early, "holds": holds, "exit_code": 2 if holds is None else 1}


class _Profile:
    """The steps under one profile; what is known stands in the row, and is stored after every step."""

    def __init__(self, job: RunJob, asked: Asked, row: dict[str, Json], rows: Sequence[dict[str, Json]]) -> None:
        self._job, self._asked, self._row, self._rows = job, asked, row, rows
        self._seconds = SECONDS_PER_REQUEST

    async def measure(self, wanted: Certified | None, place: tuple[int, int]) -> None:
        """Fills the row; a profile whose engine does not come up, or dies, gets the reason and the others go on."""
        row, job = self._row, self._job
        if row["reason"] is not None or row["complete"]:
            return
        try:
            if wanted is not None:
                job.live.tell(step="step_profile_of", profile=wanted.name, round=place[0], rounds=place[1])
                await serving_under(job, wanted)
            async with job.server() as (client, view):
                if not job.headed:
                    await job.write_header(Plan(self._asked.spec, ()), view, record=self._asked.record())
                await self._search(client, view)
        except EngineError as problem:
            if wanted is None:
                raise
            row["reason"] = problem.message()
            await self._keep()

    async def _search(self, client: Client, view: ServerView) -> None:
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

    def _samples(self, arm: str) -> list[Sample]:
        return self._job.store.samples(self._job.live.run_id, arm=arm)

    async def _keep(self) -> None:
        """Stores what is known by now, so that a process that dies loses no more than the step under way."""
        result = _result(self._job, self._asked, self._rows)
        await asyncio.to_thread(self._job.store.update_run, self._job.live.run_id, result=result)


def _keys(samples: Sequence[Sample]) -> list[set[bytes]]:
    """Returns the distinct answers on every level that all of them show."""
    answers = [sample.answer for sample in samples if sample.answer is not None]
    shown = [level for level in LEVELS if all(level in shown_levels(answer) for answer in answers)]
    return [{level_key(answer, level) for answer in answers} for level in shown]
