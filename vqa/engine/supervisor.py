"""The managed engine for everybody else: requests go to one owner thread, answers are frozen snapshots."""

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from vqa.engine import logfile, shell
from vqa.engine.control import ControlServer
from vqa.engine.environments import engine_python, installing
from vqa.engine.folder import check_folder
from vqa.engine.installation import after_installation, not_installed
from vqa.engine.lock import FolderLock, Kind
from vqa.engine.machine import Machine
from vqa.engine.metrics import MetricsSnapshot
from vqa.engine.owner import Owner
from vqa.engine.spec import EngineSpec, check
from vqa.engine.state import EngineState, Limits, Prepare, Snapshot
from vqa.engine.surroundings import Surroundings
from vqa.engine.vllm_args import check_flags, known_facts
from vqa.errors import EngineError, VQAError
from vqa.settings import Settings

_T = TypeVar("_T")
_ANSWER = 30.0
"""Seconds; the owner's thread answers in milliseconds."""
_NAP = 0.5
"""Seconds; a signal that arrives just before a thread falls asleep is handled only when it wakes."""
_log = logging.getLogger(__name__)
BESIDE = "side-by-side"
"""Where the folders of further engines lie in the data folder."""


def engine_folder(settings: Settings) -> Path:
    """Returns the folder of the engine's record, lock, socket and log."""
    return settings.data_dir / "engine"


def settings_beside(settings: Settings, name: str) -> Settings:
    """Returns the settings of another engine of this data folder, which has a folder of its own in it."""
    return settings.model_copy(
        update={"data_dir": settings.data_dir / BESIDE / name, "vllm_python": Path(engine_python(settings))}
    )


def all_settings(settings: Settings) -> list[Settings]:
    """Returns the settings themselves and those of every other engine that this data folder has had beside it."""
    names = sorted(path.name for path in (settings.data_dir / BESIDE).glob("*"))
    return [settings, *(settings_beside(settings, name) for name in names)]


