"""What helps against the history of the prefix cache, tried where that was found: salts, and profiles by a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vqa.answers import Json, Sample
from vqa.engine.machine import Machine
from vqa.engine.profiles import PROFILES
from vqa.errors import EngineError
from vqa.lab.diagnosis.diagnose import diagnose
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.diagnosis.findings import Cause, Finding
from vqa.lab.plan.arms import Plan
from vqa.lab.plan.plans import plan_remedies
from vqa.lab.run.job import RunJob

if TYPE_CHECKING:
    from vqa.client import Client
    from vqa.engine.spec import EngineSpec
    from vqa.lab.run.server import ServerView


def by_arm(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Returns samples by the names of their arms, each in the given order."""
    arms: dict[str, list[Sample]] = {}
    for sample in samples:
        arms.setdefault(sample.arm, []).append(sample)
    return arms


def _history(samples: Mapping[str, Sequence[Sample]], facts: Facts) -> Finding | None:
    found = diagnose(samples, facts).findings
    return next((each for each in found if each.cause is Cause.PREFIX_CACHE_HISTORY), None)


async def try_salts(job: RunJob, plan: Plan, client: Client, view: ServerView, facts: Facts, *, size: int) -> Facts:
    """Tries cache salts against the history of the prefix cache where that was found; returns all facts."""
    samples = by_arm(await asyncio.to_thread(job.store.samples, job.live.run_id))
    if await asyncio.to_thread(_history, samples, facts) is None:
        return facts
    counts = [each.answer.prompt_tokens for each in samples["repeat"] if each.answer is not None]
    known = replace(facts.capabilities, prompt_tokens=max((count for count in counts if count), default=None))
    known = replace(known, seconds_per_request=plan.seconds_per_request)
    more = plan_remedies(plan.spec, known, size=size)
    job.live.expect(more)
    after = await job.run(more, client, view)
    return replace(
        after,
        capabilities=known,
        blocks=(*facts.blocks, *after.blocks),
        before=facts.before,
        restarted=facts.restarted or after.restarted,
        starts=facts.starts,
        deaths=(*facts.deaths, *after.deaths),
        retried=facts.retried + after.retried,
    )


def to_try(job: RunJob, running: EngineSpec, facts: Facts) -> list[str]:
    """Returns the profiles that should help against a history that was found and that this machine can run.

    Empty where none was found, or where several servers answer.
    """
    if facts.several is not None:
        return []
    found = _history(by_arm(job.store.samples(job.live.run_id)), facts)
    machine = Machine.load(job.settings)
    wanted = found.profiles if found is not None else ()
    return [name for name in wanted if name != running.profile and PROFILES[name].available(machine) is None]


async def under_profiles(job: RunJob, plan: Plan, former: EngineSpec, profiles: Sequence[str]) -> dict[str, Json]:
    """Restarts the engine under each profile and asks the plan there; what was answered is stored as `profile/arm`.

    Returns under `untried` the profiles that did not start, each with the reason.
    """
    untried = []
    for name in profiles:
        job.live.expect(plan, f"{name}/")
    for place, name in enumerate(profiles, 1):
        job.live.tell(step="step_profile_of", profile=name, round=place, rounds=len(profiles))
        try:
            await job.restart(former.with_profile(name))
        except EngineError as problem:
            untried.append({"remedy": name, "reason": problem.message()})
            continue
        job.live.tell()
        async with job.server() as (client, view):
            await job.run(plan, client, view, prefix=f"{name}/")
    return {"untried": untried} if untried else {}
