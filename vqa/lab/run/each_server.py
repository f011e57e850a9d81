"""Every server behind one address asked by itself, and their answers held side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from vqa.answers import Json, Sample
from vqa.client import Client, normalize_base_url
from vqa.errors import ServerError
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.plan.arms import Plan, RunSpec
from vqa.lab.plan.plans import plan_repeat
from vqa.lab.run.documents import exit_code, run_result
from vqa.lab.run.header import plan_record
from vqa.lab.run.job import RunJob, Work
from vqa.lab.run.server import ServerView
from vqa.lab.stats.agreement import LEVELS, Level
from vqa.lab.stats.summarize import summarize_run
from vqa.settings import Settings


async def servers_behind(settings: Settings, base_url: str) -> tuple[str, ...]:
    """Returns the addresses of the servers behind an address, as a router lists them; empty where it lists none."""
    client = Client(normalize_base_url(base_url), settings.api_key.get_secret_value(), timeout=settings.request_timeout)
    try:
        fleet = await ServerView(client).fleet()
    finally:
        await client.close()
    return tuple(normalize_base_url(address) for address in sorted(fleet.workers))


def each_work(spec: RunSpec, addresses: Sequence[str]) -> Work:
    """Returns the job: what `spec` repeats, of each server in turn; answers are stored as `HOST:PORT/ARM`."""

    async def work(job: RunJob) -> Json:
        plan = plan_repeat(spec)
        record = each_plan(plan, addresses)
        for address in addresses:
            job.live.expect(plan, f"{place_of(address)}/")
        rows: list[dict[str, Json]] = []
        for round_, address in enumerate(addresses, 1):
            job.live.tell(step="step_server", address=address, round=round_, rounds=len(addresses))
            on = replace(job, base_url=address, engine=None)
            try:
                async with on.server() as (client, view):
                    if not job.headed:
                        await job.write_header(plan, view, record=record)
                    facts = await on.run(plan, client, view, prefix=f"{place_of(address)}/")
            except ServerError as problem:  # the others are asked all the same
                rows.append({"address": address, "reason": problem.message()})
                continue
            rows.append({"address": address, "facts": facts.to_record()})
        samples = await asyncio.to_thread(job.store.samples, job.live.run_id)
        return each_result(rows, samples, spec.require)

    return work


def each_plan(plan: Plan, addresses: Sequence[str]) -> dict[str, Json]:
    """Returns what the store keeps as the plan: the arm of every server, and what they take together."""
    record, times = plan_record(plan), len(addresses)
    arms = [arm | {"name": f"{place_of(address)}/{arm['name']}"} for address in addresses for arm in record["arms"]]
    return record | {"arms": arms} | {name: times * record[name] for name in ("samples", "requests", "seconds")}


def place_of(address: str) -> str:
    """Returns the host and port of a server's address, which stand before the names of its arms."""
    return urlsplit(address).netloc


def each_result(rows: Sequence[Mapping[str, Json]], samples: Sequence[Sample], require: Level) -> dict[str, Json]:
    """Returns what each server gave by itself, and the strongest level on which all of them agree, as plain values.

    `rows` hold the `address` of each and the `facts` seen while it was asked, or the `reason` why it was not. Nothing
    holds, or does not, where one of them did not tell.
    """
    found: list[dict[str, Json]] = []
    every: list[Sample] = []
    for row in rows:
        if "reason" in row:
            found.append({**row, "holds": None})
            continue
        prefix = f"{place_of(row['address'])}/"
        taken = [replace(each, arm=each.arm.removeprefix(prefix)) for each in samples if each.arm.startswith(prefix)]
        alone = run_result(summarize_run(taken), require, Facts.from_record(row["facts"]), arm=taken[0].arm)
        kept = ("n", "ok", "failed", "level", "holds", "invalid", "several", "server_changed")
        found.append({**row, **{name: alone[name] for name in kept if name in alone}})
        # By name two replicas of one model may well differ: each was asked at its own address.
        every += [replace(each, answer=each.answer and replace(each.answer, system_fingerprint=None)) for each in taken]
    shared = summarize_run(every)
    told = bool(found) and all(row["holds"] is not None for row in found)
    holds = shared.holds(require) if told else None
    return {
        "version": 1,
        "require": str(require),
        "holds": holds,
        "exit_code": exit_code(holds),
        "level": str(next((level for level in LEVELS if shared.holds(level)), Level.NONE)),
        "servers": found,
    }
