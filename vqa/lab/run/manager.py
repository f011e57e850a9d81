"""Runs that live in the app and not in a page: one background thread with its own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from vqa.answers import Json
from vqa.client import normalize_base_url
from vqa.errors import InputError, StoreError, UnforeseenError, VQAError
from vqa.lab.plan.arms import Plan, RunSpec
from vqa.lab.run.diagnose_job import diagnose_work
from vqa.lab.run.documents import exit_code, run_result
from vqa.lab.run.failures import failure_record
from vqa.lab.run.header import spec_record
from vqa.lab.run.job import RunJob, Work, plan_on_server, repeat_work
from vqa.lab.run.kept_summaries import keep_summaries, stored_summaries
from vqa.lab.run.live import LiveRun, RunStatus
from vqa.lab.stats.summary import RunSummary
from vqa.loopback import is_loopback
from vqa.settings import Settings
from vqa.store import Store

if TYPE_CHECKING:
    from vqa.engine.state import Engine

__all__ = ["RunManager", "RunStatus"]

REMEMBERED = 16
"""Ended runs whose summaries stay in memory."""
CLOSE_SECONDS = 10.0

_T = TypeVar("_T")
log = logging.getLogger("vqa.lab")


class RunManager:
    """Starts, stops and watches runs; safe to call from any thread."""

    def __init__(self, store: Store, settings: Settings) -> None:
        """Makes the thread only when the first run starts."""
        self._store = store
        self._settings = settings
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._runs: OrderedDict[str, LiveRun] = OrderedDict()
        self._claims: dict[str, str] = {}

    # Starting -------------------------------------------------------------------------------------------------------

    def start(self, spec: RunSpec, base_url: str, *, kind: str = "repeat", engine: Engine | None = None) -> str:
        """Starts a `repeat` or a `diagnose` run in the background and returns its id at once.

        `engine` is the managed engine behind the address, if there is one: its health questions are held back and
        its flags go into the run's header.

        Raises:
            InputError: the spec cannot be run, or another run is using this server.
            StoreError: the run cannot be stored.
        """
        spec.check()
        if kind == "diagnose":
            return self.start_work(diagnose_work(spec), spec, base_url, kind=kind, engine=engine)
        return self.start_work(repeat_work(spec), spec, base_url, kind=kind, engine=engine)

    def start_work(
        self,
        work: Work,
        spec: RunSpec,
        base_url: str,
        *,
        kind: str,
        engine: Engine | None = None,
        resume: str | None = None,
    ) -> str:
        """Starts any job as a run of `kind`, or lets the ended run `resume` go on; see `start`."""
        address = normalize_base_url(base_url)
        place = server_place(address)
        with self._lock:
            self._refuse_if_busy(address)
            header = {"base_url": address, "questions": list(spec.questions)}
            record = spec_record(spec)
            plan = {"spec": record, "images": record["images"]}
            if resume is None:
                run_id = self._store.create_run(kind, header=header, plan=plan, name=spec.name)
            else:
                self._store.reopen_run(resume)
                run_id = resume
            self._claims[place] = run_id
            live = self._runs[run_id] = LiveRun(run_id, kind)
            self._forget_old()
        job = RunJob(live, self._store, self._settings, address, spec, engine)
        asyncio.run_coroutine_threadsafe(self._run(job, work, address), self._running_loop())
        return run_id

    def plan(self, spec: RunSpec, base_url: str, *, engine: Engine | None = None) -> Plan:
        """Returns what a diagnosis would ask, how many requests and about how long; blocks for two requests.

        Raises:
            InputError: the spec cannot be run.
            ServerError: the server does not answer.
        """

        async def make() -> Plan:
            job = RunJob(
                LiveRun("", "diagnose"), self._store, self._settings, normalize_base_url(base_url), spec, engine
            )
            async with job.server() as (client, view):
                return await plan_on_server(client, view, spec, engine)

        return self._call(make())

    def _refuse_if_busy(self, address: str) -> None:
        place = server_place(address)
        run = self._claims.get(place)
        if run is None:
            # Another process on the same store, such as the command line beside the app.
            others = (
                stored.id
                for stored in self._store.runs(limit=50)
                if stored.status == "running" and server_place(stored.header.get("base_url") or "") == place
            )
            run = next((run_id for run_id in others if run_id not in self._runs), None)
        if run is not None:
            raise InputError("run_busy", run=run, address=address)

    async def _run(self, job: RunJob, work: Work, address: str) -> None:
        live = job.live
        live.task = asyncio.current_task()
        status, result, error, failure = "failed", None, None, None
        try:
            if live.stop_wanted:
                raise asyncio.CancelledError
            result = await work(job)
            status = "finished"
        except asyncio.CancelledError:
            status = "stopped"
            if job.aftermath is not None:
                error, failure = f"{job.aftermath.message()} {job.aftermath.hint()}", failure_record(job.aftermath)
        except VQAError as problem:
            error, failure = f"{problem.message()} {problem.hint()}", failure_record(problem)
        except Exception as problem:
            log.exception("run %s broke", live.run_id)
            told = UnforeseenError(problem)
            error, failure = f"{told.message()} {told.hint()}", failure_record(told)
        if result is None:
            try:
                result = await asyncio.to_thread(partial_result, job)
            except Exception:  # whoever waits for the run's end must hear of it all the same
                log.exception("what run %s still shows could not be told", live.run_id)
        if failure is not None:
            result = (result or {}) | {"failure": failure}
        # As the store will give it back: lists for tuples.
        result = json.loads(json.dumps(result))
        with contextlib.suppress(StoreError):
            # Where even this cannot be stored, the samples before it are; memory still knows the rest.
            await asyncio.to_thread(self._store.finish_run, live.run_id, status, result=result, error=error)
            if await asyncio.to_thread(lambda: keep_summaries(self._store, live.run_id, live.summaries())):
                live.forget()
        with self._lock:
            self._claims = {place: run for place, run in self._claims.items() if run != live.run_id}
        live.end(status, result=result, error=error)

    # Watching -------------------------------------------------------------------------------------------------------

    def stop(self, run_id: str) -> None:
        """Asks a run to stop and returns at once; requests under way are aborted, what was measured stays."""
        live = self._runs.get(run_id)
        if live is not None and self._loop is not None:
            live.stop_wanted = True
            self._loop.call_soon_threadsafe(lambda: live.task.cancel() if live.task else None)

    def status(self, run_id: str) -> RunStatus:
        """Returns where a run stands, from memory if it is there, else from the store.

        Raises:
            StoreError: there is no such run.
        """
        live = self._runs.get(run_id)
        if live is not None:
            return live.snapshot()
        run = self._store.run(run_id)
        seconds = (run.finished_at - run.created_at).total_seconds() if run.finished_at else 0.0
        total = run.plan.get("samples") or run.samples
        return RunStatus(
            run.id, run.kind, run.status, run.samples, total, seconds, None, error=run.error, result=run.result
        )

    def wait(self, run_id: str, *, after: int | None = None, timeout: float | None = None) -> RunStatus:
        """Returns once more than `after` samples are recorded (None: only at the end), or at the timeout.

        Raises:
            StoreError: there is no such run.
        """
        live = self._runs.get(run_id)
        return self.status(run_id) if live is None else live.wait(after, timeout)

    def summaries(self, run_id: str) -> dict[str, RunSummary]:
        """Returns the summary of every arm of a run, running or stored, keyed by arm name.

        Raises:
            StoreError: there is no such run.
        """
        live = self._runs.get(run_id)
        if live is None or live.forgotten:
            return stored_summaries(self._store, run_id)
        return live.summaries()

    def active(self) -> tuple[str, ...]:
        """Returns the ids of the runs under way in this process, oldest first."""
        with self._lock:
            return tuple(run_id for run_id, live in self._runs.items() if live.status == "running")

    def close(self) -> None:
        """Stops every run, waits for them to be stored as stopped, and ends the thread."""
        for run_id in self.active():
            self.stop(run_id)
        for run_id in self.active():
            self.wait(run_id, timeout=CLOSE_SECONDS)
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_SECONDS)

    # Inside ---------------------------------------------------------------------------------------------------------

    def _forget_old(self) -> None:
        ended = [run_id for run_id, live in self._runs.items() if live.status != "running"]
        for run_id in ended[:-REMEMBERED]:
            del self._runs[run_id]

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="vqa-runs", daemon=True)
                self._thread.start()
            return self._loop

    def _call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._running_loop()).result()


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Returns an event loop: uvloop's where it is installed, which takes half as long over a small reply."""
    try:
        import uvloop
    except ImportError:  # it is not made for every platform
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def server_place(address: str) -> str:
    """Returns what two addresses of one server have in common: this machine has several names, a port may be implied.

    A path stays: behind one port a router may serve several. Other names are not looked up.
    """
    parts = urlsplit(address)
    host = parts.hostname or ""
    own = is_loopback(host) or host.endswith(".localhost")
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return f"{'localhost' if own else host}:{port}{parts.path.rstrip('/')}"


def partial_result(job: RunJob) -> Json:
    """Returns what a stopped or failed repeat run still shows; None for other kinds and without a sample."""
    if job.partial is not None:
        try:
            return job.partial()
        except VQAError:  # it ended before anything was stored of which something could be said
            return None
    summaries = job.live.summaries()
    if job.live.kind != "repeat" or not summaries:
        return None
    arm, summary = next(iter(summaries.items()))
    result = run_result(summary, job.spec.require, arm=arm)
    status = job.live.snapshot()
    if status.done >= status.total:
        return result
    # What was not asked cannot be said to hold; a difference that was seen stays one.
    holds = False if result["holds"] is False else None
    early = {"done": status.done, "total": status.total, "by_hand": job.live.stop_wanted}
    return result | {"holds": holds, "exit_code": exit_code(holds), "stopped": early}
