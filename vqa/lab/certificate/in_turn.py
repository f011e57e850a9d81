"""One profile's engine after the other, or a server as it is: what horizon and matrix share in starting and going on.

Each has rows, one for each profile; what is known by now stands in them and is stored after every part.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from vqa.answers import Json, Sample
from vqa.client import Client
from vqa.errors import EngineError
from vqa.lab.certificate.wanted import Certified, wanted_profiles
from vqa.lab.plan.arms import Plan, RunSpec
from vqa.lab.run.going_back import then_back
from vqa.lab.run.job import RunJob, Work
from vqa.lab.run.manager import RunManager
from vqa.lab.run.public_header import public
from vqa.lab.run.server import ServerView
from vqa.settings import Settings

if TYPE_CHECKING:
    from vqa.engine.spec import EngineSpec
    from vqa.engine.state import Engine
    from vqa.store import Run

ATTACHED = "as-is"
"""The name of the only profile of a server that is not restarted."""


class Asked(Protocol):
    """What is asked under each profile."""

    @property
    def spec(self) -> RunSpec:
        """Question, pictures and sampling."""

    @property
    def profiles(self) -> tuple[str, ...]:
        """Those to restart the engine under; none asks a server as it is."""

    @property
    def model(self) -> str | None:
        """What to start, None for the probe."""

    @property
    def fields(self) -> Mapping[str, Json]:
        """Further fields of the engine's spec."""

    def record(self) -> dict[str, Json]:
        """Returns what the store keeps as the run's plan."""


class MakesWork(Protocol):
    """Makes the job out of the profiles that are wanted, what ran before, and the result of a run that goes on."""

    def __call__(
        self, wanted: Sequence[Certified] | None, before: EngineSpec | None, *, kept: Mapping[str, Json] | None
    ) -> Work:
        """Returns the job; without `wanted` the server is asked as it is."""


def start_in_turn(
    runs: RunManager,
    asked: Asked,
    settings: Settings,
    make: MakesWork,
    *,
    kind: str,
    engine: Engine | None,
    base_url: str | None,
    resume: Run | None,
) -> str:
    """Starts a run of `kind` and returns its id.

    With profiles the managed `engine` is restarted under each, and what ran before is started again after it; without
    them the server at `base_url` is asked as it is. `resume` is an ended run that goes on.

    Raises:
        InputError: a profile cannot be used, or another run is using the server.
        ModelError: the model is not here, or the probe cannot be written.
        EngineError: the engine is not managed from here.
    """
    kept = None if resume is None else resume.result
    run_id = None if resume is None else resume.id
    if not asked.profiles:
        if base_url is None:
            raise EngineError("engine_not_managed")
        work = make(None, None, kept=kept)
        return runs.start_work(work, asked.spec, base_url, kind=kind, engine=engine, resume=run_id)
    if engine is None:
        raise EngineError("engine_not_managed")
    before = engine.snapshot()
    wanted = wanted_profiles(engine, settings, asked.profiles, asked.model, **asked.fields)
    work = make(wanted, before.spec if before.serving else None, kept=kept)
    address = before.base_url or wanted[0].spec.base_url
    return runs.start_work(work, asked.spec, address, kind=kind, engine=engine, resume=run_id)


def work_in_turn(
    wanted: Sequence[Certified] | None,
    before: EngineSpec | None,
    row: Callable[[Certified | None], dict[str, Json]],
    result: Callable[[Sequence[dict[str, Json]]], dict[str, Json]],
    profile: Callable[[RunJob, dict[str, Json], Callable[[], dict[str, Json]]], InTurn[Any]],
) -> Work:
    """Returns the job: each profile's `row` is filled by its `profile`, then `before` starts again.

    Without `wanted` the server is asked as it is. `result` makes what is told and stored of all rows; `profile` is
    handed the job, its row, and what returns that by now.
    """

    async def work(job: RunJob) -> Json:
        rows = [row(each) for each in (wanted if wanted is not None else (None,))]

        def by_now() -> dict[str, Json]:
            return _so_far(job, rows, result(rows))

        job.partial = by_now

        async def measured() -> dict[str, Json]:
            for place, each in enumerate(rows, 1):
                able = None if wanted is None else wanted[place - 1]
                await profile(job, each, by_now).measure(able, (place, len(rows)))
            return by_now()

        return await (measured() if wanted is None else then_back(job, before, measured))

    return work


