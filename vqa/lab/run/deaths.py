"""A managed engine that ends by itself while it is asked: seen, and named with its cause."""

from __future__ import annotations

import asyncio
import time

from vqa.answers import Json
from vqa.engine.state import Engine, EngineState, Failure, Snapshot
from vqa.errors import VQAError
from vqa.lab.run.failures import failure_record

NOTICE_SECONDS = 3.0
"""So long after a failed request may the engine's end be noticed: its process is looked at once a second."""
LOOK_SECONDS = 0.2
DEAD = frozenset({EngineState.FAILED, EngineState.BACKOFF})


class Mourner:
    """Looks after a failed request whether the engine has died; without an engine it never has."""

    def __init__(self, engine: Engine | None) -> None:
        self._engine = engine
        self._living: Snapshot | None = None

    async def begin(self) -> None:
        """Notes which process answers now."""
        self._living = await self._look()

    async def died(self, *, patient: bool) -> Json | None:
        """Returns the cause of the engine's end as `failure_record` writes it; None when it lives, or none is managed.

        With `patient`, it may still be noticed a moment later.
        """
        deadline = time.monotonic() + (NOTICE_SECONDS if patient else 0.0)
        while self._living is not None and (now := await self._look()) is not None:
            if now.state in DEAD or now.pid != self._living.pid:
                return failure_record(now.failure or Failure("unreachable", {"reason": "–"}))
            if time.monotonic() >= deadline:
                return None
            await asyncio.sleep(LOOK_SECONDS)
        return None

    async def _look(self) -> Snapshot | None:
        if self._engine is None:
            return None
        try:
            return await asyncio.to_thread(self._engine.snapshot)
        except VQAError:
            return None
