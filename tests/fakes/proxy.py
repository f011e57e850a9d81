"""A reverse proxy that passes on too little: its own Host, as nginx does unless told otherwise, and no path."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2 as httpx

KEPT = {"accept", "accept-language", "referer", "origin", "sec-fetch-site", "sec-fetch-mode", "cookie"}
HOP_BY_HOP = {"transfer-encoding", "connection", "content-encoding", "content-length"}


@contextmanager
def forgetful_proxy(upstream: str, prefix: str = "") -> Iterator[int]:
    """Yields the port at which `upstream` answers to GET, below `prefix`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = {name: value for name, value in self.headers.items() if name.lower() in KEPT}
            with httpx.Client(trust_env=False, timeout=60) as client:
                reply = client.get(upstream + self.path.removeprefix(prefix), headers=sent)
            self.send_response(reply.status_code)
            for name, value in reply.headers.multi_items():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.content)))
            self.end_headers()
            self.wfile.write(reply.content)

        def log_message(self, *_: object) -> None:
            """Stays quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
