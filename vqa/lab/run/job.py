"""What a run is made of while it runs: its client, its store, its counts; and the plain repeat and diagnose jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vqa.answers import Json, Sample
from vqa.client import Client
from vqa.engine.serving import Watch, while_serving
from vqa.engine.state import EngineState, Failure
from vqa.errors import EngineError, VQAError
from vqa.lab.diagnosis.facts import Death, Facts, finished
from vqa.lab.diagnosis.several import several
from vqa.lab.plan.arms import Plan, RunSpec
from vqa.lab.plan.plans import LOADS, SIZE, plan_diagnose, plan_repeat
from vqa.lab.run.deaths import Mourner
from vqa.lab.run.documents import run_result
from vqa.lab.run.failures import CausedError
from vqa.lab.run.header import build_header, plan_record
from vqa.lab.run.live import LiveRun
from vqa.lab.run.runner import LabRunner
from vqa.lab.run.server import ServerView, scout
from vqa.lab.run.writer import storing
from vqa.lab.stats.summary import RunSummary
from vqa.settings import Settings
from vqa.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vqa.engine.spec import EngineSpec
    from vqa.engine.state import Engine, Snapshot

QUIET_SECONDS = 20.0
RESTART_SECONDS = 1800.0
STOP_SECONDS = 60.0
STEP_BACK = "step_back"
"""The step of a run that only waits for the engine to be again what it was."""


@dataclass
class RunJob:
    """The tools of one run; lives within the runs' event loop."""

    live: LiveRun
    store: Store
    settings: Settings
    base_url: str
    spec: RunSpec
    engine: Engine | None = None
    headed: bool = False
    """Whether the full header has been stored."""
    aftermath: Failure | None = None
    """What becomes of the engine once the run has ended; told where a run is stopped."""
    partial: Callable[[], Json] | None = None
    """What to conclude from what is stored where the run does not come to its end."""

    @asynccontextmanager
    async def server(self) -> AsyncIterator[tuple[Client, ServerView]]:
        """Yields a client and a view of the server; the engine's own health questions are held back meanwhile."""
        key = self.settings.api_key.get_secret_value()
        client = Client(
            self.base_url, key, timeout=self.settings.request_timeout, model=self.spec.model, tries_fields=True
        )
        view = ServerView(client)
        silence = asyncio.create_task(self._keep_quiet())
        try:
            yield client, view
        finally:
            silence.cancel()
            await asyncio.gather(silence, return_exceptions=True)
            await client.close()

    async def _keep_quiet(self) -> None:
        while self.engine is not None:
            with suppress(VQAError):
                await asyncio.to_thread(self.engine.quiet, QUIET_SECONDS)
            await asyncio.sleep(QUIET_SECONDS / 2)

    async def run(
        self, plan: Plan, client: Client, view: ServerView, *, prefix: str = "", rename: str | None = None
    ) -> Facts:
        """Runs a plan, storing samples as they land; returns what was observed beside the answers.

        Arms are stored as `prefix` and their name, or as `rename`.

        Raises:
            ServerError: the server does not answer at all when the run begins.
            EngineError: the managed engine was stopped or replaced meanwhile.
            StoreError: a sample could not be stored; those before it are.
        """
        before, fleet = await view.identity(), await view.fleet()
        nonce = f"{self.live.run_id}/{rename or prefix}"
        runner = LabRunner(
            plan,
            client,
            nonce=nonce,
            view=view,
            on_wait=self.live.asked_to_wait,
            mourner=Mourner(self.engine),
            revive=self._revive,
        )
        watch = Watch(self.engine, revived=True)
        async with (
            storing(self._record) as writer,
            aclosing(runner.run()) as running,
            aclosing(while_serving(running, watch)) as landing,
        ):
            async for sample in landing:
                await writer.put(replace(sample, arm=rename or prefix + sample.arm))
                if sample.error is not None:
                    await watch.check()
        return Facts(
            capabilities=replace(await view.capabilities(managed=self.engine is not None), serial=plan.serial),
            temperature=plan.spec.sampling.temperature,
            blocks=tuple(replace(block, arm=rename or prefix + block.arm) for block in runner.blocks),
            before=before,
            after=await view.identity(),
            restarted=runner.restarted,
            refused=runner.refused,
            deaths=tuple(Death(rename or prefix + death.arm, death.failure) for death in runner.deaths),
            retried=runner.retried,
            several=several(fleet, runner.seen),
        )

    async def _revive(self) -> None:
        """Returns when the engine that ended serves again: it starts anew by itself, or else is started once.

        Raises:
            EngineError: it does not come up again.
        """
        engine = self.engine
        if engine is None:
            return
        self.live.tell(step="step_revive")
        now = await asyncio.to_thread(engine.snapshot)
        generation = now.generation
        if now.state is EngineState.FAILED and now.spec is not None:
            generation = await asyncio.to_thread(engine.restart, now.spec)
        await wait_serving(engine, generation)
        self.live.tell()

    def _record(self, landed: list[Sample]) -> None:
        """Stores samples and counts them."""
        for sample in self.store.add_samples(self.live.run_id, landed):
            self.live.add(sample)

    async def write_header(self, plan: Plan, view: ServerView, *, record: Json = None) -> None:
        """Stores everything that fixes the run, and the pictures themselves."""
        header = build_header(
            plan,
            self.base_url,
            await view.identity(),
            metrics=await view.metrics(),
            engine=self._snapshot(),
            machine=await asyncio.to_thread(self._machine),
        )
        await asyncio.to_thread(self._store_header, header, record or plan_record(plan), plan.spec)

    def _store_header(self, header: Json, record: Json, spec: RunSpec) -> None:
        for image in spec.images:
            self.store.put_image(image)
        self.store.update_run(self.live.run_id, header=header, plan=record)
        self.headed = True

    def _snapshot(self) -> Snapshot | None:
        return None if self.engine is None else self.engine.snapshot()

    def _machine(self) -> Json:
        if self.engine is None:
            return None
        from vqa.engine.machine import Machine

        return Machine.load(self.settings)

    async def restart(self, spec: EngineSpec) -> None:
        """Restarts the managed engine and returns when it serves; its address may have changed.

        Raises:
            EngineError: there is none, or it did not come up.
        """
        if self.engine is None:
            raise EngineError("engine_not_managed")
        engine = self.engine
        generation = await asyncio.to_thread(engine.restart, spec)
        snapshot = await wait_serving(engine, generation)
        if snapshot.base_url is not None:
            self.base_url = snapshot.base_url

    async def go_back(self, spec: EngineSpec | None) -> None:
        """Gives the managed engine what ran before (None: nothing) and returns when it is there again.

        A run that ended sooner would leave a start behind that nobody waits for: the command would let go of the
        engine, and what ran before would be gone. A cancellation meanwhile ends the waiting, but the engine has been
        asked by then.

        Raises:
            EngineError: it can no longer be asked, or what ran before does not come up again.
        """
        engine = self.engine
        if engine is None:
            return
        self.aftermath = (
            Failure("lab.back_to_none") if spec is None else Failure("lab.back_under", {"former": spec.profile})
        )
        self.live.tell(step=STEP_BACK, profile="" if spec is None else spec.profile)
        if spec is None:
            await asyncio.shield(asyncio.to_thread(engine.stop))
            await asyncio.to_thread(engine.wait, lambda now: now.settled and not now.serving, STOP_SECONDS)
            return
        asked = asyncio.ensure_future(asyncio.to_thread(engine.restart, spec))
        try:
            generation = await asyncio.shield(asked)
        except asyncio.CancelledError:
            await asked
            raise
        await wait_serving(engine, generation)

    def summaries(self, prefix: str = "") -> dict[str, RunSummary]:
        """Returns the summaries of the arms that begin with `prefix`, without it."""
        return {
            name.removeprefix(prefix): summary
            for name, summary in self.live.summaries().items()
            if name.startswith(prefix)
        }


