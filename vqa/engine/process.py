"""One child and all that it starts: spawn, recognise, stop.

A process is ours only if its PID, its creation time, its process group and the marker in its environment say so.
The marker can vanish from a descendant (a program that sets its title writes over its environment), so descendants
are recorded by PID and creation time while the leader lives. Every signal is preceded by that check.
"""

import contextlib
import os
import signal
import subprocess
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

MARKER = "VQA_ENGINE_MARKER"
_SAME_TIME = 0.05
"""Seconds; psutil gives a creation time in clock ticks of 10 ms."""


@dataclass(frozen=True)
class Member:
    """One process, told from a later one with the same PID by its creation time (Unix seconds)."""

    pid: int
    created: float

    def process(self) -> psutil.Process | None:
        """Returns the live process, or None when it is gone, a zombie, or another one."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.created) <= _SAME_TIME
            return found if same and found.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) else None
        except psutil.Error:
            return None


@dataclass(frozen=True)
class Identity:
    """What the leader of a group is recognised by."""

    pid: int
    created: float
    pgid: int
    marker: str

    def process(self) -> psutil.Process | None:
        """Returns the live leader if every part of the identity matches, else None."""
        found = Member(self.pid, self.created).process()
        if found is None:
            return None
        try:
            same = os.getpgid(self.pid) == self.pgid and found.environ().get(MARKER) == self.marker
        except (psutil.Error, OSError):
            return None
        return found if same else None


def new_marker() -> str:
    """Returns a marker that no other child bears."""
    return uuid.uuid4().hex


def spawn(
    argv: Sequence[str], env: Mapping[str, str], log: Path, cwd: Path, marker: str
) -> tuple["Group", subprocess.Popen[bytes]]:
    """Starts `argv` in a session of its own, its output appended to `log`.

    The output goes to a file and never to a pipe, so the child outlives this process.

    Raises:
        OSError: the program cannot be run, or the log cannot be written.
    """
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        child = subprocess.Popen(
            list(argv),
            env={**env, MARKER: marker},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        os.close(output)
    try:
        created = psutil.Process(child.pid).create_time()
    except psutil.Error:  # gone already; it is still ours to reap, and no later process can match
        created = 0.0
    return Group(Identity(child.pid, created, child.pid, marker)), child


class Group:
    """The leader and everything it started, so far as it was seen."""

    def __init__(self, identity: Identity, members: Iterable[Member] = ()) -> None:
        self.identity = identity
        self._members: dict[int, Member] = {member.pid: member for member in members}

    @property
    def members(self) -> tuple[Member, ...]:
        """Every process seen so far, without the leader; some may be gone."""
        return tuple(self._members.values())

    def leader(self) -> psutil.Process | None:
        """Returns the live leader, or None."""
        return self.identity.process()

    def refresh(self, thorough: bool = False) -> bool:
        """Looks for processes that were started since; returns whether there are new ones or some have gone.

        When `thorough`, the environment of every process is searched for the marker as well, which finds those
        that left the group and lost their parent.
        """
        before = dict(self._members)
        self._members = {pid: member for pid, member in before.items() if member.process() is not None}
        for process in self._relatives(thorough):
            with contextlib.suppress(psutil.Error):
                self._members[process.pid] = Member(process.pid, process.create_time())
        return self._members != before

    def _relatives(self, thorough: bool) -> list[psutil.Process]:
        """Returns descendants of what is known to be ours, members of a group proven ours, bearers of the marker."""
        leader = self.leader()
        proven = [process for member in self.members if (process := member.process())]
        found: dict[int, psutil.Process] = {}
        for root in [leader, *proven] if leader else proven:
            with contextlib.suppress(psutil.Error):
                found |= {child.pid: child for child in root.children(recursive=True)}
        in_group = any(_pgid(process.pid) == self.identity.pgid for process in [*proven, *found.values()])
        ours = leader is not None or in_group or self._leader_is_zombie()
        for pid in psutil.pids():
            if (ours and _pgid(pid) == self.identity.pgid) or (thorough and self._marked(pid)):
                with contextlib.suppress(psutil.Error):
                    found[pid] = psutil.Process(pid)
        return [process for pid, process in found.items() if pid not in (self.identity.pid, os.getpid())]

    def _leader_is_zombie(self) -> bool:
        """Whether the leader has ended but is not reaped, so that its PID still belongs to it."""
        try:
            found = psutil.Process(self.identity.pid)
            same = abs(found.create_time() - self.identity.created) <= _SAME_TIME
            return same and found.status() == psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def _marked(self, pid: int) -> bool:
        try:
            return psutil.Process(pid).environ().get(MARKER) == self.identity.marker
        except (psutil.Error, OSError):
            return False

    def alive(self) -> list[psutil.Process]:
        """Returns the live processes of the group, the leader first."""
        leader = self.leader()
        others = [process for member in self.members if (process := member.process())]
        return [leader, *others] if leader else others

    def terminate(self) -> None:
        """Asks the leader to end (SIGTERM)."""
        if leader := self.leader():
            _send(leader, signal.SIGTERM)

    def kill(self, spare_cleaners: bool = False) -> None:
        """Ends everything of the group (SIGKILL), looking for new members first.

        `spare_cleaners` leaves Python's resource trackers alive: they remove the shared memory of dead processes and
        then end by themselves; killed with the rest, they would leave it behind in /dev/shm.
        """
        self.refresh(thorough=True)
        for process in self.alive():
            if not (spare_cleaners and _is_cleaner(process)):
                _send(process, signal.SIGKILL)

    def cpu_seconds(self) -> float:
        """Returns the processor time used by the live processes so far."""
        total = 0.0
        for process in self.alive():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total


def find_marked(marker: str) -> Identity | None:
    """Returns the leader among the processes that bear `marker`, or None.

    For a child whose PID could not be written down, because this program was killed in that very moment.
    """
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            if process.environ().get(MARKER) == marker and os.getpgid(pid) == pid:
                return Identity(pid, process.create_time(), pid, marker)
    return None


def _is_cleaner(process: psutil.Process) -> bool:
    try:
        return any("multiprocessing.resource_tracker" in word for word in process.cmdline())
    except psutil.Error:
        return False


def _pgid(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _send(process: psutil.Process, number: signal.Signals) -> None:
    """Sends a signal to this very process: through a PID descriptor where there is one, so no reused PID is hit."""
    with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
        if not hasattr(os, "pidfd_open"):
            process.send_signal(number)
            return
        descriptor = os.pidfd_open(process.pid)
        try:
            if process.is_running():
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
