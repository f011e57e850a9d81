"""The values that describe an engine at one moment, and which state may follow which."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from vqa.engine.spec import EngineSpec
from vqa.text import Language, t

if TYPE_CHECKING:
    from vqa.engine.metrics import MetricsSnapshot


class EngineState(StrEnum):
    """Where an engine stands."""

    STOPPED = "stopped"
    DOWNLOADING = "downloading"
    STARTING = "starting"
    READY = "ready"
    UNHEALTHY = "unhealthy"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    FAILED = "failed"


class Phase(StrEnum):
    """What a starting engine is doing, in the order in which it happens."""

    INSTALLING = "installing"
    DOWNLOADING = "downloading"
    IMPORTING = "importing"
    LOADING = "loading"
    COMPILING = "compiling"
    KV_CACHE = "kv_cache"
    WARMING_UP = "warming_up"
    READY = "ready"


_S = EngineState
SETTLED = frozenset({_S.STOPPED, _S.READY, _S.UNHEALTHY, _S.FAILED})
ACTIVE = frozenset({_S.DOWNLOADING, _S.STARTING, _S.READY, _S.UNHEALTHY, _S.BACKOFF, _S.STOPPING})
LEGAL: Mapping[EngineState, frozenset[EngineState]] = {
    _S.STOPPED: frozenset({_S.DOWNLOADING, _S.STARTING, _S.FAILED}),
    _S.FAILED: frozenset({_S.DOWNLOADING, _S.STARTING, _S.STOPPED}),
    _S.DOWNLOADING: frozenset({_S.STARTING, _S.FAILED, _S.STOPPING}),
    _S.STARTING: frozenset({_S.READY, _S.UNHEALTHY, _S.FAILED, _S.STOPPING}),
    _S.READY: frozenset({_S.UNHEALTHY, _S.BACKOFF, _S.FAILED, _S.STOPPING}),
    _S.UNHEALTHY: frozenset({_S.READY, _S.BACKOFF, _S.FAILED, _S.STOPPING}),
    _S.BACKOFF: frozenset({_S.DOWNLOADING, _S.STARTING, _S.STOPPED, _S.FAILED}),
    _S.STOPPING: frozenset({_S.STOPPED, _S.STARTING, _S.DOWNLOADING, _S.FAILED}),
}
"""Which state may follow which. STOPPED -> FAILED is a start that was refused before anything was spawned, STARTING ->
UNHEALTHY a server that is up but answers no question, FAILED -> STOPPED a stop that clears a failure away."""


@dataclass(frozen=True)
class Limits:
    """How long things may take, in seconds unless named otherwise; tests shorten them."""

    tick: float = 0.1
    watch: float = 1.0
    """Between two looks at the process group."""
    stall: float = 300.0
    """Without a line of output and without progress, after which a start is given up."""
    start: float = 3600.0
    """The longest that a start may take, however much it logs."""
    connect: float = 3.0
    chat: float = 20.0
    """The longest that a one-token question may take while the server is idle."""
    warm: float = 180.0
    """The longest that the question before the first READY may take; kernels are compiled for it."""
    probe_starting: float = 0.3
    probe_ready: float = 5.0
    chat_every: float = 30.0
    probe_failing: float = 2.0
    busy_stall: float = 600.0
    """With requests running but not one token of progress, after which a busy server counts as hanging."""
    failures: int = 3
    metrics_every: float = 2.0
    term: float = 15.0
    """Between SIGTERM to the leader and SIGKILL to the group."""
    linger: float = 3.0
    """After the leader has ended politely, for the others to put away what they share, before SIGKILL."""
    kill: float = 5.0
    """After SIGKILL, before what is left is reported as surviving."""
    prepare_cancel: float = 20.0
    backoff: tuple[float, ...] = (2.0, 8.0, 32.0)
    stable: float = 300.0
    """In READY, after which earlier crashes are forgotten."""
    adopt: float = 5.0
    log_bytes: int = 16_000_000
    log_keep: int = 1_000_000
    lock_wait: float = 3.0


@dataclass(frozen=True)
class Failure:
    """Why an engine is not serving: `code` names the text, `log_line` is the line that shows it."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)
    log_line: str = ""
    log_tail: tuple[str, ...] = ()
    exit_code: int | None = None
    log_around: tuple[str, ...] = ()
    """The lines before and after `log_line`, that one among them: it may stand far above the end."""

    def message(self, language: Language = "en") -> str:
        """Returns the cause in a sentence or two."""
        return t(self._key, language, **self.values)

    def hint(self, language: Language = "en") -> str:
        """Returns what to change."""
        return t(f"{self._key}_hint", language, **self.values)

    @property
    def _key(self) -> str:
        """A code such as `errors.model_folder_empty` is that error's own text."""
        return self.code if "." in self.code else f"engine.cause_{self.code}"


@dataclass(frozen=True)
class DownloadBytes:
    """How far a download is; None where a number is not known yet."""

    done_bytes: int = 0
    total_bytes: int | None = None
    done_files: int = 0
    total_files: int | None = None
    bytes_per_second: float | None = None
    seconds_left: float | None = None
    detail: str = ""
    installing: str = ""
    """The environment that the engine waits for, while it is still being installed."""


@dataclass(frozen=True)
class PhaseMark:
    """One phase of a start: when it began, in seconds after the start, and how long it took so far."""

    phase: Phase
    started: float
    elapsed: float


