"""The Diagnose job: plan the arms, run them, conclude; with a managed engine also under another profile."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil

from vqa.answers import Json, Sample
from vqa.errors import EngineError, VQAError
from vqa.lab.diagnosis.diagnose import diagnose, together
from vqa.lab.diagnosis.facts import EngineProcess, Facts, Start
from vqa.lab.diagnosis.findings import Diagnosis, Verdict
from vqa.lab.diagnosis.shown import Shown, offered, records, shown_profiles
from vqa.lab.plan.arms import Arm, ArmPlan, Plan, RunSpec
from vqa.lab.plan.plans import LOADS, SIZE, plan_under_profile
from vqa.lab.run.documents import diagnosis_record, exit_code, summary_record
from vqa.lab.run.failures import CausedError, CheckBrokenOffError
from vqa.lab.run.going_back import then_back
from vqa.lab.run.job import RunJob, Work, plan_on_server
from vqa.lab.run.remedies import by_arm, to_try, try_salts, under_profiles
from vqa.lab.run.restarts import restart_rows
from vqa.lab.stats.summarize import summarize_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vqa.engine.spec import EngineSpec
    from vqa.lab.stats.agreement import Level

COLD_STARTS = 3
AFTER_START = 5
"""Requests after each restart."""


def diagnose_work(
    spec: RunSpec,
    *,
    profile: str | None = None,
    before: str | None = None,
    restarts: bool = False,
    loads: tuple[int, ...] = LOADS,
    size: int = SIZE,
) -> Work:
    """Returns the job of the Diagnose tab.

    `profile` restarts the managed engine under that profile first; `before` is the id of the diagnosis to compare
    with. The engine stays under the profile once the diagnosis has concluded, and goes back to what it ran before when
    that was stopped or broke off. `restarts` adds the process-cold arm: three restarts with the first five requests of
    each; and where the history of the prefix cache is found, restarts under the profiles that should help. `loads` and
    `size` are those of `vqa.lab.plan.plans.plan_diagnose`.
    """

    async def work(job: RunJob) -> Json:
        if profile is None:
            return await conclude(job)
        former = engine_spec(job)
        try:
            await _start_under(job, former, profile)
            return await conclude(job)
        except BaseException as problem:
            with suppress(EngineError):
                await job.go_back(former)
            if isinstance(problem, VQAError) and problem.code != "profile_not_started":
                values = {"profile": profile, "former": former.profile}
                raise CheckBrokenOffError("check_broken_off", problem, **values) from problem
            raise

    async def conclude(job: RunJob) -> Json:
        facts = await _process_cold(job, spec) if restarts else None
        job.live.tell()
        async with job.server() as (client, view):
            plan = await plan_on_server(client, view, spec, job.engine, loads=loads, size=size)
            job.live.expect(plan)
            await job.write_header(plan, view)
            facts = _joined(facts, await job.run(plan, client, view))
            facts = await try_salts(job, plan, client, view, facts, size=size)
        tried = await _under_profiles(job, spec, facts, size=size) if restarts else {}
        samples = by_arm(job.store.samples(job.live.run_id))
        shown = await asyncio.to_thread(_shown, job)
        result = diagnose_result(samples, facts, spec.require, shown) | {"profile": profile or _profile(job)}
        result |= tried
        return result | ({"before": _before(job, before)} if before is not None else {})

    return work


def _shown(job: RunJob) -> tuple[Shown, ...]:
    """Returns what the stored certificates of this run's hardware have shown."""
    made = ((run.id, run.header, run.result) for run in job.store.runs(kind="certify", limit=200))
    return shown_profiles(made, job.store.run(job.live.run_id).header)


