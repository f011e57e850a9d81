"""A group of processes on its way out: asked to end, then made to."""

from vqa.engine.run import EngineRun
from vqa.engine.state import Limits

_CLEANING = 1.0
"""Seconds for Python's resource trackers to remove the shared memory of the processes that were killed."""


class Ending:
    """Ends one run: SIGTERM to the leader, after a while SIGKILL to everything."""

    def __init__(self, run: EngineRun, limits: Limits, now: float, grace: float) -> None:
        self._run = run
        self._limits = limits
        self._began = now
        self._asked = grace > 0
        self._kill_at = now + grace
        self._give_up_at = now + grace + limits.kill
        self.killed: float | None = None
        """Seconds after which the leader, which was asked to end and did not, was killed; None when it ended itself."""
        if grace > 0:
            run.group.refresh(thorough=True)
            run.group.terminate()

    def force(self) -> None:
        """Ends the polite part."""
        self._asked = False
        self._kill_at = 0.0

    def tick(self, now: float) -> bool:
        """Does what is due; returns whether nothing of the group is left."""
        if self._run.exited:
            self._kill_at = min(self._kill_at, now + self._limits.linger)
        if now >= self._kill_at:
            if self._asked and self.killed is None and not self._run.exited:
                self.killed = now - self._began
            self._run.group.kill(spare_cleaners=now < self._kill_at + _CLEANING)
        return self._run.empty()

    def survivors(self, now: float) -> tuple[int, ...]:
        """Returns the PIDs that SIGKILL could not end, once it had its time; () before that."""
        return tuple(each.pid for each in self._run.group.alive()) if now >= self._give_up_at else ()
