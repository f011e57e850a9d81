"""One message between the page and a decoding child: plain values and blobs over a socket. Pure; decodes nothing."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

HEAD = struct.Struct(">II")
"""Bytes of the JSON that follows, and number of blobs; each blob is led by its own length."""
LENGTH = struct.Struct(">Q")
MOST_JSON, MOST_BLOBS, MOST_BYTES = 1 << 20, 256, 1 << 30
"""Of one message; its blobs counted together."""
SMALL = 1 << 20
"""Bytes of blobs that are copied together: a call of the system for each costs more."""


class ClosedError(Exception):
    """The other side is gone."""


def send(
    to: socket.socket, values: dict[str, Any], blobs: Sequence[bytes | memoryview] = (), *, until: float | None = None
) -> None:
    """Sends one message.

    Raises:
        ClosedError: nobody reads any more.
        TimeoutError: it was not taken until that moment of the monotonic clock.
    """
    body = json.dumps(values).encode()
    parts: list[bytes | memoryview] = [HEAD.pack(len(body), len(blobs)) + body]
    for blob in blobs:
        parts += [LENGTH.pack(len(blob)), blob]
    if sum(map(len, blobs)) < SMALL:
        parts = [b"".join(parts)]
    try:
        for part in parts:
            _limit(to, until)
            to.sendall(part)
    except TimeoutError:
        raise
    except OSError as problem:
        raise ClosedError from problem


def receive(source: socket.socket, *, until: float | None = None) -> tuple[dict[str, Any], list[bytes]]:
    """Returns the next message.

    Raises:
        ClosedError: the other side is gone, or sends what is no message.
        TimeoutError: it had not come until that moment of the monotonic clock.
    """
    size, count = HEAD.unpack(_exactly(source, HEAD.size, until))
    if size > MOST_JSON or count > MOST_BLOBS:
        raise ClosedError
    try:
        values = json.loads(_exactly(source, size, until))
    except ValueError as problem:
        raise ClosedError from problem
    if not isinstance(values, dict):
        raise ClosedError
    blobs, left = [], MOST_BYTES
    for _ in range(count):
        (size,) = LENGTH.unpack(_exactly(source, LENGTH.size, until))
        left -= size
        if left < 0:
            raise ClosedError
        blobs.append(bytes(_exactly(source, size, until)))
    return values, blobs


def _exactly(source: socket.socket, size: int, until: float | None) -> bytearray:
    taken, data = 0, bytearray(size)
    view = memoryview(data)
    try:
        while taken < size:
            _limit(source, until)
            got = source.recv_into(view[taken:])
            if not got:
                raise ClosedError
            taken += got
    except TimeoutError:
        raise
    except OSError as problem:
        raise ClosedError from problem
    return data


def _limit(one: socket.socket, until: float | None) -> None:
    if until is None:
        return
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    one.settimeout(left)
