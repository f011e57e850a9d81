"""The app behind a real nginx, by the very lines that `docs/deploy.md` gives."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest

from tests.conftest import ROOT, RunningApp, stop_app
from tests.ports import free_port
from tests.security.conftest import NAMED, PASSWORD, USER, start
from tests.security.visitor import API, SECONDS, drawn

NGINX, OPENSSL = (
    shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"),
    shutil.which("openssl"),
)
pytestmark = pytest.mark.skipif(not (NGINX and OPENSSL), reason="nginx or openssl is not installed")
CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    {server}
}}
"""


@dataclass
class Proxy:
    """An nginx in front of an app."""

    port: int

    @property
    def origin(self) -> str:
        return f"https://{NAMED}:{self.port}"

    def visitor(self, address: str, path: str = "", **headers: str) -> httpx.Client:
        """A browser on another machine, as far as the proxy can tell."""
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        transport = httpx.HTTPTransport(local_address=address, verify=trusting)
        told = {"Host": f"{NAMED}:{self.port}", "Origin": self.origin} | headers
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}{path}", headers=told, transport=transport, timeout=SECONDS
        )


def documented() -> str:
    """The block of nginx's configuration in the documentation."""
    return re.findall(r"```nginx\n(.*?)```", (ROOT / "docs/deploy.md").read_text(encoding="utf-8"), re.DOTALL)[0]


@contextmanager
def proxied(app: RunningApp, folder: Path, **changes: str) -> Iterator[Proxy]:
    """Starts nginx by the documented lines, with `changes` made in them."""
    port, server = free_port(), documented()
    changes |= {"443 ssl": f"127.0.0.1:{port} ssl", "127.0.0.1:7860": urlsplit(app.url).netloc}
    for before, after in changes.items():
        assert before in server
        server = server.replace(before, after)
    (folder / "nginx.conf").write_text(CONFIGURATION.format(folder=folder, server=server))
    subprocess.run(
        [str(OPENSSL), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAMED}",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    process = subprocess.Popen([str(NGINX), "-c", folder / "nginx.conf", "-e", folder / "error.log"])
    try:
        listens(port, process)
        yield Proxy(port)
    finally:
        stop_app(process)


def listens(port: int, process: subprocess.Popen[bytes]) -> None:
    """Waits until something answers at a port."""
    while process.poll() is None:
        with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise AssertionError("nginx has ended")


def test_the_documented_lines_carry_the_whole_page(private: RunningApp, tmp_path: Path) -> None:
    with proxied(private, tmp_path) as proxy, proxy.visitor("127.0.0.2") as insider:
        assert insider.post("/login", data={"username": USER, "password": PASSWORD}).status_code == 200
        assert insider.get("/config").json()["root"] == proxy.origin
        large = insider.post(f"{API}/upload", files=[("files", ("a.png", drawn() + bytes(5_000_000)))])
        assert large.status_code == 200
        with insider.stream("GET", f"{API}/heartbeat/tab") as beating:
            assert next(beating.iter_lines()), "what is small and has no end comes through at once, as answers must"
        foreign = insider.get("/config", headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
        assert insider.get("/config", headers={"Host": "evil.example"}).status_code == 400


def test_visitors_are_told_apart_and_none_can_pass_for_another(private: RunningApp, tmp_path: Path) -> None:
    with (
        proxied(private, tmp_path) as proxy,
        proxy.visitor("127.0.0.3") as guesser,
        proxy.visitor("127.0.0.4") as other,
    ):
        codes = []
        for number in range(12):
            pretended = {"X-Forwarded-For": f"10.9.9.{number}", "X-Forwarded-Host": "evil.example"}
            wrong = {"username": USER, "password": str(number)}
            codes.append(guesser.post("/login", data=wrong, headers=pretended).status_code)
        assert codes[-1] == 429
        assert other.post("/login", data={"username": USER, "password": PASSWORD}).status_code == 200
        named = other.get("/config", headers={"X-Forwarded-Host": "evil.example"})
        assert named.json()["root"] == proxy.origin


@pytest.mark.slow
@pytest.mark.parametrize("after", ["", "/"])
def test_the_page_can_stand_under_a_path(under_a_path: RunningApp, tmp_path: Path, after: str) -> None:
    changes = {"location / {": "location /vqa/ {", "127.0.0.1:7860;": f"127.0.0.1:7860{after};"}
    with proxied(under_a_path, tmp_path, **changes) as proxy, proxy.visitor("127.0.0.5", "/vqa") as guest:
        page = guest.get("/")
        assert guest.get("/config").json()["root"] == f"{proxy.origin}/vqa"
        assert "Secure" in page.headers["set-cookie"], "the browser speaks TLS"
        for script in re.findall(r'src="\./(assets/[^"]+\.js)"', page.text):
            assert guest.get(f"/{script}").status_code == 200
        (path,) = guest.post(f"{API}/upload", files=[("files", ("a.png", drawn()))]).json()
        assert guest.get(f"{API}/file={path}").content == drawn()


@pytest.fixture(scope="module")
def under_a_path(public: RunningApp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """A public demo that a proxy shows under /vqa."""
    folder = tmp_path_factory.mktemp("under")
    started = start(folder / "app", public.base_url, under="/vqa", public="true", allowed_hosts=NAMED)
    try:
        yield started.wait()
    finally:
        stop_app(started.process)
