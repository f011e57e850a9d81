"""What was observed beside the answers: counters around each block, who the server was before and after."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field

from vqa.answers import Json
from vqa.engine.metrics import MetricsSnapshot
from vqa.lab.diagnosis.several import Several
from vqa.lab.plan.arms import Capabilities


@dataclass(frozen=True)
class Counters:
    """Differences of vLLM's counters over a block."""

    finished: int
    """Requests that ended with stop or length."""
    preemptions: int
    prefix_cache_hits: int
    """Tokens."""
    mm_cache_hits: int
    """Images."""

    @classmethod
    def between(cls, before: MetricsSnapshot | None, after: MetricsSnapshot | None) -> Counters | None:
        """Returns the differences, or None when the server gave no figures or started to count anew."""
        if before is None or after is None:
            return None
        differences = cls(
            finished(after) - finished(before),
            after.preemptions - before.preemptions,
            after.prefix_cache_hits - before.prefix_cache_hits,
            after.mm_cache_hits - before.mm_cache_hits,
        )
        return None if min(asdict(differences).values()) < 0 else differences


def finished(metrics: MetricsSnapshot) -> int:
    """Returns how many requests a server has answered to the end since it started."""
    return metrics.request_success.get("stop", 0) + metrics.request_success.get("length", 0)


@dataclass(frozen=True)
class BlockFacts:
    """What the server counted while one block ran."""

    arm: str
    case: int
    start: int
    stop: int
    ours: int
    """Requests of ours that were answered to the end, priming and background included."""
    counters: Counters | None
    background_started: int = 0
    """Unrelated requests that were sent beside it."""
    background_answered: int = 0
    """Those that produced at least one token."""
    in_doubt: int = 0
    """Requests of ours that were broken off: the server may have counted them or not."""
    running: int | None = None
    """The most requests that the server itself said it was running, whenever it was looked at; None: not looked at."""
    looks: int = 0
    """How often it was looked at."""
    met: tuple[int, ...] = ()
    """Of each answer, in order, how many were under way at once with it, at most, itself included; of arms with a
    background only."""
    broken_beside: tuple[int, ...] = ()
    """Of each answer, in order, how many of the background's were broken off meanwhile."""
    background_problem: str = ""
    """Why the background's requests failed, where none was answered."""
    background_freely: int = 0
    """Answers of the background that should have been JSON and were not."""

    @property
    def others(self) -> int | None:
        """Requests that somebody else had answered meanwhile; None when the server does not count."""
        return None if self.counters is None else max(0, self.counters.finished - self.ours - self.in_doubt)


@dataclass(frozen=True)
class Identity:
    """Which server it is, as far as it tells."""

    model_ids: tuple[str, ...] = ()
    model_root: str | None = None
    vllm_version: str | None = None

    def contradicts(self, other: Identity) -> bool:
        """Returns whether both tell something and not the same; what one does not tell is no contradiction."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("model_ids", "model_root", "vllm_version"))
        return any(mine and theirs and mine != theirs for mine, theirs in pairs)


@dataclass(frozen=True)
class EngineProcess:
    """An engine's process, told from a later one with the same PID by its creation time."""

    pid: int
    created: float | None = None
    """Unix seconds; None when the operating system did not tell."""


@dataclass(frozen=True)
class Start:
    """One restart before an arm: the engine's process then and before; None where it is not known."""

    arm: str
    process: EngineProcess | None
    former: EngineProcess | None

    @property
    def fresh(self) -> bool:
        """Whether another process than before was seen."""
        return self.process is not None and self.process != self.former


@dataclass(frozen=True)
class Death:
    """The managed engine ended by itself while an arm was asked; the other arms were asked once it was back."""

    arm: str
    failure: Json
    """Why, as `vqa.lab.run.failures.failure_record` writes it; None where that cannot be said again."""


@dataclass(frozen=True)
class Facts:
    """All that a diagnosis may use beside the samples."""

    capabilities: Capabilities = field(default_factory=Capabilities)
    temperature: float = 0.0
    """What the plan's usual arms sent."""
    blocks: tuple[BlockFacts, ...] = ()
    before: Identity | None = None
    after: Identity | None = None
    """None when the server could not be asked any more."""
    restarted: bool = False
    """Whether counters ran backwards: the server process was another one."""
    starts: tuple[Start, ...] = ()
    """The restarts that were asked for, in order; none in runs stored before these were noted."""
    refused: tuple[str, ...] = ()
    """What the server refused to be asked for, so that it cannot be seen: `logprobs`, `token_ids`."""
    deaths: tuple[Death, ...] = ()
    """The ends of the engine during arms; none in runs stored before these were noted."""
    retried: int = 0
    """Answers that came only after the server had asked to wait (Retry-After)."""
    several: Several | None = None
    """That more than one server answers behind the address."""

    def start_of(self, arm: str) -> Start | None:
        """Returns the restart just before an arm, or None when none was noted."""
        return next((start for start in self.starts if start.arm == arm), None)

    def died_in(self, arm: str) -> bool:
        """Returns whether the engine ended while an arm was asked."""
        return any(death.arm == arm for death in self.deaths)

    def of(self, arm: str) -> tuple[BlockFacts, ...]:
        """Returns the blocks of an arm."""
        return tuple(block for block in self.blocks if block.arm == arm)

    @property
    def others(self) -> int | None:
        """Requests of others during all blocks; None when no block has counters."""
        return _total(block.others for block in self.blocks)

    @property
    def preemptions(self) -> int | None:
        """Preempted requests during all blocks; None when no block has counters."""
        return _total(None if block.counters is None else block.counters.preemptions for block in self.blocks)

    @property
    def changed(self) -> bool:
        """Whether the server named itself differently after the run, or counted anew in between."""
        if self.several is not None:  # two that take turns are no restart
            return False
        return self.restarted or bool(self.before and self.after and self.before.contradicts(self.after))

    def what_changed(self, servers: Collection[str]) -> str | None:
        """Returns the names of a server that changed; None when only its counters told.

        `servers` are the names that answers carried, as in `Summary.servers`.
        """
        if len(servers) > 1:
            return " / ".join(sorted(servers))
        if self.restarted or self.before is None or self.after is None:
            return None
        sides = (self.before, self.after)
        return " / ".join(" ".join(filter(None, (*side.model_ids, side.vllm_version))) for side in sides)

    def to_record(self) -> Json:
        """Returns plain values for the store."""
        return asdict(self)

    @staticmethod
    def from_record(record: Json) -> Facts:
        """Returns the facts that `to_record` wrote."""
        blocks = (
            BlockFacts(
                **block
                | {"counters": block["counters"] and Counters(**block["counters"])}
                | {name: tuple(block.get(name) or ()) for name in ("met", "broken_beside")}
            )
            for block in record["blocks"]
        )
        sides = {
            side: Identity(**record[side] | {"model_ids": tuple(record[side]["model_ids"])}) if record[side] else None
            for side in ("before", "after")
        }
        capabilities = Capabilities(**record["capabilities"])
        starts = tuple(_start(start) for start in record.get("starts") or ())
        refused = tuple(record.get("refused") or ())
        plain: dict[str, Json] = {
            "capabilities": capabilities,
            "blocks": tuple(blocks),
            "starts": starts,
            "refused": refused,
        }
        plain["several"] = Several.from_record(record.get("several"))
        plain["deaths"] = tuple(Death(**death) for death in record.get("deaths") or ())
        return Facts(**record | plain | sides)


def _start(record: Json) -> Start:
    sides = (record[side] and EngineProcess(**record[side]) for side in ("process", "former"))
    return Start(record["arm"], *sides)


def _total(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
