"""Who may manage the engine of a data folder: one process at a time, and the others can read its name."""

import contextlib
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil
from filelock import FileLock, Timeout

from vqa.engine.process import Member
from vqa.errors import EngineError
from vqa.json_file import read_value, write_json

Kind = Literal["page", "cli"]


@dataclass(frozen=True)
class Holder:
    """The process that manages the engine of a folder."""

    kind: Kind
    pid: int
    created: float
    since: float
    socket: str | None = None

    def alive(self) -> bool:
        """Returns whether this very process still runs."""
        return Member(self.pid, self.created).process() is not None

    def __str__(self) -> str:
        return f"{'VQA Lab' if self.kind == 'page' else 'python -m vqa'} (PID {self.pid})"


class FolderLock:
    """The lock of one engine folder; the operating system frees it when its holder is killed."""

    def __init__(self, folder: Path) -> None:
        self._holder_file = folder / "holder.json"
        self._lock = FileLock(folder / "engine.lock", thread_local=False)

    def acquire(self, kind: Kind, wait: float) -> Holder:
        """Takes the lock and writes down who has it.

        Raises:
            EngineError: another process has it after `wait` seconds; the error names it.
        """
        self._holder_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._lock.acquire(timeout=wait, poll_interval=0.05)
        except Timeout:
            holder = self.holder()
            raise EngineError("engine_locked", holder=str(holder or "?"), folder=self._holder_file.parent) from None
        me = psutil.Process()
        holder = Holder(kind, me.pid, me.create_time(), time.time())
        self.write(holder)
        return holder

    def write(self, holder: Holder) -> None:
        """Writes down the holder anew, such as with its socket."""
        write_json(self._holder_file, asdict(holder))

    def holder(self) -> Holder | None:
        """Returns the live process that has the lock, or None."""
        return read_holder(self._holder_file.parent)

    def release(self) -> None:
        """Gives the lock back."""
        with contextlib.suppress(OSError):
            found = self.holder()
            if found and found.pid == os.getpid():
                self._holder_file.unlink(missing_ok=True)
        self._lock.release()


def read_holder(folder: Path) -> Holder | None:
    """Returns the live process that manages the engine of `folder`, or None."""
    try:
        holder = Holder(**read_value(folder / "holder.json"))
    except (OSError, ValueError, TypeError):
        return None
    return holder if holder.alive() else None
