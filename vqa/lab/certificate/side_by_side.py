"""Engines of several profiles started next to one another: a certificate then waits for one start, not for each."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from vqa.engine.ports import free_port
from vqa.errors import EngineError, VQAError
from vqa.lab.run.job import wait_serving
from vqa.settings import Settings

if TYPE_CHECKING:
    from vqa.engine.machine import Machine
    from vqa.engine.spec import EngineSpec
    from vqa.engine.state import Engine

GPU_SHARE = 0.9
"""Of each GPU's memory, for all engines together."""
KV_CACHE_BYTES = 2 << 30
"""Of each engine on a GPU. Given outright, because vLLM's own measurement fails while a neighbour frees memory."""
PATIENCE = 3.0
"""How many times as long as the quickest start the others may take, and at least so many seconds more:"""
LEAST_PATIENCE = 120.0
END_SECONDS = 60.0

Started = Mapping[str, "tuple[Engine, int] | EngineError"]
"""By profile: the engine and its generation, or why it could not even be asked to start."""


def neighbours(specs: Mapping[str, EngineSpec], *, cuda: bool) -> dict[str, EngineSpec]:
    """Returns the specs so changed that their engines fit beside one another: a port and a share of the GPUs each.

    Raises:
        EngineError: no port is free.
    """
    found: dict[str, EngineSpec] = {}
    last: int | None = None
    for name, spec in specs.items():
        port = free_port(spec.host, spec.port if last is None else last)
        if port is None:
            raise EngineError("port_none_free", host=spec.host)
        last = port
        found[name] = replace(spec, port=port)
        if cuda:
            share = round(GPU_SHARE / len(specs), 2)
            found[name] = replace(found[name], gpu_memory_utilization=share, kv_cache_memory_bytes=KV_CACHE_BYTES)
    return found


def with_room(spec: EngineSpec, machine: Machine) -> EngineSpec:
    """Returns the spec of an engine that is alone on its GPU with as large a KV cache as one beside others gets.

    What is planned for a model holds fewer long prompts at a time than a certificate asks.
    """
    planned, share = spec.kv_cache_memory_bytes, spec.gpu_memory_utilization
    if planned is None or share is None or planned >= KV_CACHE_BYTES:
        return spec
    more = (KV_CACHE_BYTES - planned) / min(gpu.memory_total for gpu in machine.gpus)
    share = min(GPU_SHARE, math.ceil(1000 * (share + more)) / 1000)
    return replace(spec, kv_cache_memory_bytes=KV_CACHE_BYTES, gpu_memory_utilization=share)


@asynccontextmanager
async def side_by_side(
    settings: Settings, specs: Mapping[str, EngineSpec], own: Mapping[str, Settings] | None = None
) -> AsyncIterator[Started]:
    """Yields engines that have been asked to start, one for each spec; stops them all in the end.

    `own` are the settings of those that another Python runs. Each has a folder of its own below the data folder (log,
    record, lock), as if it were another user's.
    """
    started: dict[str, tuple[Engine, int] | EngineError] = {}
    opened: list[Engine] = []
    try:
        for name, spec in specs.items():
            started[name] = await asyncio.to_thread(_start, (own or {}).get(name, settings), name, spec, opened)
        yield started
    finally:
        await asyncio.shield(asyncio.gather(*(asyncio.to_thread(_end, engine) for engine in opened)))


async def settled(started: Started, *, least: float = LEAST_PATIENCE) -> None:
    """Returns when every engine serves or has failed; those that take far longer than the quickest are stopped.

    Nothing is measured beside a start, and one that hangs must not keep the others from being measured.
    """
    engines = [each for each in started.values() if not isinstance(each, EngineError)]
    waits = {asyncio.ensure_future(wait_serving(*each)): each[0] for each in engines}
    if not waits:
        return
    began = time.monotonic()
    try:
        _, late = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if late:
            _, late = await asyncio.wait(late, timeout=max(least, PATIENCE * (time.monotonic() - began)))
        await asyncio.gather(*(asyncio.to_thread(_stop, waits[wait]) for wait in late))
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def _start(settings: Settings, name: str, spec: EngineSpec, opened: list[Engine]) -> tuple[Engine, int] | EngineError:
    from vqa.engine.opening import open_engine
    from vqa.engine.supervisor import settings_beside

    try:
        engine = open_engine(settings_beside(settings, name))
        opened.append(engine)
        return engine, engine.start(spec)
    except VQAError as problem:
        return EngineError("engine_not_started", reason=problem.message(), hint=problem.hint())


def _stop(engine: Engine) -> None:
    engine.stop()
    engine.wait(timeout=END_SECONDS)


def _end(engine: Engine) -> None:
    _stop(engine)
    engine.close()
