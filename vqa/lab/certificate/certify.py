"""The engine certificate: which profiles keep the sensitivity probe's answers identical under which load, at what cost.

It measures the engine and this hardware, not anybody's model: the probe's next-token margins are so small that any
change in the numbers flips tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vqa.answers import Sampling
from vqa.engine.machine import Machine
from vqa.errors import InputError
from vqa.lab.certificate.measuring import How, certify_work
from vqa.lab.certificate.side_by_side import neighbours, with_room
from vqa.lab.certificate.wanted import wanted_engines, wanted_profiles
from vqa.lab.plan.arms import MAX_CONCURRENCY, Arm, ArmPlan, Plan, RunSpec
from vqa.lab.plan.plans import CONTROL_TEMPERATURE
from vqa.lab.run.manager import RunManager
from vqa.lab.stats.agreement import Level
from vqa.media.images import load_image
from vqa.models.probe import PROBE_MAX_TOKENS, probe_image, probe_questions
from vqa.settings import Settings

if TYPE_CHECKING:
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
