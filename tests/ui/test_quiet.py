"""An idle page costs nothing: the queue sleeps until something is asked."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import gradio as gr
import pytest
from gradio.queueing import EventQueue

from vqa.ui.web import quiet


async def test_an_idle_queue_sleeps_until_something_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "IDLE_SECONDS", 3600.0)
    page = gr.Blocks(analytics_enabled=False).queue()
    queue, looks, taken = page._queue, [], asyncio.Event()
    queue.event_queue_per_concurrency_id["one"] = waiting = EventQueue("one", 1)

    async def push(event: Any) -> str:
        waiting.queue.append(event)
        return "pushed"

    def get_events() -> None:
        looks.append(len(waiting.queue))
        waiting.queue.clear()
        taken.set()

    monkeypatch.setattr(queue, "push", push)
    monkeypatch.setattr(queue, "get_events", get_events)
    quiet.look_less_often(page)
    queue.active_jobs = [None]
    counted = Mock(side_effect=lambda: len(waiting.queue))
    monkeypatch.setattr(type(queue), "__len__", lambda _: counted())
    running = asyncio.create_task(queue.start_processing())
    for _ in range(5):
        await asyncio.sleep(0.01)
    assert counted.call_count <= 2, "an empty queue was looked at again and again"
    for _ in range(2):
        taken.clear()
        assert await queue.push("a question") == "pushed"
        await taken.wait()
    assert looks == [1, 1]
    running.cancel()
