"""Children that decode what strangers made: a few, kept warm, each within limits of time and memory.

Whatever a decoder does with a file, the process that asked lives on and raises a sentence. Knows no format.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from vqa.errors import InputError
from vqa.media.decoding.wire import ClosedError, receive, send

SECONDS = 60.0
"""How long a picture may take, by the clock."""
START_SECONDS = 60.0
WAIT_SECONDS = 60.0
"""How long a picture waits for a free child."""
LOOK_EVERY = 500
"""Jobs after which a child's memory is looked at: that of decoders grows."""
MOST_MEMORY = 400 << 20
"""Bytes that an idle child may hold on to; above them it makes room for a new one."""
CHILDREN = min(4, max(2, os.cpu_count() or 2))
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV")
"""What a child is told of the environment; no keys, no tokens, no passwords."""
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
ROOT = Path(__file__).resolve().parents[2]
BEGIN = """
import sys
sys.path[:] = dict.fromkeys([*sys.argv[2:], *sys.path])
from vqa.media.decoding.child import main
main()
"""
log = logging.getLogger("vqa.media.runner")

Answer = tuple[dict[str, Any], list[bytes]]
Made = Answer | InputError
"""What became of one of several files."""


def places() -> list[str]:
    """Returns where a child looks for packages: where this process does, but not in its working folder.

    What PYTHONPATH names, or a program added to `sys.path`, it would not find by itself.
    """
    return [str(ROOT), *(place for place in sys.path if Path(place).is_absolute())]


class EndedError(Exception):
    """A child ended before it had answered; `status` is its exit status, negative for a signal."""

    def __init__(self, status: int | None) -> None:
        super().__init__(f"exit status {status}")
        self.status = status


class NotStartedError(EndedError):
    """A child ended before it could be asked anything, or there was none: no file is at fault."""


class Child:
    """One decoding process."""

    def __init__(self) -> None:
        """Starts it; it is ready with its first message."""
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", BEGIN, str(theirs.fileno()), *places()],
                pass_fds=[theirs.fileno()],
                env=environment | ONE_THREAD,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._line, self._ready, self.jobs = ours, False, 0

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Returns whether it can be asked."""
        return self._process.poll() is None

    @property
    def memory(self) -> int:
        """Bytes of memory that are its own; 0 where it has ended."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def warm(self) -> None:
        """Waits until it has loaded what it needs.

        Raises:
            NotStartedError: it could not start.
        """
        if self._ready:
            return
        try:
            receive(self._line, until=time.monotonic() + START_SECONDS)
        except (ClosedError, TimeoutError) as problem:
            raise NotStartedError(self.end()) from problem
        self._ready = True

    def ask(self, request: dict[str, Any], blobs: Sequence[bytes], seconds: float) -> Answer:
        """Returns its answer.

        Raises:
            EndedError: it ended instead.
            TimeoutError: it took too long, and was ended.
        """
        self.warm()
        self.jobs += 1
        until = time.monotonic() + seconds
        try:
            send(self._line, {**request, "seconds": seconds}, blobs, until=until)
            return receive(self._line, until=until)
        except TimeoutError:
            self.end()
            raise
        except ClosedError as problem:
            raise EndedError(self.end()) from problem

    def end(self) -> int | None:
        """Ends it, if it still runs, and returns its exit status."""
        self._line.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(0.5) if not self._ready else self._process.wait(0.05)
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(5.0)
        return None


