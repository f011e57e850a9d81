"""Measures a certificate: the engines of its profiles, started and asked in turn, side by side or at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Literal

from vqa.answers import Json, Sample
from vqa.engine.computing import computing
from vqa.errors import EngineError
from vqa.lab.certificate.rows import causes, certificate_result, control_row, load_rows
from vqa.lab.certificate.side_by_side import Started, settled, side_by_side
from vqa.lab.certificate.versions import version_rows
from vqa.lab.certificate.wanted import Certified
from vqa.lab.plan.arms import Arm, Plan
from vqa.lab.run.going_back import then_back
from vqa.lab.run.header import first_lines, plan_record
from vqa.lab.run.job import RESTART_SECONDS, RunJob, Work, is_serial, wait_serving
from vqa.lab.run.public_header import public
from vqa.lab.stats.summarize import summarize_run
from vqa.settings import Settings

if TYPE_CHECKING:
    from vqa.engine.spec import EngineSpec
    from vqa.engine.state import Engine

How = Literal["in_turn", "side_by_side", "at_once"]
"""How the profiles' engines are measured: each started and asked in turn, all started and asked in turn, or all
started and asked at the same time."""


def certify_work(plan: Plan, wanted: Sequence[Certified], before: EngineSpec | None, *, how: How = "in_turn") -> Work:
    """Returns the job: each profile's engine with the probe, and the plan's arms on it; then `before` starts again.

    What was measured at once has `at_once` in its result, the number of engines: what an answer costs is another then.
    """

    async def work(job: RunJob) -> Json:
        able = [each for each in wanted if each.reason is None]
        for each in able:
            job.live.expect(plan, f"{each.name}/")

        async def measured() -> dict[str, Json]:
            async with _engines(job, able, together=how != "in_turn") as started:
                rows = await _Measuring(job, plan, started).rows(wanted, at_once=how == "at_once")
            result = certificate_result(rows, plan.spec.require)
            if how == "at_once" and (asked := sum(row["reason"] is None for row in rows)) > 1:
                result["at_once"] = asked
            if any(each.vllm for each in wanted):
                arms = await asyncio.to_thread(_arms, job)
                result["versions"] = version_rows(rows, arms)
            return result

        return await then_back(job, before, measured)

    return work


@asynccontextmanager
async def _engines(job: RunJob, able: Sequence[Certified], *, together: bool) -> AsyncIterator[Started | None]:
    """Yields the engines of all profiles, started side by side; None where each is started when its turn comes."""
    if not together:
        yield None
        return
    job.live.tell(step="step_together", count=len(able))
    await _clear(job)
    specs, own = {each.name: each.spec for each in able}, _own(able)
    async with side_by_side(job.settings, specs, own) as started:
        await settled(started)
        yield started


def _own(wanted: Sequence[Certified]) -> dict[str, Settings]:
    return {each.name: each.settings for each in wanted if each.settings is not None}


async def _clear(job: RunJob) -> None:
    """Stops the engine that runs, so that its memory is free for the others."""
    if job.engine is not None:
        await asyncio.to_thread(job.engine.stop)
        await asyncio.to_thread(job.engine.wait, None, RESTART_SECONDS)


class _Measuring:
    """What is asked under each profile, of engines that were started before or are started in turn."""

    def __init__(self, job: RunJob, plan: Plan, started: Started | None) -> None:
        self._job, self._plan, self._started = job, plan, started
        self._heading = asyncio.Lock()

    async def rows(self, wanted: Sequence[Certified], *, at_once: bool) -> list[dict[str, Json]]:
        """Returns the rows of all profiles, in their order."""
        if not at_once:
            return [await self._row(each, (place, len(wanted))) for place, each in enumerate(wanted, 1)]
        tasks = [asyncio.ensure_future(self._row(each)) for each in wanted]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _row(self, wanted: Certified, place: tuple[int, int] | None = None) -> dict[str, Json]:
        """Returns one profile's row; a profile whose engine does not come up gets the reason and the others go on."""
        reason, command = wanted.reason, wanted.spec.command()
        row: dict[str, Json] = {"name": wanted.name, "command": command, "reason": reason, "loads": []}
        if wanted.vllm is not None:
            row |= {"profile": wanted.spec.profile, "vllm": wanted.vllm}
        if reason is not None:
            return row
        if place is not None:
            self._job.live.tell(step="step_profile_of", profile=wanted.name, round=place[0], rounds=place[1])
        try:
            async with serving_under(self._job, wanted, self._started) as on:
                self._job.live.tell()
                return row | await self._measured(on, wanted)
        except EngineError as problem:
            return row | {"reason": problem.message()}

    async def _measured(self, on: RunJob, wanted: Certified) -> dict[str, Json]:
        """Asks the plan's arms of the engine that serves, and returns what they showed."""
        prefix, job, plan = f"{wanted.name}/", self._job, self._plan
        async with on.server() as (client, view):
            async with self._heading:
                if not job.headed:
                    await on.write_header(plan, view, record=plan_record(plan))
                    job.headed = True
            serial = is_serial(on.engine) or wanted.spec.profile == "serial"
            facts = await on.run(replace(plan, serial=serial), client, view, prefix=prefix)
        taken = await asyncio.to_thread(_taken, job, plan, prefix)
        log = on.engine.snapshot().log_path if on.engine is not None else None
        return {
            "batched_tokens": computing(wanted.spec, first_lines(log))["max_num_batched_tokens"],
            "loads": await asyncio.to_thread(load_rows, prefix, taken, facts),
            "causes": await asyncio.to_thread(causes, prefix, taken, facts),
            "control": control_row(summarize_run(taken[str(Arm.POSITIVE_CONTROL)])),
            "changed": facts.changed,
            "others": facts.others,
            "facts": public(facts.to_record()),
            **({"several": asdict(facts.several)} if facts.several else {}),
        }


def _taken(job: RunJob, plan: Plan, prefix: str) -> dict[str, list[Sample]]:
    """Returns the samples of each arm that was asked under a profile, by the arm's own name."""
    arms = {arm.name: job.store.samples(job.live.run_id, arm=prefix + arm.name) for arm in plan.arms}
    return {name: samples for name, samples in arms.items() if samples}


def _arms(job: RunJob) -> dict[str, list[Sample]]:
    arms: dict[str, list[Sample]] = {}
    for sample in job.store.samples(job.live.run_id):
        arms.setdefault(sample.arm, []).append(sample)
    return arms


@asynccontextmanager
async def serving_under(job: RunJob, wanted: Certified, started: Started | None = None) -> AsyncIterator[RunJob]:
    """Yields the job on the engine of a profile, once that serves.

    One that another Python runs, and that is not among `started`, is started beside the managed one, which is stopped
    before, and ended afterwards.

    Raises:
        EngineError: it did not come up.
    """
    if started is not None:
        yield await _on(job, started[wanted.name], wanted)
    elif wanted.settings is None:
        await job.restart(wanted.spec)
        yield job
    else:
        await _clear(job)
        async with side_by_side(wanted.settings, {wanted.name: wanted.spec}) as alone:
            yield await _on(job, alone[wanted.name], wanted)


async def _on(job: RunJob, beside: tuple[Engine, int] | EngineError, wanted: Certified) -> RunJob:
    if isinstance(beside, EngineError):
        raise beside
    snapshot = await wait_serving(*beside)
    settings, base_url = wanted.settings or job.settings, snapshot.base_url or job.base_url
    return replace(job, engine=beside[0], base_url=base_url, settings=settings)
