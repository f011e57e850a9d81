"""Web addresses give pictures, and nobody reaches into the local network through them."""

import asyncio
import contextlib
import gzip
import io
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image

from vqa.errors import InputError
from vqa.media.fetch import fetch_image
from vqa.media.images import ImageLimits


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (30, 20), "green").save(out, "PNG")
    return out.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Answers by path."""

    def do_GET(self) -> None:
        kind = self.path.rpartition("/")[2]
        if kind == "moved":
            self.send_response(302)
            self.send_header("Location", "/%E7%BA%A2.png")
            self.end_headers()
        elif kind == "circle":
            self.send_response(302)
            self.send_header("Location", "/circle")
            self.end_headers()
        elif kind == "nowhere":
            self.send_response(304)
            self.end_headers()
        elif kind == "page":
            self.reply(b"<html>hello</html>", "text/html")
        elif kind == "absent":
            self.send_error(404)
        elif kind == "slow":
            self.send_response(200)
            self.end_headers()
            self.server.asked_slow.wait(20)
        elif kind == "packed":
            self.reply(gzip.compress(png()), "image/png", encoding="gzip")
        elif kind == "huge":
            self.reply(bytes(3_000_000), "image/png")
        else:
            self.reply(png(), "application/octet-stream")

    def reply(self, body: bytes, kind: str, encoding: str = "") -> None:
        self.send_response(200)
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked_slow = threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.asked_slow.set()
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_picture_is_fetched_through_a_redirect_with_its_name(site: str) -> None:
    payload = await fetch_image(f"{site}/moved", allow_local=True)
    assert payload.data == png()
    assert (await fetch_image(f"{site}/a/%E7%BA%A2.png?x=1", allow_local=True)).given_name == "红.png"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("page", "fetch_not_a_picture"),
        ("absent", "fetch_failed"),
        ("circle", "fetch_failed"),
        ("huge", "image_too_large"),
        ("nowhere", "fetch_failed"),
    ],
)
async def test_what_is_no_picture_is_refused(site: str, path: str, code: str) -> None:
    with pytest.raises(InputError) as refused:
        await fetch_image(f"{site}/{path}", ImageLimits(max_bytes=1_000_000), allow_local=True)
    assert refused.value.code == code


async def test_a_compressed_answer_is_not_unfolded(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import zlib

    unfolded: list[object] = []
    monkeypatch.setattr(zlib, "decompressobj", lambda *given: unfolded.append(given))
    with pytest.raises(InputError, match="Content-Encoding: gzip"):
        await fetch_image(f"{site}/packed", allow_local=True)
    assert not unfolded


async def test_a_picture_is_asked_for_as_it_is(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr(Handler, "reply", _noting(Handler.reply, asked))
    await fetch_image(f"{site}/a.png", allow_local=True)
    assert asked == ["identity"]


def _noting(reply: Callable[..., None], asked: list[str | None]) -> Callable[..., None]:
    def noting(handler: Handler, *given: object, **named: object) -> None:
        asked.append(handler.headers.get("Accept-Encoding"))
        reply(handler, *given, **named)

    return noting


async def test_a_slow_server_is_given_up(site: str) -> None:
    began = asyncio.get_running_loop().time()
    with pytest.raises(InputError, match="within 1 seconds"):
        await fetch_image(f"{site}/slow", allow_local=True, seconds=1.0)
    assert asyncio.get_running_loop().time() - began < 5


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "2130706433",
        "0x7f.1",
        "[fe80::1]",
        "[fd00::1]",
        "[2002:7f00:1::]",
        "100.64.0.1",
        "224.0.0.1",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::a00:1]",
        "[64:ff9b:1::1]",
        "[::7f00:1]",
        "[::808:808]",
        "[::ffff:0:7f00:1]",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "[2001:db8::1]",
        "[fec0::1]",
        "[3fff::1]",
        "[5f00::1]",
        "[ff0e::1]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "192.88.99.1",
        "240.0.0.1",
    ],
)
async def test_local_addresses_in_any_spelling_are_never_connected_to(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[object] = []
    connect = socket.socket.connect

    def noting(self: socket.socket, address: Any) -> None:
        if not isinstance(address, tuple) or address[1] != 47:
            connect(self, address)  # of somebody else in this process
            return
        connected.append(address)

    monkeypatch.setattr(socket.socket, "connect", noting)
    with pytest.raises(InputError) as refused:
        await fetch_image(f"http://{host}:47/x.png")
    assert refused.value.code in {"fetch_local", "fetch_unresolved"}
    assert not connected


@pytest.mark.parametrize("host", ["93.184.216.34", "2606:4700::1111", "64:ff9b::5db8:d822", "::ffff:93.184.216.34"])
def test_addresses_of_the_internet_count_as_public(host: str) -> None:
    import vqa.media.fetch

    assert vqa.media.fetch._is_public(host)


async def test_a_redirect_into_the_local_network_is_refused(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first hop counts as public, as an outside server's would; the second is what it is."""
    import vqa.media.fetch

    hops: list[str] = []
    real = vqa.media.fetch._is_public

    def first_is_public(host: str) -> bool:
        hops.append(host)
        return len(hops) == 1 or real(host)

    monkeypatch.setattr(vqa.media.fetch, "_is_public", first_is_public)
    with pytest.raises(InputError) as refused:
        await fetch_image(f"{site}/moved")
    assert refused.value.code == "fetch_local"


@pytest.mark.parametrize("address", ["http://", "http://[", "ftp://x/y", "http://a b/", "http://nowhere.invalid/x.png"])
async def test_nonsense_is_refused(address: str) -> None:
    with pytest.raises(InputError):
        await fetch_image(address)
