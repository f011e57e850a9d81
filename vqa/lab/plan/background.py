"""Unrelated requests of mixed length that run beside the background arm, as other people's traffic would."""

from __future__ import annotations

import asyncio
import random

from vqa.answers import Question, Sampling
from vqa.client import Client, Delta, NoAnswerError
from vqa.errors import VQAError
from vqa.lab.plan.words import WORDS

START_SECONDS = 20.0
PAUSE_AFTER_ERROR = 0.2


class Background:
    """Keeps `width` unrelated requests under way from `start` to `stop`."""

    def __init__(self, client: Client, width: int, *, seed: int = 0) -> None:
        self._client = client
        self._width = width
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
        """Requests that were under way when it stopped."""

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
            question = self._question(length)
            self.started += 1
            first = True
            try:
                async for event in self._client.stream(question):
                    if first and isinstance(event, Delta):
                        first = False
                        self.answered += 1
                        self._alive.add(worker)
                        if 2 * len(self._alive) >= self._width:
                            self._flowing.set()
                self.finished += 1
            except NoAnswerError:  # nothing but reasoning, say: the server worked all the same
                self.finished += 1
            except VQAError:
                await asyncio.sleep(PAUSE_AFTER_ERROR)

    def _question(self, max_model_len: int) -> Question:
        most = max(8, min(400, max_model_len // 8))
        text = " ".join(self._random.choices(WORDS, k=self._random.randint(4, most)))
        tokens = self._random.randint(8, max(16, min(160, max_model_len // 8)))
        # Another temperature than the run's: what others ask is not greedy either. No seed: vLLM 0.32 on a CPU dies
        # of a seeded request whose prefill is split ('CPU Generator does not use offset').
        sampling = Sampling(temperature=0.7, max_tokens=tokens, ignore_eos=True)
        return Question(text, sampling=sampling, logprobs=None)
