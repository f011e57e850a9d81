"""Nobody reads a file that was not meant for the page, by whatever way a path is written."""

from __future__ import annotations

import http.client
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from tests.conftest import ROOT, RunningApp
from tests.security.conftest import Trap, inside, log_end, no_traceback, visitor
from tests.security.visitor import Visitor, as_file, drawn

MARK = "canary-of-the-data-folder"


def get(url: str, path: str, **headers: str) -> tuple[int, bytes]:
    """A request whose path goes out exactly as written."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def spellings(path: str, uploads: str) -> list[str]:
    """Ways to ask for a file."""
    up = "/".join([".."] * 12)
    prefixes = ("/gradio_api/file=", "/gradio_api/file/", "/file=", "/gradio_api/file=file://", "/gradio_api/proxy=")
    written = [path, quote(path, safe=""), quote(quote(path, safe=""), safe=""), f"{uploads}/{up}{path}"]
    written += [f"{uploads}/{quote(up, safe='')}{quote(path, safe='')}", f"//{path}", f".{path}", f"{path}%00.png"]
    found = [prefix + each for prefix in prefixes for each in written]
    for static in ("/assets/", "/static/", "/svelte/", "/gradio_api/custom_component/x/client/component/"):
        found += [static + up + path, static + quote(up + path, safe=""), static + up.replace("/", "%5c") + path]
    return [each.replace(" ", "%20") for each in found]


def test_no_spelling_of_a_path_opens_a_file(app: RunningApp, public: RunningApp) -> None:
    for place in (app, public):
        guest, since = visitor(place, "10.0.1.1"), log_end(place)
        uploads = str(Path(guest.upload(("a.png", drawn()))[0]).parent.parent)
        secret = place.data_dir / "secret.txt"
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_text(MARK)
        targets = [secret, place.data_dir / "vqa.db", place.log, ROOT / "app.py", ROOT / ".git/HEAD", ROOT / ".env"]
        targets += [Path("/etc/passwd"), Path("/proc/self/environ"), ROOT / "assets/demo-model/config.json"]
        for target in targets:
            for path in spellings(str(target), uploads):
                status, body = get(place.url, path)
                assert status >= 400, f"{path} gave {status}"
                assert MARK.encode() not in body
                assert b"root:" not in body
        no_traceback(place, since)


def test_a_path_in_an_event_opens_no_file(public: RunningApp) -> None:
    guest = visitor(public, "10.0.1.2")
    camera = next(
        each["id"]
        for each in guest.config["dependencies"]
        if guest.names(each["inputs"]) == ["vqa-camera", "vqa-composer"]
    )
    mine = guest.call(camera, [as_file(guest.upload(("a.png", drawn()))[0]), None])
    assert mine.success and ".png" in mine.text, "a picture of one's own is taken"
    for path in ("/etc/passwd", "/etc/hostname", str(ROOT / "assets/icon.png"), str(public.log), "../../etc/passwd"):
        reply = guest.ask("What is this?", [path])
        assert not reply.success or reply.notices
        assert "root:" not in reply.text
        taken = guest.call(camera, [as_file(path), None])
        assert not taken.success or taken.notices
        assert "root:" not in taken.text


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{port}/a.png",
        "http://localhost:{port}/a.png",
        "http://127.1:{port}/a.png",
        "http://0:{port}/a.png",
        "http://0.0.0.0:{port}/a.png",
        "http://2130706433:{port}/a.png",
        "http://0x7f000001:{port}/a.png",
        "http://[::1]:{port}/a.png",
        "http://[::ffff:127.0.0.1]:{port}/a.png",
        "http://[::ffff:7f00:1]:{port}/a.png",
        "http://user:pass@127.0.0.1:{port}/a.png",
        "http://example.org@127.0.0.1:{port}/a.png",
        "http://127.0.0.1:{port}\\@example.org/a.png",
        "HTTP://LOCALHOST:{port}/a.png",
        " http://127.0.0.1:{port}/a.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/a.png",
        "file:///etc/passwd",
        "ftp://127.0.0.1:{port}/a.png",
        "gopher://127.0.0.1:{port}/a.png",
        "/etc/passwd",
    ],
)
def test_the_address_field_fetches_nothing_local(guest: Visitor, trap: Trap, address: str) -> None:
    reply = guest.fetch(address.format(port=trap.port))
    assert reply.notices, "the refusal must be said"
    assert trap.hits == []
    assert "image/png" not in reply.text


@pytest.fixture(scope="module")
def guest(private: RunningApp) -> Visitor:
    """In the ordinary mode, with the default that forbids local addresses; no limit on how often."""
    return inside(private)


def test_a_picture_named_by_address_in_an_event_is_not_fetched(guest: Visitor, trap: Trap) -> None:
    address = f"http://127.0.0.1:{trap.port}/a.png"
    for file in ({"path": address}, {"path": address, "url": address}, {"path": "", "url": address}):
        written = {"text": "What is this?", "files": [file | {"meta": {"_type": "gradio.FileData"}}]}
        function = guest.endpoint("vqa-composer", "submit")
        guest.call(function, [written, None, *guest.defaults(function)[2:]])
    assert trap.hits == []


def test_the_page_fetches_for_nobody(app: RunningApp, public: RunningApp, trap: Trap) -> None:
    for place in (app, public):
        for route in ("file=", "proxy=", "file/", "stream/"):
            for address in (f"http://127.0.0.1:{trap.port}/a.png", f"http:/127.0.0.1:{trap.port}/a.png", "//x/a.png"):
                status, _ = get(place.url, f"/gradio_api/{route}{address}")
                assert status >= 400
    assert trap.hits == []
