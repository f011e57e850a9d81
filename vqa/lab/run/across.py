"""Between processes: the managed engine is restarted with one setting unlike, and its answers are compared."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vqa.answers import Json, Sample
from vqa.engine.computing import computing
from vqa.errors import EngineError
from vqa.lab.plan.arms import Arm, ArmPlan, Plan, RunSpec
from vqa.lab.run.diagnose_job import engine_spec
from vqa.lab.run.documents import exit_code
from vqa.lab.run.going_back import then_back
from vqa.lab.run.header import first_lines
from vqa.lab.run.job import RunJob, Work
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summarize import counts

if TYPE_CHECKING:
    from vqa.engine.spec import EngineSpec

NOW = "now"
"""The prefix of the arms under the present settings."""
LONE, TOGETHER, AT_ONCE = 6, 16, 8
CHUNKED = ("--enable-chunked-prefill", "--no-enable-chunked-prefill")
BATCHED = (8192, 2048)
BIND = "VLLM_CPU_OMP_THREADS_BIND"


@dataclass(frozen=True)
class Variant:
    """The same engine with one setting unlike: its name in `vqa.engine.computing.NAMES`, its value, the whole spec."""

    name: str
    value: str
    spec: EngineSpec


def variants(spec: EngineSpec, now: Mapping[str, Json], cores: int) -> list[Variant]:
    """Returns what a restart can change of an engine that computes as `now` tells (see `computing`)."""
    found = []
    if now.get("threads"):  # only a CPU's are told
        bound = f"0-{cores - 1}" if now["threads"] < cores else "0"
        others = tuple(pair for pair in spec.environment if pair[0] != BIND)
        if cores > 1:
            found.append(Variant("threads", bound, replace(spec, environment=(*others, (BIND, bound)))))
    eager = not spec.enforce_eager
    found.append(Variant("compiled", "no" if eager else "yes", replace(spec, enforce_eager=eager)))
    batched = next(each for each in BATCHED if each != spec.max_num_batched_tokens)
    found.append(Variant("max_num_batched_tokens", str(batched), replace(spec, max_num_batched_tokens=batched)))
    flag = CHUNKED[now.get("chunked_prefill") is not False]
    kept = tuple(word for word in spec.extra_args if word not in CHUNKED)
    found.append(Variant("chunked_prefill", flag, replace(spec, extra_args=(*kept, flag))))
    return found


def across_work(spec: RunSpec, *, cores: int | None = None) -> Work:
    """Returns the job: cold lone answers and eight at a time, now and after a restart with each setting unlike.

    The engine goes back to what it ran before. A setting with which it does not start is told with the reason.
    """

    async def work(job: RunJob) -> Json:
        former = engine_spec(job)
        now = computing(former, first_lines(job.engine.snapshot().log_path if job.engine else None))
        tried = variants(former, now, cores or os.cpu_count() or 1)
        arms = (
            ArmPlan(Arm.COLD, LONE, salting="fresh", whole=True),
            ArmPlan(Arm.CONCURRENT, TOGETHER, AT_ONCE, "fresh", whole=True),
        )
        plan = Plan(spec, arms)
        job.live.expect(plan, rounds=1 + len(tried))
        await _ask(job, plan, NOW)
        return await then_back(job, former, lambda: _measured(job, plan, tried))

    return work


async def _measured(job: RunJob, plan: Plan, tried: Sequence[Variant]) -> dict[str, Json]:
    """Asks after a restart with each setting unlike, and returns what is told of all of them."""
    rows: list[dict[str, Json]] = []
    for place, each in enumerate(tried, 1):
        job.live.tell(step="step_profile_of", profile=each.value, round=place, rounds=len(tried))
        try:
            await job.restart(each.spec)
        except EngineError as problem:
            rows.append({"setting": each.name, "value": each.value, "reason": problem.message()})
            continue
        job.live.tell()
        await _ask(job, plan, each.name)
        rows.append({"setting": each.name, "value": each.value, "reason": None})
    return across_result(rows, await asyncio.to_thread(job.store.samples, job.live.run_id), plan.spec.require)


def across_result(rows: Sequence[Mapping[str, Json]], samples: Sequence[Sample], require: Level) -> dict[str, Json]:
    """Returns what each setting changed, from the whole run's samples; of `rows` setting, value and reason."""
    lone = _taken(samples, NOW)["cold"]
    rows = [_row(row, taken={} if row["reason"] else _taken(samples, str(row["setting"])), lone=lone) for row in rows]
    told = [row["equal"] == row["n"] for row in rows if row["reason"] is None and row["n"]]
    holds = False if False in told else True if told else None
    return {
        "version": 1,
        "require": str(require),
        "holds": holds,
        "exit_code": exit_code(holds),
        "across": rows,
    }


async def _ask(job: RunJob, plan: Plan, prefix: str) -> None:
    async with job.server() as (client, view):
        if not job.headed:
            await job.write_header(plan, view)
        await job.run(plan, client, view, prefix=f"{prefix}/")


def _taken(samples: Sequence[Sample], prefix: str) -> dict[str, list[Sample]]:
    names = {"cold": f"{prefix}/cold", "together": f"{prefix}/concurrent_{AT_ONCE}"}
    return {key: [each for each in samples if each.arm == name and counts(each)] for key, name in names.items()}


def _row(row: Mapping[str, Json], *, taken: Mapping[str, Sequence[Sample]], lone: Sequence[Sample]) -> dict[str, Json]:
    """Returns how many lone answers equal the present lone ones, and how many together equal their own lone ones."""
    cold, crowd = taken.get("cold", ()), taken.get("together", ())
    return {
        "setting": row["setting"],
        "value": row["value"],
        "reason": row["reason"],
        "n": len(cold),
        "equal": _equal(cold, lone),
        "loaded": len(crowd),
        "loaded_equal": _equal(crowd, cold),
    }


def _equal(samples: Sequence[Sample], usual: Sequence[Sample]) -> int:
    """Returns how many answers are the most frequent one of `usual` to the same question, in tokens or in text."""
    counted: dict[int, Counter[Hashable]] = {}
    for sample in usual:
        counted.setdefault(sample.question, Counter())[_said(sample)] += 1
    modal = {question: answers.most_common(1)[0][0] for question, answers in counted.items()}
    return sum(_said(sample) == modal.get(sample.question) for sample in samples)


def _said(sample: Sample) -> Hashable:
    answer = sample.answer
    return None if answer is None else (answer.token_ids, answer.all_text)
