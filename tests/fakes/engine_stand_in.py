"""An engine whose profiles behave as told, for what the lab does with a managed one; a real one is in tests/real."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.behaviour import Behaviour
from tests.fakes.openai_server import FakeServer
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState, Failure, Snapshot

SPEC = EngineSpec("models/probe", served_model_name="probe")


@dataclass
class StandIn:
    """An engine whose every profile behaves as told; only what the lab uses of `vqa.engine.state.Engine`."""

    behaviours: dict[str, Behaviour]
    broken: tuple[str, ...] = ()
    server: FakeServer = field(default_factory=FakeServer)
    spec: EngineSpec = SPEC
    state: EngineState = EngineState.STOPPED
    generation: int = 0
    started: list[str] = field(default_factory=list)
    silenced: float = 0.0
    pid: int = 1_000_000_000
    """Beyond what an operating system gives out."""
    held: threading.Event | None = None
    """A restart does not serve before this is set."""
    by_spec: Callable[[EngineSpec], Behaviour] | None = None
    """How it behaves under a spec, where that is more than its profile."""
    same_process: bool = False
    """A restart leaves the process as it is."""

    def snapshot(self) -> Snapshot:
        codes = {EngineState.FAILED: "out_of_memory", EngineState.BACKOFF: "killed"}
        failure = Failure(codes[self.state], {"code": -9}) if self.state in codes else None
        shown = {"spec": self.spec, "base_url": self.server.base_url, "pid": self.pid, "failure": failure}
        return Snapshot(self.state, self.generation, **shown)

    def restart(self, spec: EngineSpec | None = None) -> int:
        self.server.stop()
        self.spec = spec or self.spec
        self.generation += 1
        self.pid += not self.same_process
        self.started.append(self.spec.profile)
        if self.spec.profile in self.broken:
            self.state = EngineState.FAILED
            return self.generation
        self.server.behaviour = (self.by_spec or (lambda spec: self.behaviours[spec.profile]))(self.spec)
        self.server.state = type(self.server.state)()
        self.server.start()
        self.state = EngineState.READY if self.held is None else EngineState.STARTING
        return self.generation

    def die(self) -> None:
        """Ends by itself, as if killed; comes back when it is waited for, as a process of its own."""
        self.server.stop()
        self.state = EngineState.BACKOFF

    def stop(self, force: bool = False) -> None:
        self.server.stop()
        self.state = EngineState.STOPPED

    def wait(self, until: Callable[[Snapshot], bool] | None = None, timeout: float | None = None) -> Snapshot:
        if self.state is EngineState.STARTING and self.held is not None and self.held.wait(min(timeout or 0.1, 0.1)):
            self.state = EngineState.READY
        if self.state is EngineState.BACKOFF:
            self.pid += 1
            self.server.state = type(self.server.state)()
            self.server.start()
            self.state = EngineState.READY
        return self.snapshot()

    def quiet(self, seconds: float) -> None:
        self.silenced = max(self.silenced, seconds)
