"""Keeps Gradio quiet: the traceback of a refused event, data and all, out of the log, and an idle page off the core."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import gradio as gr
import gradio.queueing
import gradio.routes

QUEUE_SECONDS, IDLE_SECONDS, PROGRESS_SECONDS = 0.005, 0.5, 0.25
"""Of a queue in which events wait for their turn, of an empty one, and of Gradio's progress bars, of which the page has
none.
"""

log = logging.getLogger("vqa.ui")


def one_line(*_: Any, **__: Any) -> None:
    """Logs which kind of error is being handled, without its message."""
    log.warning("an event was refused: %s", type(sys.exception()).__name__)


def keep_events_out_of_the_log() -> None:
    """Lets Gradio log one line for an event that it cannot handle; our own handlers log their faults themselves."""
    quiet = SimpleNamespace(**{**vars(traceback), "print_exc": one_line})
    for module in (gradio.queueing, gradio.routes):
        module.traceback = quiet  # type: ignore[attr-defined]


class Pause(float):
    """How long a queue that has nothing to do sleeps, and what wakes it."""

    def __new__(cls, _queue: gradio.queueing.Queue) -> Pause:
        """Returns the seconds between two looks at a queue in which something waits for its turn."""
        return super().__new__(cls, QUEUE_SECONDS)

    def __init__(self, queue: gradio.queueing.Queue) -> None:
        self._queue = queue
        self._pushed = asyncio.Event()
        self._push = queue.push

    async def push(self, *given: Any, **named: Any) -> Any:
        """Returns as the queue's own does, and wakes it."""
        try:
            return await self._push(*given, **named)
        finally:
            self._pushed.set()

    async def over(self) -> None:
        """Returns when the queue is to be looked at."""
        if len(self._queue):
            await asyncio.sleep(self)
            return
        self._pushed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_SECONDS):
                await self._pushed.wait()


async def _sleep(seconds: float, *result: Any) -> Any:
    return await (seconds.over() if isinstance(seconds, Pause) else asyncio.sleep(seconds, *result))


def look_less_often(page: gr.Blocks) -> None:
    """Lets the queue, which looks for new events a thousand times a second, wait for them instead."""
    queue = page._queue
    pause = Pause(queue)
    queue.sleep_when_free = pause
    queue.progress_update_sleep_when_free = PROGRESS_SECONDS
    queue.push = pause.push  # type: ignore[method-assign]
    vars(gradio.queueing)["asyncio"] = SimpleNamespace(**{**vars(asyncio), "sleep": _sleep})