def diagnose_result(
    samples: Mapping[str, Sequence[Sample]], facts: Facts, require: Level, shown: Sequence[Shown] = ()
) -> dict[str, Json]:
    """Returns what is stored as the result of a diagnosis; `shown` is what certificates had shown before."""
    first = diagnose(samples, facts)
    found = offered(first, shown)
    everything = together({name: taken for name, taken in samples.items() if name not in found.invalid_arms})
    holds = holds_after(found, everything.holds(require))
    arms = {name: summarize_run(taken) for name, taken in samples.items()}
    restarts = restart_rows(arms, facts)
    result = {
        "version": 1,
        "require": str(require),
        "holds": holds,
        "exit_code": exit_code(holds),
        "verdict": str(found.verdict),
        "level": str(everything.level),
        "diagnosis": diagnosis_record(found),
        "arms": {name: summary_record(run) for name, run in arms.items()},
        "facts": facts.to_record(),
    }
    if told := records(shown, first.profiles):
        result["shown"] = told
    return result | ({"restarts": restarts} if restarts else {})


def holds_after(found: Diagnosis, holds: bool | None) -> bool | None:
    """Returns whether the required level holds, given the verdict: a invalid or blind run tells nothing."""
    blind = {Verdict.INVALID, Verdict.SEVERAL, Verdict.CANNOT_DETECT, Verdict.CANNOT_TELL}
    return None if found.verdict in blind else holds


def engine_spec(job: RunJob) -> EngineSpec:
    """Returns what the managed engine runs now.

    Raises:
        EngineError: there is no managed engine, or it has never been started.
    """
    spec = job.engine.snapshot().spec if job.engine is not None else None
    if spec is None:
        raise EngineError("engine_not_managed")
    return spec


async def _under_profiles(job: RunJob, spec: RunSpec, facts: Facts, *, size: int) -> dict[str, Json]:
    """Tries what a restart can against the history of the prefix cache; then the engine runs what it ran before."""
    former = engine_spec(job)
    profiles = await asyncio.to_thread(to_try, job, former, facts)
    if not profiles:
        return {}
    plan = plan_under_profile(spec, facts.capabilities, size=size)
    return await then_back(job, former, lambda: under_profiles(job, plan, former, profiles))


async def _start_under(job: RunJob, former: EngineSpec, profile: str) -> None:
    """Restarts the engine as `former` says but under another profile.

    Raises:
        CausedError: it did not start under the profile.
    """
    job.live.tell(step="step_profile", profile=profile)
    try:
        await job.restart(former.with_profile(profile))
    except EngineError as problem:
        values = {"profile": profile, "former": former.profile}
        raise CausedError("profile_not_started", problem, **values) from problem


def _profile(job: RunJob) -> str | None:
    spec = job.engine.snapshot().spec if job.engine is not None else None
    return None if spec is None else spec.profile


async def _process_cold(job: RunJob, spec: RunSpec) -> Facts:
    """Restarts the engine three times and asks five cold questions after each start."""
    running = engine_spec(job)
    arm = ArmPlan(Arm.PROCESS_COLD, AFTER_START, salting="fresh_with_image", whole=True)
    plan = Plan(spec, (arm,))
    facts: Facts | None = None
    job.live.expect(plan, rounds=COLD_STARTS)
    for number in range(1, COLD_STARTS + 1):
        name = f"{arm.name}_{number}"
        job.live.tell(step="step_restart", round=number, rounds=COLD_STARTS)
        former = _process(job)
        await job.restart(running)
        start = Start(name, _process(job), former)
        job.live.tell()
        async with job.server() as (client, view):
            found = await job.run(plan, client, view, rename=name)
        facts = _joined(facts, replace(found, starts=(start,)))
    if facts is None:
        raise AssertionError("at least one restart")
    return facts


def _joined(earlier: Facts | None, later: Facts) -> Facts:
    """Returns the facts of both; that the engine was restarted between them is no change of the server."""
    if earlier is None:
        return later
    return replace(
        later,
        blocks=(*earlier.blocks, *later.blocks),
        starts=(*earlier.starts, *later.starts),
        deaths=(*earlier.deaths, *later.deaths),
    )


def _process(job: RunJob) -> EngineProcess | None:
    """Returns the managed engine's process as it is now; None when none is known."""
    pid = job.engine.snapshot().pid if job.engine is not None else None
    if pid is None:
        return None
    try:
        return EngineProcess(pid, psutil.Process(pid).create_time())
    except psutil.Error:
        return EngineProcess(pid)


def _before(job: RunJob, run_id: str) -> Json:
    run = job.store.run(run_id)
    return {"run": run_id, "result": run.result}