def _so_far(job: RunJob, rows: Sequence[Mapping[str, Json]], result: dict[str, Json]) -> dict[str, Json]:
    """Returns what is to be told by now; a run that did not come to its end says so."""
    if all(row["complete"] or row["reason"] for row in rows):
        return result
    now = job.live.snapshot()
    early = {"done": now.done, "total": max(now.done, now.total), "by_hand": job.live.stop_wanted}
    holds = False if result["holds"] is False else None
    return result | {"stopped": early, "holds": holds, "exit_code": 2 if holds is None else 1}


def empty_row(wanted: Certified | None) -> dict[str, Json]:
    """Returns what every profile's row has before its engine starts; None is a server that is asked as it is."""
    return {
        "name": name_of(wanted),
        "command": None if wanted is None else public({"command": wanted.spec.command()})["command"],
        "reason": None if wanted is None else wanted.reason,
        "control": None,
        "changed": False,
        "complete": False,
        "sessions": 1,
    }


def former_row(wanted: Certified | None, kept: Mapping[str, Json] | None) -> dict[str, Json] | None:
    """Returns the row that a former process left of a profile in the result `kept`, None where it left none."""
    return next((row for row in (kept or {}).get("profiles") or () if row["name"] == name_of(wanted)), None)


def gone_on(row: Mapping[str, Json], former: Mapping[str, Json], **parts: Json) -> dict[str, Json]:
    """Returns a profile's row with what a former process left in it, and with `parts` of its own kind."""
    kept = {key: former[key] for key in ("control", "changed", "complete")}
    return {**row, **kept, **parts, "sessions": former["sessions"] + (not former["complete"])}


def name_of(wanted: Certified | None) -> str:
    """Returns the name of a profile's row."""
    return ATTACHED if wanted is None else wanted.name


A = TypeVar("A", bound=Asked)


class InTurn(ABC, Generic[A]):
    """What is asked under one profile; what is known stands in the row."""

    def __init__(self, job: RunJob, asked: A, row: dict[str, Json], by_now: Callable[[], dict[str, Json]]) -> None:
        """`by_now` returns what is to be stored of all profiles."""
        self._job, self._asked, self._row, self._by_now = job, asked, row, by_now

    async def measure(self, wanted: Certified | None, place: tuple[int, int]) -> None:
        """Fills the row; a profile whose engine does not come up, or dies, gets the reason and the others go on."""
        row, job = self._row, self._job
        if row["reason"] is not None or row["complete"]:
            return
        try:
            if wanted is not None:
                job.live.tell(step="step_profile_of", profile=wanted.name, round=place[0], rounds=place[1])
                await job.restart(wanted.spec)
            async with job.server() as (client, view):
                if not job.headed:
                    await job.write_header(Plan(self._asked.spec, ()), view, record=self._asked.record())
                await self._keep()  # so that whoever goes on asks under names, and so under salts, of its own
                await self._ask(client, view)
        except EngineError as problem:
            if wanted is None:
                raise
            row["reason"] = problem.message()
            await self._keep()

    @abstractmethod
    async def _ask(self, client: Client, view: ServerView) -> None:
        """Asks the profile's server, to the end."""

    def _samples(self, arm: str) -> list[Sample]:
        return self._job.store.samples(self._job.live.run_id, arm=arm)

    async def _keep(self) -> None:
        """Stores what is known by now, so that a process that dies loses no more than the part under way."""
        await asyncio.to_thread(self._job.store.update_run, self._job.live.run_id, result=self._by_now())
