"""What the tabs of a public demo are handed instead of the real rooms: each visitor's own runs, and no control at all.

Whatever a handler is made to do, and by whatever route it is called, it holds nothing that could do more than this.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from vqa.answers import Sample
from vqa.engine.state import Engine, Snapshot
from vqa.errors import EngineError, InputError, StoreError, VQAError
from vqa.lab.run.live import RunStatus
from vqa.lab.run.manager import RunManager
from vqa.lab.run.recorded import is_recorded
from vqa.media.images import ImagePayload
from vqa.models.downloads import Downloads
from vqa.store import Run, Store
from vqa.ui.services import Services
from vqa.ui.web.visitors import Visitors, current_visitor

if TYPE_CHECKING:
    from vqa.lab.plan.arms import RunSpec
    from vqa.lab.stats.summary import RunSummary

SOME_ADDRESS = "http://127.0.0.1:8000/v1"
"""Stands in a visitor's report for the server's own."""
TURN_SECONDS = 600.0
"""How long a visitor's run waits for those before it."""
log = logging.getLogger("vqa.ui.public")


@contextmanager
def forgetting(services: Services) -> Iterator[None]:
    """Deletes, while the context lasts, visitors' runs when their time is up."""
    keep = 60 * services.settings.public_keep_minutes
    ended = threading.Event()

    def forget() -> None:
        while not ended.wait(min(60.0, keep / 2)):
            for run_id in services.visitors.expired():
                with suppress(StoreError):
                    services.store.delete_run(run_id)

    thread = threading.Thread(target=forget, name="forget visitors", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(10.0)


def refuse(*_: Any, **__: Any) -> NoReturn:
    """Raises the error that says what a public demo is not for."""
    raise EngineError("public_refused")


@dataclass(frozen=True)
class PublicServices(Services):
    """The rooms of a public demo."""

    real: Services

    @property
    def visitors(self) -> Visitors:
        """The same limits on every page."""
        return self.real.visitors

    @property
    def downloads(self) -> Downloads:
        """Refuses: visitors download nothing."""
        refuse()


def public_services(services: Services) -> PublicServices:
    """Returns what the tabs of a public demo may use of the app's rooms."""
    store, runs = VisitorStore(services), VisitorRuns(services)
    return PublicServices(services.settings, store, WatchedEngine(services.engine), runs, services)


class WatchedEngine:
    """An engine that can be looked at and nothing else; paths, processes and flags are not seen."""

    start = stop = restart = close = refuse

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def snapshot(self) -> Snapshot:
        """Returns the state, without what it tells of the machine."""
        return _redacted(self._engine.snapshot())

    def wait(self, until: Callable[[Snapshot], bool] | None = None, timeout: float | None = None) -> Snapshot:
        """Returns as `Engine.wait` does."""
        return _redacted(self._engine.wait(until, timeout))

    def log_tail(self, lines: int = 200) -> tuple[str, ...]:
        """Returns nothing."""
        return ()

    def metrics(self) -> None:
        """Returns nothing."""

    def metrics_history(self) -> tuple[()]:
        """Returns nothing."""
        return ()

    def quiet(self, seconds: float) -> None:
        """Holds back the engine's own questions, as `Engine.quiet` does."""
        self._engine.quiet(seconds)


def _redacted(snapshot: Snapshot) -> Snapshot:
    failure = snapshot.failure and replace(snapshot.failure, log_line="", log_tail=(), log_around=())
    return replace(snapshot, pid=None, pids=(), survivors=(), log_path=None, variables=(), holder=None, failure=failure)


def may_see(visitors: Visitors, run_id: str) -> None:
    """Raises StoreError, as for a run that does not exist, unless it is the visitor's own or came with the app."""
    if not is_recorded(run_id) and not visitors.owns(run_id):
        raise StoreError("run_missing", run=run_id)


class VisitorStore(Store):
    """The runs of the current visitor; of the rest of the store there is nothing.

    It takes the place of a Store without being opened as one: a method that is not named here fails.
    """

    runs = chats = messages = create_chat = add_message = rename_chat = delete_chat = refuse
    create_run = import_run = update_run = finish_run = delete_run = add_samples = put_image = refuse
    add_evaluated = reopen_run = refuse

    def __init__(self, services: Services) -> None:
        self._store, self._visitors = services.store, services.visitors

    def close(self) -> None:
        """Leaves the store to whoever opened it."""

    def run(self, run_id: str) -> Run:
        """Returns one of the visitor's runs without the server's address; others are missing, as StoreError says."""
        self._check(run_id)
        run = self._store.run(run_id)
        return replace(run, header=run.header | {"base_url": SOME_ADDRESS})

    def samples(self, run_id: str, *, after: int = 0, arm: str | None = None) -> list[Sample]:
        """Returns the samples of one of the visitor's runs."""
        self._check(run_id)
        return self._store.samples(run_id, after=after, arm=arm)

    def sample(self, sample_id: int) -> Sample:
        """Returns a sample by its place; places reach a handler through the visitor's own summaries only."""
        return self._store.sample(sample_id)

    def image(self, sha256: str) -> ImagePayload:
        """Returns a picture by its hash; hashes reach a handler through the visitor's own runs only."""
        return self._store.image(sha256)

    def _check(self, run_id: str) -> None:
        may_see(self._visitors, run_id)


class VisitorRuns(RunManager):
    """The current visitor's runs: one after the other, each within its limits, and forgotten after a while.

    It takes the place of a RunManager without being one inside: a method that is not named here fails.
    """

    start_work = plan = refuse

    def __init__(self, services: Services) -> None:
        self._inner, self._visitors = services.runs, services.visitors
        self._seconds = services.settings.max_seconds

    def start(self, spec: RunSpec, base_url: str, *, kind: str = "repeat", engine: Engine | None = None) -> str:
        """Starts the visitor's run as soon as those before it have ended, and returns its id; blocks until then.

        Raises:
            InputError: the spec cannot be run, the visitor asks too much, or the wait was too long.
        """
        if kind != "repeat":
            refuse()
        visitor, give_back = current_visitor(), self._visitors.take_place()
        try:
            self._visitors.admit()
            run_id = self._in_turn(lambda: self._inner.start(spec, base_url, kind=kind, engine=engine))
        except BaseException:
            give_back()
            raise
        self._visitors.own(run_id, visitor)
        threading.Thread(target=self._end, args=(run_id, give_back), name=f"limit {run_id}", daemon=True).start()
        return run_id

    def _in_turn(self, begin: Callable[[], str]) -> str:
        end = time.monotonic() + TURN_SECONDS
        while True:
            try:
                return begin()
            except InputError as problem:
                if problem.code != "run_busy" or time.monotonic() > end:
                    raise
                with suppress(StoreError):
                    self._inner.wait(str(problem.values["run"]), timeout=5.0)

    def _end(self, run_id: str, give_back: Callable[[], None]) -> None:
        try:
            if self._inner.wait(run_id, timeout=self._seconds).running:
                self._inner.stop(run_id)
                self._inner.wait(run_id, timeout=self._seconds)
        except VQAError as problem:
            log.warning("run %s: %s", run_id, problem.message())
        finally:
            give_back()

    def stop(self, run_id: str) -> None:
        """Asks one of the visitor's runs to stop."""
        self._check(run_id)
        self._inner.stop(run_id)

    def status(self, run_id: str) -> RunStatus:
        """Returns where one of the visitor's runs stands."""
        self._check(run_id)
        return self._inner.status(run_id)

    def wait(self, run_id: str, *, after: int | None = None, timeout: float | None = None) -> RunStatus:
        """Returns as `RunManager.wait` does, for one of the visitor's runs."""
        self._check(run_id)
        return self._inner.wait(run_id, after=after, timeout=timeout)

    def summaries(self, run_id: str) -> dict[str, RunSummary]:
        """Returns the summaries of one of the visitor's runs."""
        self._check(run_id)
        return self._inner.summaries(run_id)

    def active(self) -> tuple[str, ...]:
        """Returns the visitor's own runs under way."""
        return tuple(run_id for run_id in self._inner.active() if self._visitors.owns(run_id))

    def close(self) -> None:
        """Leaves the runs to whoever started the manager."""

    def _check(self, run_id: str) -> None:
        may_see(self._visitors, run_id)
