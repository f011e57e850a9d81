"""A run over a data set as a job of the lab: its header, its resumption, and what is concluded at its end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict

from vqa.answers import Json
from vqa.engine.serving import Watch
from vqa.evaluate.reading import Dataset, Row
from vqa.evaluate.running.results import conclude
from vqa.evaluate.running.servers import Server
from vqa.evaluate.running.values import Asking
from vqa.evaluate.running.work import Evaluating, Landed
from vqa.lab.diagnosis.several import Seen, several
from vqa.lab.plan.arms import Arm, ArmPlan, Plan, RunSpec
from vqa.lab.run.header import plan_record
from vqa.lab.run.job import RunJob, Work
from vqa.lab.run.server import ServerView
from vqa.lab.run.writer import Writer
from vqa.lab.stats.summarize import counts

KIND = "evaluate"


def spec_of(dataset: Dataset, asking: Asking, name: str = "") -> RunSpec:
    """Returns the spec that the lab keeps of a run: its first question stands for all."""
    first = next((row for row in dataset.rows() if isinstance(row, Row)), None)
    text = dataset.text_of(first) if first else "?"
    return RunSpec(
        (text,), n=1, sampling=asking.sampling, logprobs=asking.logprobs, name=name or dataset.reading.path.name
    )


def evaluate_work(dataset: Dataset, asking: Asking, addresses: Sequence[str]) -> Work:
    """Returns the job that asks every row of a data set that its run has no answer to yet."""

    async def work(job: RunJob) -> Json:
        run_id, began = job.live.run_id, time.monotonic()

        def store(landed: list[Landed]) -> None:
            samples = [sample for sample, _ in landed if sample is not None]
            job.store.add_evaluated(run_id, [row for _, row in landed if row is not None], samples)
            job.live.count(len(samples), sum(not counts(sample) for sample in samples))

        job.partial = lambda: conclude(job.store, run_id)
        plan = Plan(job.spec, (ArmPlan(Arm.REPEAT, asking.repeats, asking.concurrency, whole=True),))
        kept = plan_record(plan) | {
            "dataset": dataset.record(),
            "asking": asking.record(),
            "addresses": list(addresses),
        }
        async with AsyncExitStack() as stack:
            _, view = await stack.enter_async_context(job.server())
            servers = [await stack.enter_async_context(_server(job, address, asking)) for address in addresses]
            await servers[0].client.info()
            before = await asyncio.to_thread(job.store.answered, run_id)
            if not before:
                await job.write_header(plan, view, record=kept)
            counting = asyncio.create_task(_count(job, dataset, asking, len(before)))
            try:
                watch = Watch(job.engine, revived=True)
                await Evaluating(dataset, asking, servers, Writer(store), job.live, before, watch).run()
            finally:
                counting.cancel()
                await asyncio.gather(counting, return_exceptions=True)
            shares = {server.client.base_url: server.answered for server in servers}
            seen = await _several(servers)
        result = await asyncio.to_thread(conclude, job.store, run_id)
        return {**result, **seen, "seconds": round(time.monotonic() - began, 3), "servers": shares, "complete": True}

    return work


async def _several(servers: Sequence[Server]) -> dict[str, Json]:
    """Returns that more than one server answers behind one of the addresses, where anything tells so."""
    found: dict[str, Json] = {}
    for server in servers:
        fleet = await ServerView(server.client).fleet()
        more = several(fleet, Seen(names=[server.names]))
        if more is not None and more.n > found.get("several", {"n": 1})["n"]:
            found = {"several": {**asdict(more), "address": server.client.base_url}}
    return found


@contextlib.asynccontextmanager
async def _server(job: RunJob, address: str, asking: Asking):  # type: ignore[no-untyped-def]
    key = job.settings.api_key.get_secret_value()
    server = Server(
        address, key, timeout=job.settings.request_timeout, model=asking.model, wait_seconds=asking.wait_seconds,
        on_wait=job.live.asked_to_wait,
    )  # fmt: skip
    try:
        yield server
    finally:
        await server.close()


async def _count(job: RunJob, dataset: Dataset, asking: Asking, already: int) -> None:
    rows = len(asking.places) if asking.places is not None else await asyncio.to_thread(dataset.count, asking.limit)
    job.live.expect_samples(rows * asking.repeats, already)
