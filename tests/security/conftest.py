"""Three apps, two of them on loopback servers: an ordinary one, a public demo, and a private one full of secrets.

What only a real engine can show stands in `tests/real/test_engine_boundaries.py`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.apps import App, with_recorded_runs
from tests.conftest import ROOT, RunningApp, base_environment, stop_app, wait_for_url
from tests.fakes.openai_server import FakeServer
from tests.ports import free_port
from tests.security.visitor import Visitor, drawn

USER, PASSWORD = "somebody", "canary-password-5d1f"
API_KEY, HUB_TOKEN = "canary-api-key-77ab", "canary-hub-token-90cd"
NAMED = "vqa.example.org"
"""The name under which a proxy passes requests on to the private app."""
SECRETS = (PASSWORD, API_KEY, HUB_TOKEN)
HOSTILE = (
    "<script>window.pwned=1;alert(1)</script> <img src=x onerror='window.pwned=2;alert(2)'> <b>bold</b> "
    "`` ` <form class=pwned style=position:fixed;inset:0>over everything</form> ` ``"
)
"""HTML that would run, load or cover something, the last of it where two readers may see code or not; the server of the
private app answers with it."""


@dataclass
class Started:
    """An app that is starting; `wait` returns it once it shows its page."""

    process: subprocess.Popen[bytes] | App
    url: str
    base_url: str
    data_dir: Path
    log: Path

    def wait(self) -> RunningApp:
        wait_for_url(f"{self.url}/robots.txt", self.process, self.log, 600)
        return RunningApp(self.url, self.base_url, self.data_dir, self.process, 0.0, 0.0, self.log)


def start(
    folder: Path, base_url: str = "", temporary: Path | None = None, under: str = "", **settings: object
) -> Started:
    """Starts `python app.py` attached to a server; without one, with an engine of its own that is off. A proxy shows it
    `under` a path.
    """
    folder.mkdir(parents=True)
    data_dir, log, port = folder / "data", folder / "app.log", free_port()
    environment = base_environment(data_dir=data_dir, port=port, base_url=base_url, **settings)
    if temporary is not None:
        environment["TMPDIR"] = str(temporary)
    if under:
        environment["GRADIO_ROOT_PATH"] = under
    if temporary is None and not under:
        if "public" not in settings:  # whose store is a temporary one
            with_recorded_runs(data_dir)
        process = App(environment, log)
    else:  # gradio reads them while it is imported
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
    return Started(process, f"http://127.0.0.1:{port}", base_url, data_dir, log)


@dataclass
class Apps:
    """What the security tests drive."""

    ordinary: RunningApp
    public: RunningApp
    private: RunningApp
    hostile_server: FakeServer


@pytest.fixture(scope="session")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apps]:
    """All apps, started side by side."""
    folder, temporary = tmp_path_factory.mktemp("security"), tmp_path_factory.mktemp("t")
    with FakeServer() as asked, FakeServer(answer=HOSTILE) as server:
        secrets = {"auth": f"{USER}:{PASSWORD}", "api_key": API_KEY, "hub_token": HUB_TOKEN}
        started = [
            start(folder / "ordinary", allow_local_urls="true", language="en", engine_port=free_port()),
            start(folder / "public", asked.base_url, temporary, public="true", **secrets | {"auth": ""}),
            start(folder / "private", server.base_url, allowed_hosts=f"{NAMED}, *.inside.example", **secrets),
        ]
        try:
            yield Apps(*(each.wait() for each in started), server)
        finally:
            for each in started:
                each.process.send_signal(signal.SIGINT)
            for each in started:
                stop_app(each.process)
        left = [path for path in temporary.rglob("*") if path.is_file() or path.name.startswith("vqa-page")]
        assert left == [], "the public demo has left something of its visitors"


@pytest.fixture(scope="session")
def app(apps: Apps) -> RunningApp:
    """An app without any limit, whose engine is off; here it takes the place of the one with a real engine."""
    return apps.ordinary


@pytest.fixture(scope="session")
def public(apps: Apps) -> RunningApp:
    """A public demo."""
    return apps.public


@pytest.fixture(scope="session")
def private(apps: Apps) -> RunningApp:
    """An app with a password, keys and tokens, on a server whose answers are hostile HTML."""
    return apps.private


def visitor(app: RunningApp, address: str, **more: str) -> Visitor:
    """A visitor of the public demo from an address of its own, so that no test uses up another's requests."""
    return Visitor(app.url, address=address, **more)


def inside(app: RunningApp, **more: Any) -> Visitor:
    """Somebody who knows the private app's password."""
    return Visitor(app.url, auth=(USER, PASSWORD), **more)


def log_end(app: RunningApp) -> int:
    """Where the app's log ends now."""
    return app.log.stat().st_size


def no_traceback(app: RunningApp, since: int = 0) -> None:
    """Fails when the app's log holds a traceback after a place, or when the app is gone."""
    assert app.process.poll() is None, app.log.read_text()[-3000:]
    with app.log.open("rb") as log:
        log.seek(since)
        text = log.read().decode(errors="replace")
    assert "Traceback" not in text, text[-4000:]


@dataclass
class Trap:
    """A web server inside the network that must never be asked."""

    port: int
    hits: list[str] = field(default_factory=list)


@pytest.fixture
def trap() -> Iterator[Trap]:
    """Listens on every loopback address of IPv4; whoever is answered gets a picture."""
    found = Trap(0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.hits.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.end_headers()
            self.wfile.write(drawn())

        do_HEAD = do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def memory(app: RunningApp) -> int:
    """Bytes of memory that the app itself holds, without its children."""
    fields = Path(f"/proc/{app.process.pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
