"""The engine certificate: which profiles keep the sensitivity probe's answers identical under which load, at what cost.

It measures the engine and this hardware, not anybody's model: the probe's next-token margins are so small that any
change in the numbers flips tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Literal

from vqa.answers import Json, Sample, Sampling
from vqa.engine.computing import computing
from vqa.engine.machine import Machine
from vqa.errors import EngineError, InputError
from vqa.lab.certificate.rows import causes, certificate_result, control_row, load_rows
from vqa.lab.certificate.side_by_side import Started, neighbours, settled, side_by_side, with_room
from vqa.lab.certificate.versions import version_rows
from vqa.lab.certificate.wanted import Certified, wanted_engines, wanted_profiles
from vqa.lab.plan.arms import MAX_CONCURRENCY, Arm, ArmPlan, Plan, RunSpec
from vqa.lab.plan.plans import CONTROL_TEMPERATURE
from vqa.lab.run.going_back import then_back
from vqa.lab.run.header import first_lines, plan_record
from vqa.lab.run.job import RESTART_SECONDS, RunJob, Work, is_serial, wait_serving
from vqa.lab.run.manager import RunManager
from vqa.lab.run.public_header import public
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summarize import summarize_run
from vqa.media.images import load_image
from vqa.models.probe import PROBE_MAX_TOKENS, probe_image, probe_questions
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
How = Literal["in_turn", "side_by_side", "at_once"]
"""How the profiles' engines are measured: each started and asked in turn, all started and asked in turn, or all
started and asked at the same time."""
SPREAD_SECONDS = 0.8
"""Measured on two cores with 48 requests 8 at a time: begun together the probe split in 3 of 4 rounds, spread over 0.6
or 1.6 s in 8 of 8."""


def certificate_spec(*, require: Level = Level.TOKENS, name: str = "", batched_tokens: int | None = None) -> RunSpec:
    """Returns what the probe is asked of a picture of coloured squares, 128 greedy tokens: a short and a long question.

    A short prompt cannot show everything: on a CPU cold and warm answers were equal up to 1,030 tokens, and unlike from
    1,180 on. With `batched_tokens` a third one is longer than so many tokens, which an engine computes at a
    time at most: its prompt is computed in parts.
    """
    sampling = Sampling(temperature=0.0, max_tokens=PROBE_MAX_TOKENS, ignore_eos=True)
    image = load_image(probe_image(), name="probe.png")
    return RunSpec(probe_questions(batched_tokens), (image,), n=IN_A_ROW, sampling=sampling, require=require, name=name)


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
    together: bool | None = None,
    engines: Sequence[str] = (),
) -> str:
    """Starts a certificate over a managed engine and returns the run's id; what ran before is started again after it.

    `together` starts the engines of all profiles side by side, each on a port and with a share of the memory of its
    own: it takes more memory and less time. None: where there is a GPU. On a GPU they are asked at the same time, too:
    most of the time of a lone request there is the processor's. On a CPU, which they would take from one another, one
    after the other.
    `engines` are several vLLM to compare, by their environments' names or their Pythons, the earlier one first.

    Raises:
        InputError: there is no such profile, load or engine, or another run is using the engine.
        ModelError: the probe cannot be written.
        EngineError: the engine is not managed from here.
    """
    machine = Machine.load(settings)
    spec = certificate_spec(require=require, name=name, batched_tokens=batched_tokens(machine))
    plan = certificate_plan(spec, tuple(dict.fromkeys(loads)))
    before = engine.snapshot()
    wanted = (
        wanted_engines(engine, settings, profiles, engines) if engines else wanted_profiles(engine, settings, profiles)
    )
    if together is None:
        together = machine.device == "cuda" and len(wanted) > 1
    if together:
        able = [each for each in wanted if each.reason is None]
        specs = neighbours({each.name: each.spec for each in able}, cuda=machine.device == "cuda")
        wanted = [replace(each, spec=specs.get(each.name, each.spec)) for each in wanted]
    elif machine.device == "cuda":
        wanted = [replace(each, spec=with_room(each.spec, machine)) for each in wanted]
    how: How = "at_once" if together and machine.device == "cuda" else "side_by_side" if together else "in_turn"
    work = certify_work(plan, wanted, before.spec if before.serving else None, how=how)
    return runs.start_work(work, spec, before.base_url or wanted[0].spec.base_url, kind="certify", engine=engine)


def batched_tokens(machine: Machine) -> int | None:
    """Returns how many tokens vLLM computes at a time on this machine's GPU where no flag says otherwise.

    None on a CPU, where engines are started without splitting prompts. As vLLM 0.32 chooses it for its API server, in
    `EngineArgs.get_batch_defaults`.
    """
    if machine.device == "cpu":
        return None
    smallest = min(machine.gpus, key=lambda gpu: gpu.memory_total)
    if smallest.memory_total >= 160 << 30:
        return 16384
    return 8192 if smallest.memory_total >= 70 << 30 and "a100" not in smallest.name.lower() else 2048


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
