"""Ports for servers of the tests, that no outgoing connection is given meanwhile."""

from __future__ import annotations

import os
import socket
from itertools import cycle, islice

FIRST, LAST = 12_000, 32_000
"""Below the range from which Linux takes the ports of outgoing connections (32768 upward): between the finding of a
port there and its use, a connection of anybody can get it."""

_ports = islice(cycle(range(FIRST, LAST)), os.getpid() * 97 % (LAST - FIRST), None)
"""Processes beside each other begin at different places."""


def free_port() -> int:
    """A port of the loopback interface that nobody listens on, and that this process was not given lately."""
    for port in islice(_ports, LAST - FIRST):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("every port is in use")