@dataclass(frozen=True)
class Snapshot:
    """All that can be known about an engine at one moment; times are Unix seconds, durations seconds."""

    state: EngineState
    generation: int = 0
    since: float = 0.0
    """When this state was entered."""
    started: float | None = None
    ready_at: float | None = None
    """When the current generation first became ready."""
    phase: Phase | None = None
    phases: tuple[PhaseMark, ...] = ()
    elapsed: float = 0.0
    """Since the start began, until ready or until it ended."""
    seconds_without_output: float | None = None
    spec: EngineSpec | None = None
    base_url: str | None = None
    model_id: str | None = None
    model_ids: tuple[str, ...] = ()
    """What somebody else's server lists, embedders and their like last; empty for an engine that is managed here."""
    max_model_len: int | None = None
    takes_images: bool | None = None
    """Whether the probe's image was accepted; None before the first probe."""
    vllm_version: str | None = None
    pid: int | None = None
    pids: tuple[int, ...] = ()
    adopted: bool = False
    attached: bool = False
    restarts: int = 0
    retry_at: float | None = None
    """When BACKOFF ends."""
    failure: Failure | None = None
    """The cause of FAILED, UNHEALTHY or BACKOFF."""
    progress: DownloadBytes | None = None
    survivors: tuple[int, ...] = ()
    killed: float | None = None
    """Seconds after which the stop that ended the engine had to kill it; None when it ended when asked to."""
    log_path: str | None = None
    variables: tuple[tuple[str, str], ...] = ()
    """What the engine has from the shell of whoever started it, as `shell.inherited`; empty for an adopted one."""
    holder: str | None = None
    """Who manages the engine, when it is not this process."""

    @property
    def settled(self) -> bool:
        """Whether nothing is under way."""
        return self.state in SETTLED

    @property
    def serving(self) -> bool:
        """Whether questions can be asked now."""
        return self.state in (EngineState.READY, EngineState.UNHEALTHY)

    @property
    def docs_url(self) -> str | None:
        """The address of the server's own /docs page."""
        return self.base_url.removesuffix("/v1") + "/docs" if self.base_url else None

    def to_dict(self) -> dict[str, Any]:
        """Returns the snapshot as plain values that JSON can hold."""
        plain = asdict(self)
        if self.failure:
            plain["failure"]["values"] = {key: str(value) for key, value in self.failure.values.items()}
            plain["failure"]["message"] = self.failure.message()
            plain["failure"]["hint"] = self.failure.hint()
        if self.spec:
            plain["command"] = self.spec.command()
        return plain

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> "Snapshot":
        """Returns the snapshot that `to_dict` wrote."""
        values = {key: value for key, value in plain.items() if key != "command"}
        values["state"] = EngineState(values["state"])
        values["phase"] = Phase(values["phase"]) if values["phase"] else None
        values["phases"] = tuple(
            PhaseMark(Phase(mark["phase"]), mark["started"], mark["elapsed"]) for mark in values["phases"]
        )
        for name in ("pids", "survivors", "model_ids"):
            values[name] = tuple(values.get(name, ()))
        values["variables"] = tuple((str(name), str(value)) for name, value in values.get("variables", ()))
        values["spec"] = EngineSpec.from_dict(values["spec"]) if values["spec"] else None
        values["progress"] = DownloadBytes(**values["progress"]) if values["progress"] else None
        if failure := values["failure"]:
            values["failure"] = Failure(
                failure["code"],
                failure["values"],
                failure["log_line"],
                tuple(failure["log_tail"]),
                failure["exit_code"],
                tuple(failure.get("log_around", ())),
            )
        return Snapshot(**values)

    def at(self, now: float | None = None, last_output: float | None = None) -> "Snapshot":
        """Returns the snapshot with its running durations counted up to `now`."""
        now = time.time() if now is None else now
        if self.state not in (EngineState.DOWNLOADING, EngineState.STARTING) or self.started is None:
            return self
        elapsed = now - self.started
        phases = self.phases
        if phases:
            phases = (*phases[:-1], replace(phases[-1], elapsed=elapsed - phases[-1].started))
        silent = now - last_output if last_output is not None else None
        return replace(self, elapsed=elapsed, phases=phases, seconds_without_output=silent)


Report = Callable[[DownloadBytes], None]
Cancelled = Callable[[], bool]
Prepare = Callable[["EngineSpec", Report, Cancelled], "EngineSpec"]
"""Brings the model of a spec onto this machine; reports progress, looks at `cancelled`. Returns what is to be started:
with the local folder, and with what could not be planned before the model was there."""


@runtime_checkable
class Engine(Protocol):
    """One engine, whoever manages it: this process, another one on the same data folder, or somebody else."""

    def snapshot(self) -> Snapshot:
        """Returns the state at this moment."""

    def start(self, spec: EngineSpec, prepare: Prepare | None = None) -> int:
        """Asks for a start and returns its generation at once."""

    def stop(self, force: bool = False) -> None:
        """Asks for a stop and returns at once; `force` skips the polite part."""

    def restart(self, spec: EngineSpec | None = None) -> int:
        """Asks for a stop and then a start; returns the new generation at once."""

    def wait(self, until: Callable[[Snapshot], bool] | None = None, timeout: float | None = None) -> Snapshot:
        """Returns the first snapshot for which `until` holds (default: settled), or the last one at the timeout."""

    def log_tail(self, lines: int = 200) -> tuple[str, ...]:
        """Returns the last lines of the log."""

    def metrics(self) -> "MetricsSnapshot | None":
        """Returns the latest figures, or None before the first."""

    def metrics_history(self) -> "tuple[MetricsSnapshot, ...]":
        """Returns the figures of the last minutes, oldest first."""

    def quiet(self, seconds: float) -> None:
        """Holds back questions that the health check would ask for `seconds`, so that it joins nobody's batch."""

    def close(self, leave_running: bool = False) -> None:
        """Lets go of the engine; stops a managed one unless `leave_running`."""
