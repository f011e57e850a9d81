"""One started engine while it lives: its processes, log and phases, and whether it still moves. Decides nothing."""

import os
import subprocess
import time
from pathlib import Path

from vqa.engine import log
from vqa.engine.logfile import LogFollower
from vqa.engine.process import Group
from vqa.engine.state import Limits, Phase, PhaseMark

_CPU_SHARE = 0.1
"""Of one core: a group that uses more is at work, even when it logs nothing (torch.compile is silent for minutes)."""


class EngineRun:
    """A group of processes that was spawned or adopted, with all that is measured on it. For one thread."""

    def __init__(
        self, group: Group, child: subprocess.Popen[bytes] | None, path: Path, started: float, limits: Limits
    ) -> None:
        self.group = group
        self.started = started
        self.variables: tuple[tuple[str, str], ...] = ()
        """What it has from the shell; see `shell.inherited`."""
        self.phases: list[PhaseMark] = []
        self.exit_code: int | None = None
        self.moved = time.time()
        """Unix seconds of the last output or of work without output."""
        self._child = child
        self._limits = limits
        self._log = LogFollower(path, limits.log_bytes, limits.log_keep)
        self._next_watch = 0.0
        self._cpu = 0.0
        self._exited = False

    @property
    def exited(self) -> bool:
        """Whether the leader has ended."""
        return self._exited

    @property
    def last_output(self) -> float:
        """Unix seconds of the newest line, or of the start when there is none."""
        return self._log.last_output or self.started

    def look(self, now: float) -> bool:
        """Takes in what happened since; returns whether the processes or the phase have changed."""
        changed = self._read(now)
        if self._leader_ended():
            changed |= not self._exited
            self._exited = True
        if now >= self._next_watch or (self._exited and changed):
            changed |= self.group.refresh()
            self._watch(now)
            self._log.trim()
            self._next_watch = now + self._limits.watch
        return changed

    def _leader_ended(self) -> bool:
        if self._child is None:
            return self._exited or self.group.leader() is None
        if self._child.returncode is not None:
            return True
        ended = os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return False
        self.exit_code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        return True

    def _read(self, now: float) -> bool:
        before = self.phase
        for line in self._log.read():
            reached = log.phase_of(line)
            if reached is not None and log.later(reached, self.phase) == reached:
                self.enter(reached, now)
        self.moved = max(self.moved, self._log.last_output or 0.0)
        return self.phase != before

    def _watch(self, now: float) -> None:
        used = self.group.cpu_seconds()
        if used - self._cpu > _CPU_SHARE * self._limits.watch:
            self.moved = now
        self._cpu = used

    @property
    def phase(self) -> Phase | None:
        """The latest phase that the log has shown."""
        return self.phases[-1].phase if self.phases else None

    def enter(self, phase: Phase, now: float) -> None:
        """Notes that `phase` begins, unless it has begun."""
        if self.phase == phase:
            return
        at = now - self.started
        if self.phases:
            last = self.phases[-1]
            self.phases[-1] = PhaseMark(last.phase, last.started, at - last.started)
        self.phases.append(PhaseMark(phase, at, 0.0))

    def empty(self) -> bool:
        """Returns whether nothing of the group is left; reaps the leader when it is so.

        The leader of our own child stays a zombie until then: its PID, and with it the number of the process group,
        cannot be given to anybody else before the last look for members.
        """
        if not self._leader_ended() or self.group.alive():
            return False
        self.group.refresh(thorough=True)
        if self.group.alive():
            return False
        if self._child is not None:
            self._child.wait()
        return True
