"""The servers that rows are sent to: asked while they are there, waited for while they are not."""

from __future__ import annotations

import asyncio
import time

from vqa.answers import Answer, Question, Sample, SampleError
from vqa.client import BrokenStreamError, Client
from vqa.errors import ServerError, VQAError
from vqa.evaluate.running.values import ARM

OURS = frozenset(
    {
        *("server_rejected", "context_exceeded", "server_unauthorized", "server_not_found", "question_empty"),
        *("server_forbidden", "server_account_empty", "server_body_too_large", "server_no_chat", "server_redirects"),
        *("answer_filtered", "answer_unfamiliar", "answer_only_reasoning", "answer_empty"),
    }
)
"""Refusals of this very request, and replies without an answer: asking again would bring the same."""
BUSY = "server_busy"
POLL_SECONDS = 1.0
BUSY_SECONDS = (1.0, 30.0)


class GoneError(Exception):
    """The server does not answer at all; the row is still to be asked."""


class Server:
    """One address. Use it within one event loop, and close it."""

    def __init__(self, base_url: str, api_key: str, *, timeout: float, model: str | None, wait_seconds: float) -> None:
        self.client = Client(base_url, api_key, timeout=timeout, model=model)
        self._wait_seconds = wait_seconds
        self._waiting: asyncio.Task[bool] | None = None
        self.given_up = False
        """Whether it stayed away longer than it is waited for."""
        self.answered = 0
        self.problem: VQAError | None = None
        """The last reason why it did not answer."""

    async def close(self) -> None:
        """Closes the connections."""
        if self._waiting is not None:
            self._waiting.cancel()
        await self.client.close()

    async def ask(self, question: Question, place: int, index: int, concurrency: int) -> Sample:
        """Returns the answer, or the error where this request failed at a server that is there.

        Raises:
            GoneError: the server is not there; wait with `back`, then ask again.
        """
        pause = BUSY_SECONDS[0]
        until = time.monotonic() + self._wait_seconds
        while True:
            started = time.time()
            answer: Answer | None = None
            error: SampleError | None = None
            try:
                answer = await self.client.ask(question)
                self.answered += 1
            except VQAError as problem:
                if problem.code == BUSY and time.monotonic() + pause < until:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, BUSY_SECONDS[1])
                    continue
                partial = problem.partial if isinstance(problem, BrokenStreamError) else Answer("", None)
                error = SampleError(problem.code, problem.message(), partial.text, partial.reasoning)
                self.problem = problem
            if error is not None and error.code not in OURS and error.code != BUSY and not await self.there():
                raise GoneError
            return Sample(ARM, index, answer, error, place, started, question.sampling.seed, concurrency)

    async def there(self) -> bool:
        """Returns whether the server answers and does not say of itself that its engine is dead."""
        try:
            await self.client.info(refresh=True)
            health = await self.client.page("/health")
        except ServerError as problem:
            self.problem = problem
            return False
        return health is not None and health[0] < 500

    async def back(self) -> bool:
        """Waits until the server is there again; returns False where it took too long. One wait serves all workers."""
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.create_task(self._wait())
        return await asyncio.shield(self._waiting)

    async def _wait(self) -> bool:
        until = time.monotonic() + self._wait_seconds
        while not await self.there():
            if time.monotonic() >= until:
                self.given_up = True
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True
