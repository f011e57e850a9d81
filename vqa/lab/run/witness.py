"""Looks again and again at how many requests a server says it is running, while a load is on it."""

from __future__ import annotations

import asyncio
from types import TracebackType

from vqa.lab.run.server import ServerView

LOOK_SECONDS = 0.1


class Witness:
    """Looks while its `async with` block lasts; without a view it sees nothing."""

    def __init__(self, view: ServerView | None) -> None:
        self._view = view
        self._task: asyncio.Task[None] | None = None
        self.running: int | None = None
        """The most that were said to run at once; None when the server gave no figures."""
        self.looks = 0

    async def __aenter__(self) -> Witness:
        if self._view is not None:
            self._task = asyncio.create_task(self._look(self._view))
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self, view: ServerView) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            metrics = await view.metrics()
            if metrics is None:
                return
            self.looks += 1
            self.running = max(self.running or 0, metrics.running)
