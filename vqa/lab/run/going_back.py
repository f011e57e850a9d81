"""A job that starts the managed engine otherwise gives back what it ran before, however the job ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from vqa.answers import Json
from vqa.errors import EngineError
from vqa.lab.run.failures import failure_record
from vqa.lab.run.job import RunJob

if TYPE_CHECKING:
    from vqa.engine.spec import EngineSpec


async def then_back(
    job: RunJob, before: EngineSpec | None, measure: Callable[[], Awaitable[dict[str, Json]]]
) -> dict[str, Json]:
    """Returns what was measured, once the engine runs `before` again (None: nothing).

    Where that does not come up again, the result says why under `failure`: what was measured stays measured.
    """
    try:
        result = await measure()
    except BaseException:
        with suppress(EngineError):
            await job.go_back(before)
        raise
    try:
        await job.go_back(before)
    except EngineError as problem:
        result["failure"] = failure_record(problem)
    return result
