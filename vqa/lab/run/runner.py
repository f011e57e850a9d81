"""Sends a plan's requests and yields each Sample as it lands; stores nothing, concludes nothing, retries nothing."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress

from vqa.answers import Answer, Sample, SampleError
from vqa.client import BrokenStreamError, Client, Waiting
from vqa.engine.metrics import MetricsSnapshot
from vqa.errors import VQAError
from vqa.lab.diagnosis.facts import BlockFacts, Counters, Death, finished
from vqa.lab.diagnosis.several import Seen
from vqa.lab.plan.arms import Plan
from vqa.lab.plan.background import Background
from vqa.lab.plan.neighbours import Span, broken_off, met
from vqa.lab.plan.plans import Block, schedule
from vqa.lab.plan.requests import asked_before, question_for
from vqa.lab.run.deaths import Mourner
from vqa.lab.run.server import ServerView
from vqa.lab.run.witness import Witness

LATE_TRIES = 10
"""How often more an answer's count is waited for, half a second each: a busy server may be late with it."""


class LabRunner:
    """One run of a plan against one server. Use it once, within one event loop."""

    def __init__(
        self,
        plan: Plan,
        client: Client,
        *,
        nonce: str,
        view: ServerView | None = None,
        on_wait: Callable[[Waiting], object] | None = None,
        mourner: Mourner | None = None,
        revive: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """`nonce` keeps this run's cache salts apart from every other run's; without `view` no counters are read.

        `on_wait` hears of each wait that the server asks for. Where `mourner` sees the engine end by itself, the arm
        ends there, `revive` is awaited, and the others go on.
        """
        self._on_wait = on_wait
        self._mourner = mourner or Mourner(None)
        self._revive = revive
        self._plan = plan
        self._client = client
        self._nonce = nonce
        self._view = view
        self._ours = 0
        self._spans: list[Span] = []
        self._quickest = math.inf
        self.current = ""
        """The arm that is being asked."""
        self.blocks: list[BlockFacts] = []
        """What the server counted during each block that has ended."""
        self.retried = 0
        """Answers that came only after the server had asked to wait (Retry-After)."""
        self.deaths: list[Death] = []
        """The ends of the engine, each with the arm that was being asked."""
        self.restarted = False
        """Whether the server's counters ran backwards."""
        self.seen = Seen()
        """What tells one server from several."""

    @property
    def refused(self) -> tuple[str, ...]:
        """What the server refused to be asked for; see `Client.refused`."""
        return self._client.refused

    async def run(self) -> AsyncGenerator[Sample]:
        """Yields every sample in order of landing; closing the iterator aborts what is under way.

        A request that fails is a sample with an error. Nothing is asked twice, but for what `vqa.client` says.
        """
        # What is not yet known of the server must not count into the first request's time.
        await self._client.info()
        before = first = await self._metrics(0)
        for block in schedule(self._plan):
            if block.arm.name in {death.arm for death in self.deaths}:
                continue
            await self._mourner.begin()
            failures = 0
            self.current = block.arm.name
            self._ours, self._spans = 0, []
            if block.arm.concurrency == 1 and not block.arm.background:
                self.seen.names.append([])
                self.seen.cached.append([])
            background = Background(
                self._client, block.arm.background, seed=len(self.blocks), neighbours=self._plan.beside
            )
            if block.arm.background:
                await background.start()
            crowded = block.arm.concurrency > 1 or block.arm.background > 0
            witness = Witness(self._view if crowded else None)
            try:
                async with witness, aclosing(self._block(block)) as landing:
                    async for sample in landing:
                        yield sample
                        if sample.error is None:
                            continue
                        failures += 1
                        if cause := await self._mourner.died(patient=failures == 1):
                            self.deaths.append(Death(block.arm.name, cause))
                            break
            finally:
                await background.stop()
            if self._revive is not None and self.deaths and self.deaths[-1].arm == block.arm.name:
                await self._revive()
                before = await self._metrics(0)
                continue
            before = await self._note(block, background, before, witness)
        if first is not None and before is not None and self._view is not None and not self.deaths:
            self.seen.finished = self._view.finished
            goal = finished(first) + self.seen.ours
            for _ in range(LATE_TRIES):
                if finished(before) >= goal or self.restarted:
                    break
                before = await self._view.settled_metrics(goal) or before
            self.seen.short = 0 if self.restarted else max(0, goal - finished(before))

    async def _note(
        self, block: Block, background: Background, before: MetricsSnapshot | None, witness: Witness
    ) -> MetricsSnapshot | None:
        ours = self._ours + background.finished
        self.seen.ours += ours
        after = await self._metrics(0 if before is None else finished(before) + ours)
        counters = Counters.between(before, after)
        if before is not None and after is not None and counters is None:
            self.restarted = True
        self.blocks.append(
            BlockFacts(
                block.arm.name,
                block.case,
                block.start,
                block.stop,
                ours,
                counters,
                background.started,
                background.answered,
                background.broken_off,
                witness.running,
                witness.looks,
                tuple(met(span, background.spans) for span in self._spans) if block.arm.background else (),
                tuple(broken_off(span, background.spans) for span in self._spans) if block.arm.background else (),
                "" if background.answered else background.problem,
                background.freely,
            )
        )
        return after or before

    async def _metrics(self, at_least: int) -> MetricsSnapshot | None:
        return None if self._view is None else await self._view.settled_metrics(at_least)

    async def _block(self, block: Block) -> AsyncGenerator[Sample]:
        """Yields the samples of a block, `concurrency` requests being under way at any time."""
        for index in range(-self._priming(block), 0):
            await self._ask(block, index)
        waiting = iter(range(block.start, block.stop))
        landed: asyncio.Queue[Sample | BaseException] = asyncio.Queue()

        async def work(place: int) -> None:
            try:
                await asyncio.sleep(place * spread / width)
                for index in waiting:
                    landed.put_nowait(await self._ask(block, index))
            except Exception as problem:  # a fault of ours: hand it to whoever reads, instead of hanging
                landed.put_nowait(problem)

        width = min(block.arm.concurrency, block.stop - block.start)
        # Over more than an answer's length the first ones would be through before the last begin, and never meet them.
        spread = min(block.arm.spread_seconds, self._quickest)
        workers = [asyncio.create_task(work(place)) for place in range(width)]
        try:
            for _ in range(block.stop - block.start):
                sample = await landed.get()
                if isinstance(sample, BaseException):
                    raise sample
                yield sample
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    def _priming(self, block: Block) -> int:
        """Returns how many requests fill the cache first; an engine that died has lost what was to be found there."""
        lost = bool(self.deaths) and (block.arm.salting == "shared" or (block.arm.salting == "own" and block.start > 0))
        return max(block.arm.priming if block.start == 0 else 0, int(lost))

    def _note_answer(self, block: Block, answer: Answer) -> None:
        """Notes what tells one server from several, of requests that are sent one after another."""
        if block.arm.concurrency > 1 or block.arm.background:
            return
        self.seen.names[-1].append(f"{answer.model} {answer.system_fingerprint or ''}".strip())
        between = block.arm.re_encoded or block.arm.before or block.arm.evictors
        alike = not between and block.arm.salting in {"none", "shared", "own"}
        if alike and answer.cached_tokens is not None:
            self.seen.cached[-1].append(answer.cached_tokens)

    async def _ask(self, block: Block, index: int) -> Sample:
        for before in asked_before(self._plan, block.arm, block.case, index, nonce=self._nonce):
            with suppress(VQAError):  # whether the cache was filled is told by what the request finds there
                await self._client.ask(before)
                self._ours += 1
        question = question_for(self._plan, block.arm, block.case, index, nonce=self._nonce)
        started = time.time()
        answer: Answer | None = None
        error: SampleError | None = None
        try:
            answer = await self._client.ask(question, on_wait=self._on_wait)
            self._ours += 1
            self.retried += answer.retried > 0
            self._quickest = min(self._quickest, answer.seconds)
            self._note_answer(block, answer)
            self._spans.append(Span(started + (answer.seconds_to_first_token or 0.0), started + answer.seconds))
        except BrokenStreamError as problem:
            partial = problem.partial
            error = SampleError(problem.code, problem.message(), partial.text, partial.reasoning)
        except VQAError as problem:
            error = SampleError(problem.code, problem.message())
        return Sample(
            arm=block.arm.name,
            index=index,
            answer=answer,
            error=error,
            question=block.case,
            started_at=started,
            seed=question.sampling.seed,
            concurrency=block.arm.concurrency,
        )
