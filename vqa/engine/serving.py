"""Tells whoever waits for answers that the managed engine was stopped or replaced, at once and with that reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from vqa.engine.state import Engine, EngineState, Snapshot
from vqa.errors import EngineError, VQAError

_T = TypeVar("_T")
LOOK_SECONDS = 0.5
"""Between two looks at the engine while nothing arrives."""
ENDING = frozenset({EngineState.STOPPING, EngineState.STOPPED})


class Watch:
    """Looks whether the engine behind a question is still the one that it was when this was made.

    An engine that died by itself is none of its business: the server's own silence tells that, and it may come back.
    """

    def __init__(self, engine: Engine | None, *, revived: bool = False) -> None:
        """`engine` is the managed one, or None where nobody here manages the server: then nothing is looked at.

        With `revived`, one with the same flags that was started after the first one died is still the same.
        """
        self._engine = engine
        self._revived = revived
        self._first: Snapshot | None = None
        self._dead = False

    async def begin(self) -> None:
        """Notes which engine it is; what is asked before it is called is not watched."""
        self._first = await self._look()

    async def check(self) -> None:
        """Returns while the engine is the same and not told to stop.

        Raises:
            EngineError: it was told to stop, or another one was started in its place.
        """
        first = self._first
        if first is None or (now := await self._look()) is None:
            return
        if now.state in ENDING or self._replaced(first, now):
            raise EngineError("engine_stopped_meanwhile")
        self._dead = self._dead or now.state in {EngineState.FAILED, EngineState.BACKOFF}

    def _replaced(self, first: Snapshot, now: Snapshot) -> bool:
        if now.generation == first.generation or (now.pid, now.started) == (first.pid, first.started):
            return False  # one that started anew after its own death, or another model that was never started
        return not (self._revived and self._dead and now.spec == first.spec)

    async def ended(self) -> None:
        """Waits as long as the engine is the same and not told to stop; raises EngineError then."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.check()

    async def _look(self) -> Snapshot | None:
        if self._engine is None:
            return None
        try:
            return await asyncio.to_thread(self._engine.snapshot)
        except VQAError:  # who manages it is busy, or gone: the server itself says whether it still answers
            return None


async def while_serving(source: AsyncGenerator[_T], watch: Watch) -> AsyncGenerator[_T]:
    """Yields what `source` does for as long as the engine is the one that it was and is not told to stop; closes it.

    A vLLM that is told to stop may keep its connections, and a request on them, for minutes. A fault of `source` that
    comes of the engine's end is told as that.

    Raises:
        EngineError: the engine was told to stop, or another one was started in its place.
    """
    await watch.begin()
    async with aclosing(source):
        while True:
            coming = asyncio.ensure_future(anext(source))
            try:
                while not (await asyncio.wait({coming}, timeout=LOOK_SECONDS))[0]:
                    await watch.check()
            finally:
                if not coming.done():
                    coming.cancel()
                    await asyncio.gather(coming, return_exceptions=True)
            try:
                item = coming.result()
            except StopAsyncIteration:
                return
            except VQAError:
                await watch.check()
                raise
            yield item
