"""Run in a network namespace of its own: a web server on a public address, and the app that is sent on by it.

The namespace has loopback alone, which is given a public address besides; so a server of the test's is outside by every
rule of the app, which runs as it is. Prints what came of each address as JSON.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.conftest import stop_app
from tests.fakes.openai_server import FakeServer
from tests.security.conftest import start
from tests.security.visitor import Visitor, drawn

PUBLIC, METADATA = "93.184.216.34", "169.254.169.254"
SET_FLAGS, SET_ADDRESS, UP = 0x8914, 0x8916, 0x1
TARGETS = {
    "picture": None,
    "loopback": "http://127.0.0.1:{inside}/a.png",
    "by_name": "http://localhost:{inside}/a.png",
    "metadata": f"http://{METADATA}:80/latest/meta-data/a.png",
    "two_hops": f"http://{PUBLIC}:{{outside}}/loopback",
    "to_picture": f"http://{PUBLIC}:{{outside}}/picture",
}
"""Where the public server sends whoever asks for a path; None is a picture of its own."""


def give_addresses() -> None:
    """Brings loopback up, with both addresses besides its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SET_FLAGS, struct.pack("16sH14x", b"lo", UP))
        for place, address in enumerate((PUBLIC, METADATA), 1):
            told = struct.pack("16sH2s4s8x", f"lo:{place}".encode(), socket.AF_INET, b"", socket.inet_aton(address))
            fcntl.ioctl(control, SET_ADDRESS, told)


@contextmanager
def serving(host: str, port: int, targets: dict[str, str | None]) -> Iterator[tuple[int, list[str]]]:
    """A web server; yields its port and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            target = targets.get(self.path.strip("/"))
            self.send_response(302 if target else 200)
            self.send_header("Location" if target else "Content-Type", target or "image/png")
            self.end_headers()
            self.wfile.write(b"" if target else drawn())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_port, asked
    server.shutdown()


def main() -> int:
    """Asks the running app for every address; returns the exit status."""
    give_addresses()
    targets: dict[str, str | None] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        FakeServer() as model,
        serving("127.0.0.1", 0, {}) as (inside, inner),
        serving(METADATA, 80, {}) as (_, metadata),
        serving(PUBLIC, 0, targets) as (outside, outer),
    ):
        targets |= {name: target and target.format(inside=inside, outside=outside) for name, target in TARGETS.items()}
        started = start(Path(folder) / "app", model.base_url)
        try:
            guest = Visitor(started.wait().url)
            found = {}
            for name in TARGETS:
                reply = guest.fetch(f"http://{PUBLIC}:{outside}/{name}")
                found[name] = {"notices": reply.notices, "got": ".png" in json.dumps(reply.outputs)}
        finally:
            stop_app(started.process)
    print(json.dumps({"found": found, "inner": inner, "metadata": metadata, "outer": outer}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
