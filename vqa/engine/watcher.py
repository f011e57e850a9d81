"""Looks at a started server again and again and says what that means; changes no state itself.

Every look is a thread of its own that posts what it found; a late one is recognised by its number and dropped.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from vqa.engine import health, warm
from vqa.engine.metrics import MetricsHistory, MetricsSnapshot, scrape_server
from vqa.engine.run import EngineRun
from vqa.engine.state import EngineState, Snapshot
from vqa.engine.surroundings import Surroundings

_STRANGER_LOOKS = 2


@dataclass(frozen=True)
class Judgement:
    """What the looks so far amount to."""

    kind: str
    """`serves`, `failing` (often enough to say so) or `stranger` (somebody else has the port)."""
    found: health.Probe


class Watcher:
    """Watches one run at a time; for the owner's thread."""

    def __init__(self, around: Surroundings, judged: Callable[[Judgement], None]) -> None:
        self.history = MetricsHistory()
        self._around = around
        self._limits = around.limits
        self._judged = judged
        self._number = 0
        self._quiet_until = 0.0
        self.reset()

    def reset(self) -> None:
        """Forgets what was seen: another run begins, or this one ends."""
        self._number += 1
        self._under_way = False
        self._overdue_at = 0.0
        self._next_look = self._next_question = self._next_scrape = 0.0
        self._failures = self._strangers = 0
        self._working: float | None = None
        self._worked_at = 0.0
        self._scraping = False

    def begin(self) -> None:
        """Begins with a new engine, which counts from nothing."""
        self.history = MetricsHistory()
        self.reset()

    def quiet(self, seconds: float) -> None:
        """Asks no questions for `seconds`; 0 ends that."""
        self._quiet_until = max(self._quiet_until, time.time() + seconds) if seconds > 0 else 0.0

    def look(self, now: float, run: EngineRun, snapshot: Snapshot) -> None:
        """Begins whatever look is due."""
        if self._under_way and now > self._overdue_at:
            self._under_way = False
            seconds = round(self._limits.chat + 2 * self._limits.connect)
            self._judge(health.Probe("timeout", {"seconds": seconds}), snapshot.state)
        if not self._under_way and now >= self._next_look:
            self._ask(now, run, snapshot)
        if snapshot.serving and not self._scraping and now >= self._next_scrape:
            self._scrape(now, run, snapshot)

    def _ask(self, now: float, run: EngineRun, snapshot: Snapshot) -> None:
        if snapshot.spec is None:
            return
        due = now >= self._next_question or self._failures > 0
        ask = snapshot.state != EngineState.READY or (due and now >= self._quiet_until)
        if ask:
            self._next_question = now + self._limits.chat_every
        self._number += 1
        self._under_way = True
        starting = snapshot.state == EngineState.STARTING
        patience = self._limits.chat + (self._limits.warm if starting else 0.0)
        self._overdue_at = now + patience + 4 * self._limits.connect + 1.0
        every = self._limits.probe_starting if starting else self._limits.probe_ready
        self._next_look = now + (self._limits.probe_failing if self._failures else every)
        target = self._around.target(snapshot.spec, run, snapshot.takes_images)
        number, state = self._number, snapshot.state

        def work() -> None:
            found = health.probe(target, self._limits, ask=ask)
            if starting and found.fine and found.asked:
                warm.warm_up(target, found, self._limits)
            self._around.post(lambda: self._answered(number, found, state))

        threading.Thread(target=work, name="engine-probe", daemon=True).start()

    def _answered(self, number: int, found: health.Probe, state: EngineState) -> None:
        if number == self._number and self._under_way:
            self._under_way = False
            self._judge(found, state)

    def _judge(self, found: health.Probe, state: EngineState) -> None:
        """Takes in what a look found; `state` is the engine's when the look began."""
        now = time.time()
        found = self._busy_too_long(found, now) or found
        self._strangers = self._strangers + 1 if found.code == "stranger" else 0
        if found.fine:
            self._failures = 0
            if found.asked or state == EngineState.READY:
                self._judged(Judgement("serves", found))
        elif state == EngineState.STARTING and self._strangers >= _STRANGER_LOOKS:
            self._judged(Judgement("stranger", found))
        else:
            # While it starts, not answering is normal; once it lists its model, not answering a question is not.
            counts = state != EngineState.STARTING or (found.code or "").startswith("chat_")
            self._failures = self._failures + 1 if counts else 0
            if counts:
                self._next_look = now + self._limits.probe_failing
            if self._failures >= self._limits.failures:
                self._judged(Judgement("failing", found))

    def _busy_too_long(self, found: health.Probe, now: float) -> health.Probe | None:
        """Returns a finding when requests are running but not one token has come for too long."""
        if found.asked or not found.running or found.working != self._working or not self._worked_at:
            self._working, self._worked_at = found.working, now
            return None
        if now - self._worked_at > self._limits.busy_stall:
            return health.Probe("busy_stalled", {"running": found.running, "seconds": round(now - self._worked_at)})
        return None

    def _scrape(self, now: float, run: EngineRun, snapshot: Snapshot) -> None:
        self._next_scrape = now + self._limits.metrics_every
        self._scraping = True
        url, key, history = snapshot.base_url or "", self._around.api_key, self.history

        def work() -> None:
            figures = scrape_server(url, key, self._limits.connect)
            self._around.post(lambda: self._scraped(history, run, figures))

        threading.Thread(target=work, name="engine-metrics", daemon=True).start()

    def _scraped(self, history: MetricsHistory, run: EngineRun, figures: MetricsSnapshot | None) -> None:
        if history is self.history:  # else it is of an engine before this one
            self._scraping = False
            if figures and not run.exited:
                history.add(figures, run.group.alive())
