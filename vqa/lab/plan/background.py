"""Requests beside those that count: unrelated ones of mixed length, as other people's traffic, or chosen ones."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import aclosing

from vqa.answers import Answer, Question, Sampling
from vqa.client import Client, Delta, NoAnswerError
from vqa.errors import VQAError
from vqa.lab.plan.neighbours import Neighbours, Span
from vqa.lab.plan.words import WORDS

START_SECONDS = 20.0
PAUSE_AFTER_ERROR = 0.2


class Background:
    """Keeps `width` requests under way from `start` to `stop`: unrelated ones, or what `neighbours` ask."""

    def __init__(self, client: Client, width: int, *, seed: int = 0, neighbours: Neighbours | None = None) -> None:
        self._client = client
        self._width = width
        self._neighbours = neighbours
        self._random = random.Random(seed)  # noqa: S311 - lengths, not secrets
        self._tasks: list[asyncio.Task[None]] = []
        self._flowing = asyncio.Event()
        self._alive: set[int] = set()
        self.started = 0
        self.answered = 0
        """Requests that produced at least one token."""
        self.finished = 0
        """Requests that ran to their end."""
        self.broken_off = 0
        """Requests that were under way when it stopped, or were broken off on purpose."""
        self.spans: list[Span] = []
        """When each request that produced a token was under way."""
        self.freely = 0
        """Answers that should have been JSON and were not."""
        self.problem = ""
        """Why the last request that failed did."""

    async def start(self) -> None:
        """Returns when half of them have produced a token, or after 20 seconds anyway."""
        self._tasks = [asyncio.create_task(self._keep_asking(worker)) for worker in range(self._width)]
        try:
            await asyncio.wait_for(self._flowing.wait(), START_SECONDS)
        except TimeoutError:
            return

    async def stop(self) -> None:
        """Breaks off what is under way; the server aborts it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.broken_off += len(self._tasks)
        self._tasks = []

    async def _keep_asking(self, worker: int) -> None:
        length = (await self._client.info()).max_model_len or 2048
        while True:
            number = self.started
            self.started += 1
            pieces = None
            if self._neighbours is not None:
                question, pieces = self._neighbours.question(number), self._neighbours.pieces(number)
            else:
                question = self._question(length)
            try:
                await self._ask(question, pieces, worker)
            except NoAnswerError:  # nothing but reasoning, say: the server worked all the same
                self.finished += 1
            except VQAError as problem:
                self.problem = problem.message()
                if self._neighbours is not None and not self._alive and self.started > 2 * self._width:
                    self._flowing.set()  # what is always refused is not waited for
                await asyncio.sleep(PAUSE_AFTER_ERROR)

    async def _ask(self, question: Question, pieces: int | None, worker: int) -> None:
        """Asks one question, and breaks it off after so many pieces of its answer."""
        first, broken, came = None, False, 0
        try:
            async with aclosing(self._client.stream(question)) as arriving:
                async for event in arriving:
                    if isinstance(event, Answer):
                        said = event.text.strip()
                        self.freely += question.json_schema is not None and bool(said) and not said.startswith("{")
                    if not isinstance(event, Delta):
                        continue
                    came += 1
                    if first is None:
                        first = time.time()
                        self._came(worker)
                    if came == pieces:
                        broken = True
                        break
            if broken:
                self.broken_off += 1
            else:
                self.finished += 1
        finally:
            if first is not None:
                self.spans.append(Span(first, time.time(), broken))

    def _came(self, worker: int) -> None:
        self.answered += 1
        self._alive.add(worker)
        if 2 * len(self._alive) >= self._width:
            self._flowing.set()

    def _question(self, max_model_len: int) -> Question:
        most = max(8, min(400, max_model_len // 8))
        text = " ".join(self._random.choices(WORDS, k=self._random.randint(4, most)))
        tokens = self._random.randint(8, max(16, min(160, max_model_len // 8)))
        # Another temperature than the run's: what others ask is not greedy either. No seed: vLLM 0.32 on a CPU dies
        # of a seeded request whose prefill is split ('CPU Generator does not use offset').
        sampling = Sampling(temperature=0.7, max_tokens=tokens, ignore_eos=True)
        return Question(text, sampling=sampling, logprobs=None)
