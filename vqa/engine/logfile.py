"""The engine's log file: follow it, keep it small, read its end."""

import os
import re
from pathlib import Path

_READ = 1_000_000
"""Bytes read at a time; of a longer backlog only the end is looked at, so that memory stays bounded."""
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_NOISE = re.compile(r'"GET /(health|metrics|ping|v1/models|version) HTTP/1\.\d" 200')
"""Lines that our own health check makes the server write."""


class LogFollower:
    """Reads what a child appends to a file, and cuts the file back when it grows past `cap` bytes.

    The child's descriptor is in append mode: after the file is cut to nothing its next line lands at the beginning.
    What is written between the copy and the cut is lost; nothing ever waits.
    """

    def __init__(self, path: Path, cap: int, keep: int, offset: int = 0) -> None:
        self.path = path
        self.last_output: float | None = None
        """Unix seconds of the newest output that is not an echo of our own probes."""
        self._cap = cap
        self._keep = keep
        self._offset = offset
        self._partial = ""

    def read(self) -> list[str]:
        """Returns the whole lines that are new since the last call."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_size < self._offset:
                    self._offset, self._partial = 0, ""
                if status.st_size - self._offset > _READ:
                    self._offset, self._partial = status.st_size - _READ, ""
                file.seek(self._offset)
                data = file.read(_READ)
                self._offset += len(data)
        except OSError:
            return []
        if not data:
            return []
        *lines, self._partial = split(self._partial + data.decode("utf-8", "replace"))
        self._partial = self._partial[-_READ:]
        if not lines or any(not _NOISE.search(line) for line in lines):
            self.last_output = status.st_mtime
        return lines

    def trim(self) -> bool:
        """Cuts the file when it is over its cap, keeping its end in `<name>.1`; returns whether it did."""
        try:
            if self.path.stat().st_size <= self._cap:
                return False
            with self.path.open("rb") as file:
                file.seek(-self._keep, os.SEEK_END)
                end = file.read(self._keep)
            older(self.path).write_bytes(end)
            os.truncate(self.path, 0)
        except OSError:
            return False
        self._offset, self._partial = 0, ""
        return True


def older(path: Path) -> Path:
    """Returns where the part cut off from `path` lies."""
    return path.with_name(path.name + ".1")


def begin(path: Path, head: str = "") -> None:
    """Sets the log of the last start aside as `<stem>.previous.log` and begins one with nothing but `head`.

    Raises:
        OSError: the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    older(path).unlink(missing_ok=True)
    if path.exists():
        path.replace(path.with_name(path.stem + ".previous" + path.suffix))
    path.touch(mode=0o600)
    if head:
        path.write_text(head, encoding="utf-8")


def split(text: str) -> list[str]:
    """Returns the lines of `text` without colour codes; a progress bar's rewrites count as lines."""
    return _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n").split("\n")


def tail(path: Path, lines: int, quiet: bool = True) -> tuple[str, ...]:
    """Returns the last lines of the log, without the echoes of our own probes when `quiet`; () when there is none."""
    text = _end_of(path)
    if text.count("\n") < lines:
        text = _end_of(older(path)) + text
    kept = [line for line in split(text) if not (quiet and _NOISE.search(line))]
    while kept and not kept[-1].strip():
        kept.pop()
    return tuple(kept[-lines:])


def _end_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _READ // 4))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
