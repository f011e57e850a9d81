"""The engine for a page that did not come first: another process manages it, and this one when that is gone."""

import threading
from collections.abc import Callable

from vqa.engine.control import RemoteEngine
from vqa.engine.metrics import MetricsSnapshot
from vqa.engine.spec import EngineSpec
from vqa.engine.state import Engine, Prepare, Snapshot


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

    def snapshot(self) -> Snapshot:
        """As `Engine`; so are all the others.

        Raises:
            EngineError: the process that manages the engine does not answer, or is another page by now.
        """
        return self._now().snapshot()

    def start(self, spec: EngineSpec, prepare: Prepare | None = None) -> int:
        """Asks for a start and returns its generation at once."""
        return self._now().start(spec, prepare)

    def stop(self, force: bool = False) -> None:
        """Asks for a stop and returns at once."""
        self._now().stop(force)

    def restart(self, spec: EngineSpec | None = None) -> int:
        """Asks for a stop and then a start; returns the new generation at once."""
        return self._now().restart(spec)

    def wait(self, until: Callable[[Snapshot], bool] | None = None, timeout: float | None = None) -> Snapshot:
        """Returns the first snapshot for which `until` holds (default: settled), or the last one at the timeout."""
        return self._now().wait(until, timeout)

    def log_tail(self, lines: int = 200) -> tuple[str, ...]:
        """Returns the last lines of the log."""
        return self._now().log_tail(lines)

    def metrics(self) -> MetricsSnapshot | None:
        """Returns the latest figures, or None before the first."""
        return self._now().metrics()

    def metrics_history(self) -> tuple[MetricsSnapshot, ...]:
        """Returns the figures of the last minutes, oldest first."""
        return self._now().metrics_history()

    def quiet(self, seconds: float) -> None:
        """Holds back questions that the health check would ask for `seconds`."""
        self._now().quiet(seconds)

    def close(self, leave_running: bool = False) -> None:
        """Lets go of the engine; one that came down to this process ends as one of its own."""
        self._engine.close(leave_running)