async def wait_serving(engine: Engine, generation: int) -> Snapshot:
    """Returns the snapshot of the engine's generation once it serves; can be cancelled meanwhile.

    Raises:
        EngineError: it failed, was stopped, or took longer than half an hour.
    """
    for _ in range(int(RESTART_SECONDS)):
        snapshot = await asyncio.to_thread(
            engine.wait, lambda now: now.generation >= generation and (now.serving or now.settled), 1.0
        )
        if snapshot.generation >= generation and snapshot.serving:
            return snapshot
        if snapshot.generation >= generation and snapshot.settled:
            if snapshot.failure is not None:
                raise CausedError("engine_not_started", snapshot.failure)
            raise EngineError("engine_not_started", reason=snapshot.state.value, hint="")
    raise EngineError("engine_not_started", reason="timeout", hint="")


def is_serial(engine: Engine | None) -> bool:
    """Returns whether the managed engine computes one request at a time."""
    running = engine.snapshot().spec if engine is not None else None
    return running is not None and (running.profile == "serial" or running.max_num_seqs == 1)


Work = Callable[[RunJob], Awaitable[Json]]
"""Does a run and returns the result to store."""


async def plan_on_server(
    client: Client,
    view: ServerView,
    spec: RunSpec,
    engine: Engine | None,
    *,
    loads: tuple[int, ...] = LOADS,
    size: int = SIZE,
) -> Plan:
    """Returns the plan of a diagnosis on this server; `engine` is the managed one behind it, if there is one.

    Two questions are asked beforehand, apart from all caches, to know the prompt's length and the duration.
    """
    spec.check()
    capabilities = await view.capabilities(managed=engine is not None, learn=True)
    capabilities = replace(capabilities, serial=is_serial(engine))
    before = await view.metrics()
    capabilities, asked = await scout(client, spec, capabilities)
    if before is not None and asked:
        await view.settled_metrics(finished(before) + asked)
    return plan_diagnose(spec, capabilities, loads=loads, size=size)


def repeat_work(spec: RunSpec) -> Work:
    """Returns the job of the Repeat tab."""

    async def work(job: RunJob) -> Json:
        async with job.server() as (client, view):
            learn = spec.cache != "as_is"
            capabilities = await view.capabilities(managed=job.engine is not None, learn=learn)
            plan = plan_repeat(spec, replace(capabilities, serial=is_serial(job.engine)))
            job.live.expect(plan)
            await job.write_header(plan, view)
            facts = await job.run(plan, client, view)
        arm, summary = next(iter(job.summaries().items()))
        return run_result(summary, spec.require, facts, arm=arm)

    return work
