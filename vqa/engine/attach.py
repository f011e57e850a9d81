"""Somebody else's OpenAI-compatible server seen as an engine: its health and figures, no start and no stop."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from vqa.engine import health
from vqa.engine.metrics import MetricsHistory, MetricsSnapshot, scrape_server
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState, Failure, Limits, Phase, Prepare, Snapshot
from vqa.errors import EngineError, InputError


class AttachedEngine:
    """Watches the server at `base_url` from a thread of its own until closed.

    `model` is whom to ask where the server lists it, or lists none; else the first that it lists.

    It asks one question when it attaches and whenever the server seems to have recovered, never in between: other
    people may use that server, and a question would join their batch.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str = "",
        *,
        model: str | None = None,
        on_change: Callable[[Snapshot], None] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._url = base_url.rstrip("/")
        self._key = "" if api_key == "EMPTY" else api_key
        self._model = model
        self._limits = limits or Limits()
        self._on_change = on_change
        self._changed = threading.Condition()
        self._end = threading.Event()
        self._wake = threading.Event()
        self._history = MetricsHistory()
        now = time.time()
        self._snapshot = Snapshot(
            EngineState.STARTING, 1, since=now, started=now, base_url=self._url, attached=True, phase=Phase.WARMING_UP
        )
        self._thread = threading.Thread(target=self._watch, name="engine-attached", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        failures = 0
        while not self._end.is_set():
            now, asked_for = self._snapshot, self._model
            target = health.Endpoint(
                self._url, now.model_id, preferred=asked_for, api_key=self._key, images=now.takes_images
            )
            found = health.probe(target, self._limits, ask=now.state != EngineState.READY)
            failures = 0 if found.fine else failures + 1
            if asked_for != self._model:  # another one was chosen meanwhile
                continue
            if found.code == "other_model":  # it was restarted with another model: get to know it anew
                self._publish(model_id=None, takes_images=None)
            elif found.fine:
                self._recognise(found)
            elif failures >= self._limits.failures or now.state == EngineState.STARTING:
                self._publish(state=EngineState.UNHEALTHY, failure=Failure(found.code or "", found.values))
            if figures := scrape_server(self._url, self._key, self._limits.connect):
                self._history.add(figures, local=False)
            self._wake.wait(self._limits.metrics_every if found.fine else self._limits.probe_failing)
            self._wake.clear()

    def _recognise(self, found: health.Probe) -> None:
        now = self._snapshot
        takes = found.takes_images if found.takes_images is not None else now.takes_images
        if (now.state, now.model_id, now.model_ids, now.max_model_len, now.takes_images) == (
            EngineState.READY, found.model_id, found.model_ids, found.max_model_len, takes,
        ):  # fmt: skip
            return
        self._publish(
            state=EngineState.READY,
            failure=None,
            phase=Phase.READY,
            ready_at=now.ready_at or time.time(),
            model_id=found.model_id,
            model_ids=found.model_ids,
            max_model_len=found.max_model_len,
            takes_images=takes,
            vllm_version=found.version or now.vllm_version,
        )

    def _publish(self, **changes: object) -> None:
        state = changes.get("state", self._snapshot.state)
        since = self._snapshot.since if state == self._snapshot.state else time.time()
        with self._changed:
            self._snapshot = replace(self._snapshot, since=since, **changes)  # type: ignore[arg-type]
            self._changed.notify_all()
        if self._on_change:
            self._on_change(self._snapshot)

    def snapshot(self) -> Snapshot:
        """Returns the server's state as it was last seen."""
        return self._snapshot.at()

    def choose(self, model: str) -> None:
        """Asks another of the models that the server lists from now on; returns before it has answered.

        Raises:
            InputError: the server lists no such model.
        """
        now = self._snapshot
        if model not in now.model_ids:
            raise InputError("choice_invalid", name="model", value=model, known=", ".join(now.model_ids))
        if model == now.model_id:
            return
        self._model = model
        self._publish(
            state=EngineState.STARTING, phase=Phase.WARMING_UP, started=time.time(), failure=None, model_id=model,
            takes_images=None,
        )  # fmt: skip
        self._wake.set()

    def _refuse(self) -> EngineError:
        return EngineError("engine_attached", base_url=self._url)

    def start(self, spec: EngineSpec, prepare: Prepare | None = None) -> int:
        """Raises EngineError: the server is not ours."""
        raise self._refuse()

    def stop(self, force: bool = False) -> None:
        """Raises EngineError: the server is not ours."""
        raise self._refuse()

    def restart(self, spec: EngineSpec | None = None) -> int:
        """Raises EngineError: the server is not ours."""
        raise self._refuse()

    def wait(self, until: Callable[[Snapshot], bool] | None = None, timeout: float | None = None) -> Snapshot:
        """Returns the first snapshot for which `until` holds (default: settled), or the last one at the timeout."""
        wanted = until or (lambda snapshot: snapshot.settled)
        with self._changed:
            self._changed.wait_for(lambda: wanted(self._snapshot) or self._end.is_set(), timeout)
        return self.snapshot()

    def log_tail(self, lines: int = 200) -> tuple[str, ...]:
        """Returns nothing: the server's log is where it runs."""
        del lines
        return ()

    def metrics(self) -> MetricsSnapshot | None:
        """Returns the latest figures, or None when the server has none."""
        return self._history.latest

    def metrics_history(self) -> tuple[MetricsSnapshot, ...]:
        """Returns the figures of the last minutes, oldest first."""
        return self._history.all

    def quiet(self, seconds: float) -> None:
        """Does nothing: a server that answers is asked no questions."""
        del seconds

    def close(self, leave_running: bool = True) -> None:
        """Ends the watching; the server stays as it is."""
        del leave_running
        self._end.set()
        self._wake.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(timeout=2 * self._limits.connect)
