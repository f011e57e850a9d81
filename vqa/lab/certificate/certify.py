"""The engine certificate: which profiles keep the sensitivity probe's answers identical under which load, at what cost.

It measures the engine and this hardware, not anybody's model: the probe's next-token margins are so small that any
change in the numbers flips tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from vqa.answers import Json, Sample, Sampling
from vqa.engine.machine import Machine
from vqa.engine.profiles import PROFILES, TRIALS
from vqa.errors import EngineError, InputError, ModelError
from vqa.lab.certificate.rows import causes, certificate_result, control_row, load_rows
from vqa.lab.certificate.side_by_side import Started, neighbours, settled, side_by_side
from vqa.lab.plan.arms import MAX_CONCURRENCY, Arm, ArmPlan, Plan, RunSpec
from vqa.lab.plan.plans import CONTROL_TEMPERATURE
from vqa.lab.run.going_back import then_back
from vqa.lab.run.header import plan_record
from vqa.lab.run.job import RESTART_SECONDS, RunJob, Work, is_serial, wait_serving
from vqa.lab.run.manager import RunManager
from vqa.lab.run.public_header import public
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summarize import summarize_run
from vqa.media.images import load_image
from vqa.models.probe import PROBE_ID, PROBE_LONG_QUESTION, PROBE_MAX_TOKENS, PROBE_QUESTION, ensure_probe, probe_image
from vqa.models.serve import plan_start
from vqa.settings import Settings

if TYPE_CHECKING:
    from vqa.engine.spec import EngineSpec
    from vqa.engine.state import Engine

LOADS = (1, 8)
IN_A_ROW = 10
AT_LEAST = 16
WAVES = 4
"""Of each question: with both of them twice as much."""
FEW = 4
"""Requests in each arm that tells why the lone answers differ."""
SECONDS_PER_REQUEST = 1.5
CONTROLS = 4
"""Requests of the positive control under each profile."""
SPREAD_SECONDS = 0.8
"""Measured on two cores with 48 requests 8 at a time: begun together the probe split in 3 of 4 rounds, spread over 0.6
or 1.6 s in 8 of 8."""


@dataclass(frozen=True)
class Certified:
    """One profile that is to be measured, or why it cannot be."""

    name: str
    spec: EngineSpec
    reason: str | None = None


def certificate_spec(*, require: Level = Level.TOKENS, name: str = "") -> RunSpec:
    """Returns what the probe is asked of a picture of coloured squares, 128 greedy tokens: a short and a long question.

    A short prompt cannot show everything: on a CPU cold and warm answers were equal up to 1,029 tokens, and unlike from
    1,181 to 1,713 on.
    """
    sampling = Sampling(temperature=0.0, max_tokens=PROBE_MAX_TOKENS, ignore_eos=True)
    image = load_image(probe_image(), name="probe.png")
    return RunSpec(
        (PROBE_QUESTION, PROBE_LONG_QUESTION), (image,), n=IN_A_ROW, sampling=sampling, require=require, name=name
    )


def able_profiles(settings: Settings) -> list[str]:
    """Returns the profiles that can run on this machine."""
    machine = Machine.load(settings)
    return [name for name, profile in PROFILES.items() if profile.available(machine) is None]


def certificate_plan(spec: RunSpec, loads: Sequence[int]) -> Plan:
    """Returns the arms under one profile, for each question: 10 in a row, 4 waves (at least 16) of every other load.

    Further lone ones, cold and after another question, tell what the lone answers depend on; they count at every load.

    Every arm starts with a cold prefix cache, as the first user after a start meets it, and the first requests of a
    load come one after the other, as those of several users do. The positive control comes last, so that it warms
    nothing up for the others; it has no seeds, for the reason told in `vqa.lab.plan.plans.plan_diagnose`.

    Raises:
        InputError: there is no load, or one cannot be.
    """
    if not loads:
        raise InputError("certificate_empty")
    arms = []
    # What is not compared with the lone answer cannot be said to hold under a load.
    for load in sorted({1, *loads}):
        if not 1 <= load <= MAX_CONCURRENCY:
            raise InputError("number_invalid", name="load", value=load, least=1, most=MAX_CONCURRENCY)
        count = IN_A_ROW if load == 1 else max(AT_LEAST, min(WAVES * load, 2 * MAX_CONCURRENCY))
        arm = Arm.REPEAT if load == 1 else Arm.CONCURRENT
        arms.append(ArmPlan(arm, count, load, salting="own", whole=True, spread_seconds=SPREAD_SECONDS))
        if load == 1:
            arms.append(ArmPlan(Arm.COLD, FEW, salting="fresh", whole=True))
            arms.append(ArmPlan(Arm.AFTER_UNRELATED, FEW, salting="fresh", before="unrelated", whole=True))
            arms.append(ArmPlan(Arm.AFTER_SHORTER, FEW, salting="fresh", before="shorter", whole=True))
    arms.append(ArmPlan(Arm.POSITIVE_CONTROL, CONTROLS, salting="fresh", temperature=CONTROL_TEMPERATURE, whole=True))
    return Plan(spec, tuple(arms), seconds_per_request=SECONDS_PER_REQUEST)


def start_certificate(
    runs: RunManager,
    engine: Engine,
    settings: Settings,
    profiles: Sequence[str],
    loads: Sequence[int] = LOADS,
    *,
    require: Level = Level.TOKENS,
    name: str = "",
    together: bool = False,
) -> str:
    """Starts a certificate over a managed engine and returns the run's id; what ran before is started again after it.

    `together` starts the engines of all profiles side by side, each on a port and with a share of the memory of its
    own, and still measures one after the other: it takes more memory and less time.

    Raises:
        InputError: there is no such profile or load, or another run is using the engine.
        ModelError: the probe cannot be written.
        EngineError: the engine is not managed from here.
    """
    spec = certificate_spec(require=require, name=name)
    plan = certificate_plan(spec, tuple(dict.fromkeys(loads)))
    before = engine.snapshot()
    wanted = wanted_profiles(engine, settings, profiles)
    if together:
        able = [each for each in wanted if each.reason is None]
        specs = neighbours({each.name: each.spec for each in able}, cuda=Machine.load(settings).device == "cuda")
        wanted = [replace(each, spec=specs.get(each.name, each.spec)) for each in wanted]
    work = certify_work(plan, wanted, before.spec if before.serving else None, together=together)
    return runs.start_work(work, spec, before.base_url or wanted[0].spec.base_url, kind="certify", engine=engine)


def wanted_profiles(
    engine: Engine, settings: Settings, profiles: Sequence[str], model: str | None = None, **fields: Json
) -> list[Certified]:
    """Returns what to start under each profile: the probe, or `model` where one is named; at the running one's port.

    `fields` are further ones of the spec, named as `EngineSpec` names them.

    Raises:
        InputError: there is no such profile, or none is named.
        VQAError: the model is not on this machine, or the probe cannot be written.
        EngineError: the engine is not managed from here.
    """
    if settings.base_url is not None:
        raise EngineError("engine_not_managed")
    known = {**PROFILES, **TRIALS}
    unknown = [profile for profile in profiles if profile not in known]
    if unknown or not profiles:
        raise InputError("profile_unknown", name=", ".join(unknown) or "–", known=", ".join(known))
    machine = Machine.load(settings)
    spec, prepare = plan_start(settings, model or PROBE_ID, **fields)
    if prepare is not None:
        raise ModelError("model_not_local", id=model, known=PROBE_ID)
    if machine.device == "cuda" and model in {None, PROBE_ID}:
        spec = replace(spec, model=str(ensure_probe(settings.models_path, "llava")))
    running = engine.snapshot().spec
    if running is not None:
        spec = replace(spec, port=running.port)
    return [
        Certified(profile, spec.with_profile(profile), known[profile].available(machine))
        for profile in dict.fromkeys(profiles)
    ]


def certify_work(plan: Plan, wanted: Sequence[Certified], before: EngineSpec | None, *, together: bool = False) -> Work:
    """Returns the job: each profile's engine with the probe, and the plan's arms on it; then `before` starts again."""

    async def work(job: RunJob) -> Json:
        able = [each for each in wanted if each.reason is None]
        for each in able:
            job.live.expect(plan, f"{each.name}/")

        async def measured() -> dict[str, Json]:
            if not together:
                rows = await _rows(job, plan, wanted)
            else:
                job.live.tell(step="step_together", count=len(able))
                await _clear(job)
                async with side_by_side(job.settings, {each.name: each.spec for each in able}) as started:
                    await settled(started)
                    rows = await _rows(job, plan, wanted, started)
            return certificate_result(rows, plan.spec.require)

        return await then_back(job, before, measured)

    return work


async def _rows(
    job: RunJob, plan: Plan, wanted: Sequence[Certified], started: Started | None = None
) -> list[dict[str, Json]]:
    return [await _measure(job, plan, each, (place, len(wanted)), started) for place, each in enumerate(wanted, 1)]


async def _clear(job: RunJob) -> None:
    """Stops the engine that runs, so that its memory is free for the others."""
    if job.engine is not None:
        await asyncio.to_thread(job.engine.stop)
        await asyncio.to_thread(job.engine.wait, None, RESTART_SECONDS)


async def _measure(
    job: RunJob, plan: Plan, wanted: Certified, place: tuple[int, int], started: Started | None
) -> dict[str, Json]:
    """Returns one profile's row; a profile whose engine does not come up gets the reason and the others go on."""
    row: dict[str, Json] = {"name": wanted.name, "command": wanted.spec.command(), "reason": wanted.reason, "loads": []}
    if wanted.reason is not None:
        return row
    job.live.tell(step="step_profile_of", profile=wanted.name, round=place[0], rounds=place[1])
    try:
        on = await serving_under(job, wanted, started)
    except EngineError as problem:
        return row | {"reason": problem.message()}
    job.live.tell()
    prefix = f"{wanted.name}/"
    async with on.server() as (client, view):
        if not job.headed:
            await on.write_header(plan, view, record=plan_record(plan))
            job.headed = True
        serial = is_serial(on.engine) or wanted.name == "serial"
        facts = await on.run(replace(plan, serial=serial), client, view, prefix=prefix)
    taken = await asyncio.to_thread(_taken, job, plan, prefix)
    control = control_row(summarize_run(taken[str(Arm.POSITIVE_CONTROL)]))
    loads = await asyncio.to_thread(load_rows, prefix, taken, facts)
    loads_and_why = {"loads": loads, "causes": await asyncio.to_thread(causes, prefix, taken, facts)}
    seen = {"changed": facts.changed, "others": facts.others, "facts": public(facts.to_record())}
    several = facts.several and {"several": asdict(facts.several)}
    return row | {**loads_and_why, "control": control, **seen, **(several or {})}


def _taken(job: RunJob, plan: Plan, prefix: str) -> dict[str, list[Sample]]:
    """Returns the samples of each arm that was asked under a profile, by the arm's own name."""
    arms = {arm.name: job.store.samples(job.live.run_id, arm=prefix + arm.name) for arm in plan.arms}
    return {name: samples for name, samples in arms.items() if samples}


async def serving_under(job: RunJob, wanted: Certified, started: Started | None = None) -> RunJob:
    """Returns the job on the engine of a profile, once that serves.

    Raises:
        EngineError: it did not come up.
    """
    if started is None:
        await job.restart(wanted.spec)
        return job
    beside = started[wanted.name]
    if isinstance(beside, EngineError):
        raise beside
    snapshot = await wait_serving(*beside)
    return replace(job, engine=beside[0], base_url=snapshot.base_url or job.base_url)