class Supervisor:
    """Manages the one engine of a data folder; safe to use from any thread, and from a signal handler.

    A handler may interrupt its own thread in the middle of `wait` or `stop`. So nothing here takes a lock that the
    owner's thread needs: what passes between threads are SimpleQueues, which are reentrant, and frozen snapshots.

    Making one takes the folder's lock and adopts an engine that an earlier process left running.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_change: Callable[[Snapshot], None] | None = None,
        limits: Limits | None = None,
        preparer: Prepare | None = None,
        kind: Kind = "page",
    ) -> None:
        """Takes over the engine of `settings.data_dir`.

        Args:
            settings: whose data folder, port, restarts and interpreter count.
            on_change: called with every new snapshot, in the owner's thread; must not wait for the engine.
            limits: how long things may take.
            preparer: fetches the model of a start that another process asked for, when its folder is not there yet.
            kind: what others are told about this process.

        Raises:
            EngineError: another process manages the engine of this folder; the error names it.
        """
        self._settings = settings
        self._limits = limits or Limits()
        self._preparer = preparer
        self._folder = engine_folder(settings)
        self._lock = FolderLock(self._folder)
        holder = self._lock.acquire(kind, self._limits.lock_wait)
        self._waiters: list[queue.SimpleQueue[None]] = []
        self._on_change = on_change
        self._requests: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._closed = False
        self._environment = dict(os.environ)
        self._owner = Owner(
            Surroundings(
                folder=self._folder,
                python=lambda: engine_python(settings),
                environment=self._environment,
                api_key=_secret(settings),
                restarts=settings.engine_restarts,
                limits=self._limits,
                publish=self._publish,
                post=self._requests.put,
            )
        )
        self._snapshot = self._owner.snapshot
        self._owner.adopt()
        self._publish(self._owner.snapshot)
        self._thread = threading.Thread(target=self._work, name="engine-owner", daemon=True)
        self._thread.start()
        self._control = ControlServer(self, self._folder)
        self._lock.write(replace(holder, socket=self._control.address))

    # ---- what others ask for

    def snapshot(self) -> Snapshot:
        """Returns the state at this moment."""
        return self._snapshot.at(last_output=self._owner.last_output)

    def start(self, spec: EngineSpec, prepare: Prepare | None = None) -> int:
        """Asks for a start and returns its generation at once; follow it by `wait`.

        Args:
            spec: what to start.
            prepare: fetches the model first; without it, the supervisor's preparer does when the folder is missing.

        Raises:
            InputError: the spec cannot be started on this machine. Nothing was started.
            EngineError: vLLM is not installed, or an engine with another spec is running.
        """
        spec, prepare = self._checked(spec, prepare)
        return self._ask(lambda: self._owner.start(spec, prepare))

    def refuse(self, problem: VQAError) -> None:
        """Shows `problem` as the reason why nothing was started, where nothing runs."""
        self._ask(lambda: self._owner.refuse(problem))

    def stop(self, force: bool = False) -> None:
        """Asks for a stop and returns at once; harmless in any state. `force` skips the polite part."""
        self._ask(lambda: self._owner.stop(force))

    def restart(self, spec: EngineSpec | None = None, prepare: Prepare | None = None) -> int:
        """Asks for a stop and then a start, with the same spec when none is given; returns the new generation.

        Raises:
            InputError, EngineError: as `start`; and when nothing was ever started.
        """
        if spec is not None:
            spec, prepare = self._checked(spec, prepare)
        return self._ask(lambda: self._owner.restart(spec, prepare))

    def wait(self, until: Callable[[Snapshot], bool] | None = None, timeout: float | None = None) -> Snapshot:
        """Returns the first snapshot for which `until` holds (default: settled), or the last one at the timeout."""
        wanted = until or (lambda snapshot: snapshot.settled)
        deadline = None if timeout is None else time.monotonic() + timeout
        news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._waiters.append(news)
        try:
            while not (wanted(self._snapshot) or self._closed):
                left = _NAP if deadline is None else min(_NAP, deadline - time.monotonic())
                if left <= 0:
                    break
                with contextlib.suppress(queue.Empty):
                    news.get(timeout=left)
        finally:
            self._waiters.remove(news)
        return self.snapshot()

    def log_tail(self, lines: int = 200) -> tuple[str, ...]:
        """Returns the last lines of the engine's log, of this start only."""
        return logfile.tail(self._folder / "engine.log", lines)

    def metrics(self) -> MetricsSnapshot | None:
        """Returns the latest figures, or None before the first."""
        return self._owner.history.latest

    def metrics_history(self) -> tuple[MetricsSnapshot, ...]:
        """Returns the figures of the last minutes, oldest first."""
        return self._ask(lambda: self._owner.history.all)

    def quiet(self, seconds: float) -> None:
        """Holds back the health check's own questions for `seconds`, so that they join nobody's batch; 0 ends it."""
        self._ask(lambda: self._owner.quiet(seconds))

    def close(self, leave_running: bool = False, force: bool = False) -> None:
        """Ends the supervision and frees the folder; stops the engine first unless `leave_running`.

        `force` kills the engine at once. An engine left running is adopted by the next supervisor of this folder; a
        stop under way is brought to its end first, since nobody else would kill what does not heed it.
        """
        if self._closed:
            return
        limit = self._limits.term + 2 * self._limits.kill + self._limits.prepare_cancel
        if leave_running:
            self.wait(lambda now: now.state is not EngineState.STOPPING, limit)
            self._ask(self._owner.let_go)
        else:
            self.stop(force)
            self.wait(lambda now: now.state in (EngineState.STOPPED, EngineState.FAILED), limit)
        self._control.close()
        self._closed = True
        self._requests.put(None)
        self._thread.join()
        self._lock.release()
        self._wake()

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- the inside

    def _checked(self, spec: EngineSpec, prepare: Prepare | None) -> tuple[EngineSpec, Prepare | None]:
        machine = Machine.load(self._settings)
        if problem := shell.refused(self._environment, machine):
            raise problem
        for problem in (*check(spec, machine), *check_flags(spec, known_facts(self._settings))):
            raise problem
        if installing(self._settings):
            spec, prepare = self._found(spec, prepare)
            return spec, after_installation(self._settings, prepare)
        if machine.vllm_version is None:
            raise not_installed(self._settings, machine.python)
        return self._found(spec, prepare)

    def _found(self, spec: EngineSpec, prepare: Prepare | None) -> tuple[EngineSpec, Prepare | None]:
        """Returns the spec of a folder that is checked, and what fetches the model where it is not there yet."""
        if prepare is None:
            folder = Path(spec.model).expanduser()
            if self._preparer is None or folder.exists():
                check_folder(folder)
                return replace(spec, model=str(folder.resolve())), None
            return spec, self._preparer
        return spec, prepare

    def _ask(self, request: Callable[[], _T]) -> _T:
        """Has the owner's thread answer `request`, which never takes long."""
        if self._closed:
            raise EngineError("engine_closed")
        answer: queue.SimpleQueue[tuple[BaseException | None, Any]] = queue.SimpleQueue()

        def work() -> None:
            try:
                answer.put((None, request()))
            except BaseException as problem:  # handed to whoever asked
                answer.put((problem, None))

        self._requests.put(work)
        try:
            problem, value = answer.get(timeout=_ANSWER)
        except queue.Empty:
            raise EngineError("engine_holder_silent", holder="engine-owner", reason=f"{_ANSWER:.0f} s") from None
        if problem is not None:
            raise problem
        return cast(_T, value)

    def _work(self) -> None:
        """The owner's thread."""
        while True:
            try:
                request = self._requests.get(timeout=self._owner.pause())
                if request is None:
                    return
                request()
            except queue.Empty:
                pass
            except Exception:
                _log.exception("engine request failed")
            try:
                self._owner.tick()
            except Exception:
                _log.exception("engine tick failed")
                time.sleep(self._limits.tick)

    def _publish(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._wake()
        if self._on_change is None:
            return
        try:
            self._on_change(snapshot)
        except Exception:
            _log.exception("engine listener failed")

    def _wake(self) -> None:
        for waiter in tuple(self._waiters):
            waiter.put(None)


def _secret(settings: Settings) -> str:
    key: Any = settings.api_key.get_secret_value()
    return "" if key == "EMPTY" else str(key)
