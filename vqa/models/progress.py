"""How far a download is, as values: states, bytes, speed; pure."""

import time
from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum

_SPEED_WINDOW = 8.0
"""Seconds over which the speed is averaged."""


class DownloadState(StrEnum):
    """Where a download is; the last three are final."""

    STARTING = "starting"
    LISTING = "listing"
    WAITING = "waiting"
    """Another process downloads the same model into the same folder."""
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({DownloadState.COMPLETE, DownloadState.FAILED, DownloadState.CANCELLED})


@dataclass(frozen=True)
class Progress:
    """How far a download is; bytes as they lie on disk, totals None until the hub's listing is there.

    Attributes:
        bytes_per_second: averaged over the last eight seconds; None until something was measured.
        seconds_left: at that speed.
        current_files: files that are there in part.
        bytes_verified: how many bytes were compared with the hub's hashes, after all have arrived.
        holder: the process that downloads the same model, while waiting for it.
    """

    state: DownloadState = DownloadState.STARTING
    files_done: int = 0
    files_total: int | None = None
    bytes_done: int = 0
    bytes_total: int | None = None
    bytes_per_second: float | None = None
    seconds_left: float | None = None
    current_files: tuple[str, ...] = ()
    bytes_verified: int = 0
    holder: int | None = None

    @property
    def share(self) -> float | None:
        """How much is done, from 0 to 1; None until the total is known."""
        if self.bytes_total is None:
            return None
        return min(self.bytes_done / self.bytes_total, 1.0) if self.bytes_total else 1.0


class Speedometer:
    """Works out bytes per second and seconds left from what it is shown."""

    def __init__(self) -> None:
        self._measured: deque[tuple[float, int]] = deque()

    def update(self, now: Progress) -> Progress:
        """Returns `now` with its speed and time left; nothing is known outside DOWNLOADING."""
        if now.state is not DownloadState.DOWNLOADING:
            self._measured.clear()
            return replace(now, bytes_per_second=None, seconds_left=None)
        self._measured.append((time.monotonic(), now.bytes_done))
        while len(self._measured) > 2 and self._measured[-1][0] - self._measured[0][0] > _SPEED_WINDOW:
            self._measured.popleft()
        (began, first), (ended, last) = self._measured[0], self._measured[-1]
        if ended <= began:
            return replace(now, bytes_per_second=None, seconds_left=None)
        speed = max(0.0, (last - first) / (ended - began))
        left = (now.bytes_total - now.bytes_done) / speed if speed and now.bytes_total is not None else None
        return replace(now, bytes_per_second=speed, seconds_left=left)


def size_text(size: int) -> str:
    """Returns a size as people read it: `1.9 GB`, `340 MB`, `12 kB` (powers of 1000, as the hubs show them)."""
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= least:
            return f"{size / least:.{1 if size < 100 * least else 0}f} {unit}"
    return f"{size} B"
