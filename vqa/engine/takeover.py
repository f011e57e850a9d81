"""The engine for who did not come first: another process manages it, and this one when that has let go of it."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from vqa.engine.control import RemoteEngine
from vqa.engine.metrics import MetricsSnapshot
from vqa.engine.spec import EngineSpec
from vqa.engine.state import Engine, Prepare, Snapshot
from vqa.errors import EngineError

_T = TypeVar("_T")
_POLL = 0.2
_LEAVING = 10.0
"""Seconds within which a process that has put its socket away lets go of the folder."""


class Takeover:
    """Passes everything on to the process that manages the engine, or to whatever `take_over` opened after its end."""

    def __init__(self, remote: RemoteEngine, take_over: Callable[[], Engine]) -> None:
        self._engine: Engine = remote
        self._take_over = take_over
        self._lock = threading.RLock()  # a signal's handler may ask while its own thread does

    def _now(self) -> Engine:
        with self._lock:
            if isinstance(self._engine, RemoteEngine) and not self._engine.holder.alive():
                self._engine = self._take_over()
            return self._engine

    def _ask(self, question: Callable[[Engine], _T]) -> _T:
        """Returns what the engine answers; of a process that is letting go, what whoever comes after it answers."""
        engine = self._now()
        try:
            return question(engine)
        except EngineError as problem:
            hangs = problem.code != "engine_holder_silent" or isinstance(problem.__cause__, TimeoutError)
            if hangs or not isinstance(engine, RemoteEngine) or not _leaves(engine):
                raise
        with self._lock:
            if self._engine is engine:
                self._engine = self._opened_anew(engine)
            return question(self._engine)

    def _opened_anew(self, left: RemoteEngine) -> Engine:
        """Returns the engine as its next process has it; waits while the last one still holds the folder."""
        until = time.monotonic() + _LEAVING
        while True:
            try:
                opened = self._take_over()
            except EngineError as problem:
                if problem.code != "engine_locked" or time.monotonic() > until:
                    raise
            else:
                if not (isinstance(opened, RemoteEngine) and opened.holder == left.holder and opened.left()):
                    return opened
                if time.monotonic() > until:
                    return opened
            time.sleep(_POLL)

    def snapshot(self) -> Snapshot:
        """As `Engine`; so are all the others.

        Raises:
            EngineError: the process that manages the engine does not answer, or is another page by now.
        """
        return self._ask(lambda engine: engine.snapshot())

    def start(self, spec: EngineSpec, prepare: Prepare | None = None) -> int:
        """Asks for a start and returns its generation at once."""
        return self._ask(lambda engine: engine.start(spec, prepare))

    def stop(self, force: bool = False) -> None:
        """Asks for a stop and returns at once."""
        self._ask(lambda engine: engine.stop(force))

    def restart(self, spec: EngineSpec | None = None) -> int:
        """Asks for a stop and then a start; returns the new generation at once."""
        return self._ask(lambda engine: engine.restart(spec))

    def wait(self, until: Callable[[Snapshot], bool] | None = None, timeout: float | None = None) -> Snapshot:
        """Returns the first snapshot for which `until` holds (default: settled), or the last one at the timeout."""
        deadline = None if timeout is None else time.monotonic() + timeout

        def waited(engine: Engine) -> Snapshot:
            return engine.wait(until, None if deadline is None else max(0.0, deadline - time.monotonic()))

        return self._ask(waited)

    def log_tail(self, lines: int = 200) -> tuple[str, ...]:
        """Returns the last lines of the log."""
        return self._ask(lambda engine: engine.log_tail(lines))

    def metrics(self) -> MetricsSnapshot | None:
        """Returns the latest figures, or None before the first."""
        return self._ask(lambda engine: engine.metrics())

    def metrics_history(self) -> tuple[MetricsSnapshot, ...]:
        """Returns the figures of the last minutes, oldest first."""
        return self._ask(lambda engine: engine.metrics_history())

    def quiet(self, seconds: float) -> None:
        """Holds back questions that the health check would ask for `seconds`."""
        self._ask(lambda engine: engine.quiet(seconds))

    def close(self, leave_running: bool = False) -> None:
        """Lets go of the engine; one that came down to this process ends as one of its own."""
        self._engine.close(leave_running)


def _leaves(engine: RemoteEngine) -> bool:
    """Returns whether the process that did not answer is letting go; between closing and removing lies a moment."""
    until = time.monotonic() + 1.0
    while not (left := engine.left()) and time.monotonic() < until:
        time.sleep(_POLL)
    return left
