"""One run that is under way: its counts, its summaries, and who waits for news. Safe to read from any thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from vqa.answers import Json, Sample
from vqa.client import Waiting
from vqa.lab.plan.arms import Plan
from vqa.lab.stats.summarize import RunSummarizer, counts
from vqa.lab.stats.summary import RunSummary

SHOWN_SECONDS = 2.0
"""For which a wait is told at least: who watches looks twice a second."""


@dataclass(frozen=True)
class RunStatus:
    """Where a run stands; `status` uses the store's words."""

    run_id: str
    kind: str
    status: str
    """`running`, `finished`, `stopped`, `failed` or `interrupted`."""
    done: int
    """Samples recorded."""
    total: int
    """Samples planned; 0 while the plan is not made yet."""
    seconds: float
    """Since it began."""
    seconds_left: float | None
    """None before the first sample and after the end."""
    arm: str = ""
    """The arm that is being asked now."""
    failed: int = 0
    error: str | None = None
    result: Json | None = None
    """What was concluded; see `vqa.lab.run.documents`."""
    notes: Mapping[str, Json] = field(default_factory=dict)
    """What a run that restarts the engine is doing: `step` (a text key below `lab.`), `profile`, `round`."""

    @property
    def running(self) -> bool:
        """Whether more samples will come."""
        return self.status == "running"


class LiveRun:
    """What is known of a run while it lives; written by the runs' thread, read by everybody."""

    def __init__(self, run_id: str, kind: str) -> None:
        self.run_id = run_id
        self.kind = kind
        self.status = "running"
        self.error: str | None = None
        self.result: Json | None = None
        self.arm = ""
        self.notes: dict[str, Json] = {}
        self.task: asyncio.Task[None] | None = None
        self.stop_wanted = False
        self._news = threading.Condition()
        self._began = time.monotonic()
        self._ended: float | None = None
        self._done = 0
        self._already = 0
        self._total = 0
        self._cost_done = 0.0
        self._cost_total = 0.0
        self._costs: dict[str, float] = {}
        self._arms: dict[str, RunSummarizer] = {}
        self._failed = 0
        self._wait: tuple[Waiting, float] | None = None
        self.forgotten = False
        """Whether the summaries are no longer here, but in the store."""

    def expect(self, plan: Plan, prefix: str = "", *, rounds: int = 1) -> None:
        """Counts a plan's samples into the total, `rounds` times."""
        with self._news:
            self._total += rounds * plan.samples
            cases = len(plan.spec.cases)
            for arm in plan.arms:
                seconds = plan.seconds_of(arm)
                self._costs[prefix + arm.name] = seconds / arm.n
                self._cost_total += rounds * cases * seconds
            self._news.notify_all()

    def add(self, sample: Sample) -> None:
        """Takes in a sample that has been stored."""
        with self._news:
            self._done += 1
            self._failed += not counts(sample)
            self._cost_done += self._costs.get(sample.arm, 0.0)
            self.arm = sample.arm
            self._arms.setdefault(sample.arm, RunSummarizer()).add(sample)
            self._news.notify_all()

    def expect_samples(self, total: int, already: int = 0) -> None:
        """Sets how many samples there will be in all, of which some were stored before this process began."""
        with self._news:
            self._done += already - self._already
            self._already = already
            self._total = total
            self._cost_total = float(max(total - already, 0))
            self._news.notify_all()

    def count(self, landed: int, failed: int) -> None:
        """Counts samples that have been stored; of a data set's rows no summary is kept in memory."""
        with self._news:
            self._done += landed
            self._failed += failed
            self._cost_done += landed
            self._news.notify_all()

    def tell(self, **notes: Json) -> None:
        """Says what is being done beside asking."""
        with self._news:
            self.notes = notes
            self._news.notify_all()

    def asked_to_wait(self, wait: Waiting) -> None:
        """Says that the server asked to be asked again later; told as long as that takes, and long enough to see."""
        with self._news:
            self._wait = wait, time.monotonic() + max(wait.seconds, SHOWN_SECONDS)
            self._news.notify_all()

    def _told(self) -> dict[str, Json]:
        if self._wait is None or self.notes or self.status != "running":
            return dict(self.notes)
        wait, until = self._wait
        left = until - time.monotonic()
        told = {"step": "asked_to_wait", "seconds": f"{wait.seconds:.0f}", "reason": wait.reason or "–"}
        return told if left > 0 else {}

    def end(self, status: str, *, result: Json | None = None, error: str | None = None) -> None:
        """Marks the end and wakes everybody who waits."""
        with self._news:
            self.status, self.result, self.error = status, result, error
            self._ended = time.monotonic()
            self.notes = {}
            self._news.notify_all()

    def forget(self) -> None:
        """Lets go of the summaries, which the store has: those of ten thousand long answers take 100 MB."""
        with self._news:
            self.forgotten = True
            self._arms = {}

    def summaries(self) -> dict[str, RunSummary]:
        """Returns the summary of every arm by now."""
        with self._news:
            return {name: arm.summary() for name, arm in self._arms.items()}

    def snapshot(self) -> RunStatus:
        """Returns where the run stands."""
        with self._news:
            return self._snapshot()

    def wait(self, after: int | None, timeout: float | None) -> RunStatus:
        """Returns once more than `after` samples are recorded (None: only at the end), or at the timeout."""
        with self._news:
            self._news.wait_for(lambda: self.status != "running" or (after is not None and self._done > after), timeout)
            return self._snapshot()

    def _snapshot(self) -> RunStatus:
        seconds = (self._ended or time.monotonic()) - self._began
        left = None
        if self.status == "running" and self._cost_done > 0:
            left = max(0.0, seconds * (self._cost_total - self._cost_done) / self._cost_done)
        return RunStatus(
            self.run_id,
            self.kind,
            self.status,
            self._done,
            self._total,
            seconds,
            left,
            self.arm,
            self._failed,
            self.error,
            self.result,
            self._told(),
        )
