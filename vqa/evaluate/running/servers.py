"""The servers that rows are sent to: asked while they are there, waited for while they are not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from vqa.answers import Answer, Question, Sample, SampleError
from vqa.client import BrokenStreamError, Client, Waiting
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
BUSY = frozenset({"server_busy", "server_busy_until"})
"""Refusals that pass: without a time to wait, or with a longer one than a single question is kept waiting."""
POLL_SECONDS = 1.0
BUSY_SECONDS = (1.0, 30.0)


class GoneError(Exception):
    """The server does not answer at all; the row is still to be asked."""


class Server:
    """One address. Use it within one event loop, and close it."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float,
        model: str | None,
        wait_seconds: float,
        on_wait: Callable[[Waiting], object] = lambda _: None,
    ) -> None:
        """`on_wait` hears of each wait that the server asks for, or that is made because it is busy."""
        self._on_wait = on_wait
        self.client = Client(base_url, api_key, timeout=timeout, model=model)
        self._wait_seconds = wait_seconds
        self._waiting: asyncio.Task[bool] | None = None
        self.given_up = False
        """Whether it stayed away longer than it is waited for."""
        self.answered = 0
        self.names: list[str] = []
        """What the answers call whoever gave them, each time that it was another than before."""
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
        pause, retried = BUSY_SECONDS[0], 0
        until = time.monotonic() + self._wait_seconds
        while True:
            started = time.time()
            answer: Answer | None = None
            error: SampleError | None = None
            try:
                answer = await self.client.ask(question, on_wait=self._on_wait)
                answer = replace(answer, retried=answer.retried + retried, server=self._named(answer))
                self.answered += 1
            except VQAError as problem:
                wait = max(pause, _asked_for(problem))
                if problem.code in BUSY and time.monotonic() + wait < until:
                    self._on_wait(Waiting(wait, str(problem.values.get("reason", ""))))
                    await asyncio.sleep(wait)
                    pause, retried = min(2 * pause, BUSY_SECONDS[1]), retried + 1
                    continue
                partial = problem.partial if isinstance(problem, BrokenStreamError) else Answer("", None)
                error = SampleError(problem.code, problem.message(), partial.text, partial.reasoning)
                self.problem = problem
            if error is not None and error.code not in OURS | BUSY and not await self.there():
                raise GoneError
            return Sample(ARM, index, answer, error, place, started, question.sampling.seed, concurrency)

    def _named(self, answer: Answer) -> str:
        """Returns who gave an answer, and notes where that is another one than before."""
        said = f"{answer.server} {answer.model} {answer.system_fingerprint or ''}".strip()
        if self.names[-1:] != [said]:
            self.names.append(said)
        return f"{self.client.base_url} {answer.server}".strip()

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


def _asked_for(problem: VQAError) -> float:
    """Returns the seconds that a busy server asks to wait; 0 where it does not say."""
    try:
        return float(str(problem.values.get("seconds") or 0))
    except ValueError:
        return 0.0
