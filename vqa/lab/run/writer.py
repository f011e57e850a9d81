"""One writer for the store: whatever landed while the last transaction ran goes into the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Generic, TypeVar

T = TypeVar("T")
PAUSE_SECONDS = 0.02
"""Between two transactions: what lands meanwhile costs a tenth of one of its own. The first is stored at once."""
MOST_WAITING = 512
"""Of what may wait for the store; more would be lost by a crash, and a full store must slow the asking."""


class Writer(Generic[T]):
    """Stores in the background, in order; what was put and not stored is lost only by a crash."""

    def __init__(self, write: Callable[[list[T]], object]) -> None:
        """`write` stores some of them together, in a thread; it raises StoreError where it cannot."""
        self._write = write
        self._waiting: list[T] = []
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._hurry = asyncio.Event()
        self._ending = False
        self._current: asyncio.Future[object] | None = None
        self._problem: Exception | None = None

    async def put(self, item: T) -> None:
        """Takes what is to be stored; waits while too much is not.

        Raises:
            StoreError: something that was put before could not be stored.
        """
        self._waiting.append(item)
        self._news.set()
        if len(self._waiting) >= MOST_WAITING:
            self._room.clear()
            self._hurry.set()
        await self._room.wait()
        if self._problem is not None:
            raise self._problem

    async def run(self) -> None:
        """Stores until `end` is called.

        Raises:
            StoreError: something could not be stored; nothing is taken any more.
        """
        try:
            while not self._ending or self._waiting:
                await self._news.wait()
                self._news.clear()
                await self._store_all()
                await self._pause()
        except Exception as problem:
            self._problem = problem
            self._room.set()
            raise

    def end(self) -> None:
        """Lets `run` return once everything is stored."""
        self._ending = True
        self._news.set()
        self._hurry.set()

    async def _pause(self) -> None:
        """Waits a moment, or until there is no room or nothing more will come."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSE_SECONDS):
                await self._hurry.wait()

    async def flush(self) -> None:
        """Stores what is waiting, where `run` was cancelled, once what is being stored is."""
        if self._current is not None:
            await asyncio.wait([self._current])
        if self._problem is None:
            await self._store_all()

    async def _store_all(self) -> None:
        taken, self._waiting = self._waiting, []
        if taken:
            self._current = asyncio.ensure_future(asyncio.to_thread(self._write, taken))
            await asyncio.shield(self._current)
            self._room.set()
            if not self._ending:
                self._hurry.clear()


@asynccontextmanager
async def storing(write: Callable[[list[T]], object]) -> AsyncIterator[Writer[T]]:
    """Yields a writer; at the end, however it comes, what was put is stored.

    Raises:
        StoreError: something could not be stored.
    """
    writer = Writer(write)
    task = asyncio.create_task(writer.run())
    try:
        yield writer
        writer.end()
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await writer.flush()
