"""TCP ports of this machine: who holds one, whether it may be used, and the next free one."""

import contextlib
import errno
import socket
import time

import psutil

FIRST_OPEN_PORT = 1024
"""Those below are the administrator's on most systems."""
_BIND_TRIES = 3
_BIND_PAUSE = 0.05
"""Seconds between two looks."""


def listeners(port: int) -> list[int] | None:
    """Returns the PIDs that listen on a TCP port (0 for one that cannot be seen); None where that cannot be told."""
    try:
        rows = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return None
    return [row.pid or 0 for row in rows if row.status == psutil.CONN_LISTEN and row.laddr and row.laddr.port == port]


def port_free(host: str, port: int) -> bool:
    """Returns whether nobody holds `port` at `host`.

    A plain bind finds even a holder that would share the port through SO_REUSEPORT, as vLLM does, and one that does
    not listen yet. It also stumbles over connections that linger in TIME_WAIT after a stop; those are no holder.
    A port that this user may not use counts as held; `may_use` tells the two apart.

    Raises:
        OSError: the address is none of this machine's.
    """
    for _ in range(_BIND_TRIES):
        if _binds(host, port, reuse=False):
            return True
        if _binds(host, port, reuse=True) and _lingers(port):
            return True
        time.sleep(_BIND_PAUSE)  # what lingered may have gone between the two looks
    return False


def may_use(host: str, port: int) -> bool:
    """Returns whether this user has the right to `port`, whoever holds it; one below 1024 is often the administrator's.

    Raises:
        OSError: the address is none of this machine's.
    """
    try:
        _bind(host, port, reuse=False)
    except OSError as problem:
        if problem.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        return problem.errno != errno.EACCES
    return True


def _binds(host: str, port: int, *, reuse: bool) -> bool:
    try:
        _bind(host, port, reuse=reuse)
    except OSError as problem:
        if problem.errno in (errno.EADDRINUSE, errno.EACCES):
            return False
        raise
    return True


def _bind(host: str, port: int, *, reuse: bool) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as test:
        test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
        test.bind((host, port))


def _lingers(port: int) -> bool:
    """Whether connections without an owner hang on `port`, and nobody listens there."""
    with contextlib.suppress(psutil.Error, OSError):
        rows = [row for row in psutil.net_connections(kind="tcp") if row.laddr and row.laddr.port == port]
        return bool(rows) and all(row.status != psutil.CONN_LISTEN for row in rows)
    return False


def free_port(host: str, after: int) -> int | None:
    """Returns the next free port above `after` that anybody may use, or None when the next 200 are all taken."""
    first = max(after + 1, FIRST_OPEN_PORT)
    with contextlib.suppress(OSError):  # an address that cannot be used has no free port
        return next((port for port in range(first, min(first + 200, 65536)) if port_free(host, port)), None)
    return None


def describe(pid: int) -> str:
    """Returns a name for the owner of a port: `python3 (PID 4711, ann)`; empty when it cannot be seen."""
    try:
        process = psutil.Process(pid) if pid else None
        return f"{process.name()} (PID {pid}, {process.username()})" if process else ""
    except (psutil.Error, KeyError):
        return f"PID {pid}"


def port_owner(port: int) -> str:
    """Returns who listens on `port`, or '' when that cannot be seen."""
    return next((name for pid in listeners(port) or () if (name := describe(pid))), "")