class Pool:
    """Children that answer one request each at a time; started when they are needed first."""

    def __init__(self, most: int = CHILDREN) -> None:
        self._free = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._closed = False

    def warm(self) -> None:
        """Starts a first child, so that the first picture need not wait for it."""
        with contextlib.suppress(EndedError):
            child = self._take()
            child.warm()
            self._give(child)

    def idle(self) -> tuple[Child, ...]:
        """Returns the children that have nothing to do."""
        with self._lock:
            return tuple(self._idle)

    def ask(
        self, request: dict[str, Any], blobs: Sequence[bytes] = (), *, seconds: float, once: bool = False
    ) -> Answer:
        """Returns what a child answers; with `once` it is asked for nothing else afterwards.

        Raises:
            EndedError: the child ended over it.
            TimeoutError: it took too long, or no child was free for long.
        """
        if not self._free.acquire(timeout=WAIT_SECONDS):
            raise TimeoutError
        try:
            try:
                child = self._take()
                answered = child.ask(request, blobs, seconds)
            except (EndedError, TimeoutError) as problem:
                log.warning("a decoding process ended over %r: %r", request.get("name"), problem)
                raise
            if once or (child.jobs % LOOK_EVERY == 0 and child.memory > MOST_MEMORY):
                child.end()
                threading.Thread(target=self.warm, name="warm decoder", daemon=True).start()
            else:
                self._give(child)
            return answered
        finally:
            self._free.release()

    def _take(self) -> Child:
        while True:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is None:
                try:
                    return Child()
                except OSError as problem:  # no memory, no processes, no files left
                    raise NotStartedError(None) from problem
            if child.alive:
                return child
            child.end()

    def _give(self, child: Child) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(child)
                return
        child.end()

    def close(self) -> None:
        """Ends the children that have nothing to do; the others end with their work."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for child in idle:
            child.end()


@cache
def pool() -> Pool:
    """Returns the pool of this process."""
    made = Pool()
    atexit.register(made.close)
    return made


def decode(
    do: str,
    blobs: Sequence[bytes] = (),
    *,
    name: str,
    seconds: float = SECONDS,
    slow: str = "decoder_slow",
    once: bool = False,
    **values: Any,
) -> Answer:
    """Returns what a child makes of a file that is called `name`; `slow` is the error when that takes too long.

    Raises:
        InputError: it is no such file, it is damaged, or its decoder did not start, ended or took too long over it.
    """
    try:
        answered, out = pool().ask({"do": do, "name": name, **values}, blobs, seconds=seconds, once=once)
    except TimeoutError as problem:
        raise InputError(slow, name=name, seconds=round(seconds)) from problem
    except NotStartedError as problem:
        raise InputError("decoder_not_started", name=name, reason=_why(problem)) from problem
    except EndedError as problem:
        if problem.status == -signal.SIGXCPU:
            raise InputError(slow, name=name, seconds=round(seconds)) from problem
        raise InputError("decoder_ended", name=name, status=problem.status) from problem
    if refused := refusal_in(answered, name):
        raise refused
    return answered, out


def _why(problem: NotStartedError) -> str:
    """Returns why no child starts, as far as can be told: the last line of what loading its modules says."""
    if isinstance(problem.__cause__, OSError) and not isinstance(problem.__cause__, TimeoutError):
        return str(problem.__cause__)
    try:
        tried = subprocess.run(
            [sys.executable, "-P", "-c", BEGIN.replace("main()", ""), "", *places()],
            capture_output=True,
            text=True,
            check=False,
            timeout=START_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as hindrance:
        return str(hindrance)
    return tried.stderr.strip().rpartition("\n")[2] or str(problem)


def refusal_in(answered: dict[str, Any], name: str) -> InputError | None:
    """Returns why there is nothing of the file that is called `name`, where the answer says so."""
    code = answered.get("code")
    return InputError(str(code), **{"name": name, **answered.get("values", {})}) if code else None


def decode_each(requests: Sequence[dict[str, Any]], blobs: Sequence[bytes], *, seconds: float = SECONDS) -> list[Made]:
    """Returns what a child makes of each of some small files, asked for all of them in one message.

    A message and its answer cost more than a small picture does. A file that ends its decoder takes the others' answers
    with it: then each is asked for alone, so that only that one is told of.
    """
    try:
        told, out = pool().ask({"do": "each", "name": f"{len(blobs)}", "of": list(requests)}, blobs, seconds=seconds)
    except (TimeoutError, EndedError):
        return [_alone(request, blob) for request, blob in zip(requests, blobs, strict=True)]
    made: list[Made] = []
    for request, answered, count in zip(requests, told["answers"], told["counts"], strict=True):
        made.append(refusal_in(answered, request["name"]) or (answered, out[:count]))
        out = out[count:]
    return made


def _alone(request: dict[str, Any], blob: bytes) -> Made:
    try:
        return decode(request["do"], [blob], **{name: value for name, value in request.items() if name != "do"})
    except InputError as problem:
        return problem
