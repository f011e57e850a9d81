"""What stands before the page: who waits, who is forgotten, what is believed, and how long anybody may take."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2 as httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse

from tests.ports import free_port
from vqa.errors import InputError
from vqa.settings import Settings
from vqa.ui.web import patience
from vqa.ui.web.fair import Fair, Sessions
from vqa.ui.web.folder import MADE, PageFolder, owned, page_folder, plain
from vqa.ui.web.gate import Gate
from vqa.ui.web.login import FREE_ATTEMPTS, LONGEST_WAIT, Attempts, Door
from vqa.ui.web.visitors import COOKIE, Visitor, Visitors, Window, known, new_cookie

ANNA, BERT = Visitor("anna", "10.0.0.1"), Visitor("bert", "10.0.0.2")


def client(app: Any, address: str = "10.0.0.1", **more: Any) -> httpx.AsyncClient:
    """A client of an ASGI app without a network between."""
    transport = httpx.ASGITransport(app=app, client=(address, 1), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://lab.example", **more)


# Visitors -------------------------------------------------------------------------------------------------------------


def test_a_cookie_is_taken_only_from_us() -> None:
    cookie = new_cookie()
    name, _, signature = cookie.partition(".")
    assert known(cookie) == name
    for forged in (None, "", name, f"{name}.", f"x{cookie}", f"{name}.{signature[::-1]}", "a.b", f"other.{signature}"):
        assert known(forged) == ""


async def test_a_visitor_with_a_cookie_of_their_own_making_is_given_ours() -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("page")(scope, receive, send)

    async with client(Gate(page, settings=Settings(public=True))) as guest:
        given = (await guest.get("/", headers={"Cookie": f"{COOKIE}=mine"})).headers["set-cookie"]
        assert known(given.partition("=")[2].partition(";")[0])
        ours = given.partition(";")[0]
        assert "set-cookie" not in (await guest.get("/", headers={"Cookie": ours})).headers


def test_a_window_counts_amounts() -> None:
    now = [100.0]
    window = Window(lambda: now[0], 10.0)
    assert window.take({"a": 100}, 60) == 0.0
    now[0] += 4
    assert window.take({"a": 100}, 40) == 0.0
    assert window.take({"a": 100}, 1) == pytest.approx(6.0)
    assert window.take({"a": 100}, 101) > 0
    now[0] += 6
    assert window.take({"a": 100}, 60) == 0.0
    assert window.take({"a": 100}, 1) == pytest.approx(4.0)


def test_whoever_fills_the_room_takes_it_from_nobody_else() -> None:
    visitors = Visitors(Settings(public=True, public_max_stored_bytes=1000))
    visitors.store(200, ANNA)
    with pytest.raises(InputError) as refused:
        visitors.store(1, ANNA)
    assert refused.value.code == "storage_full"
    visitors.store(200, BERT)


def test_the_crowd_loses_its_own_oldest_tabs_and_nobody_elses() -> None:
    sessions = Sessions(20)
    assert sessions.seen("bert's", BERT.address) is None
    forgotten = [sessions.seen(f"{number}", ANNA.address) for number in range(130)]
    assert "bert's" not in forgotten
    assert [each for each in forgotten if each] == [str(number) for number in range(111)]


# The public demo's events and files -----------------------------------------------------------------------------------


def queue_of(*events: tuple[str, str]) -> SimpleNamespace:
    """As much of Gradio's app as is looked at: waiting events as (cookie, address)."""
    waiting = [
        SimpleNamespace(
            session_hash="s", request=SimpleNamespace(client=SimpleNamespace(host=host), cookies={COOKIE: cookie})
        )
        for cookie, host in events
    ]
    queue = SimpleNamespace(event_queue_per_concurrency_id={"ask": SimpleNamespace(queue=waiting)})
    return SimpleNamespace(get_blocks=lambda: SimpleNamespace(_queue=queue))


@pytest.fixture
def folder(tmp_path: Path) -> PageFolder:
    return PageFolder(tmp_path, Visitors(Settings(public=True)))


def fair(folder: PageFolder, gradio: Any, settings: Settings | None = None) -> Any:
    """The middleware before an app that answers with what it was sent, and calls an upload what a test says."""

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        body = await Request(scope, receive).body()
        answer = JSONResponse([scope.get("upload")]) if "upload" in scope["path"] else PlainTextResponse(body)
        await answer(scope, receive, send)

    guarded = Fair(inner, visitors=Visitors(settings or Settings(public=True)), most=10_000, folder=lambda: folder)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        told = {"app": gradio, "upload": headers.get(b"x-upload", b"").decode()}
        await guarded({**scope, **told}, receive, send)

    return app


async def test_one_visitors_waiting_events_are_bounded_and_anothers_are_not_touched(folder: PageFolder) -> None:
    mine, yours = new_cookie(), new_cookie()
    app = fair(folder, queue_of(*[(mine, "10.0.0.1")] * 8))
    async with client(app) as guest:
        event = {"data": [], "session_hash": "s"}
        for cookie, status in ((mine, 429), (yours, 200)):
            reply = await guest.post("/gradio_api/queue/join", json=event, headers={"Cookie": f"{COOKIE}={cookie}"})
            assert reply.status_code == status
        crowd = fair(folder, queue_of(*[(new_cookie(), "10.0.0.1") for _ in range(40)]))
    async with client(crowd) as guest, client(crowd, "10.0.0.2") as other:
        headers = {"Cookie": f"{COOKIE}={yours}"}
        assert (await guest.post("/gradio_api/queue/join", json=event, headers=headers)).status_code == 429
        assert (await other.post("/gradio_api/queue/join", json=event, headers=headers)).status_code == 200


async def test_an_event_reaches_gradio_as_it_was_sent_or_not_at_all(folder: PageFolder) -> None:
    async with client(fair(folder, queue_of())) as guest:
        reply = await guest.post("/gradio_api/run/predict", content=b'{"data": ["x"],  "session_hash": "s"}')
        assert reply.content == b'{"data": ["x"],  "session_hash": "s"}'
        for nonsense in (b"[]", b"{"):
            assert (await guest.post("/gradio_api/run/predict", content=nonsense)).status_code == 400
        assert (await guest.post("/gradio_api/run/predict", content=bytes(10_001))).status_code == 413


async def test_an_upload_opens_to_its_visitor_alone(folder: PageFolder) -> None:
    upload = folder.path / "0f0f" / "a.png"
    upload.parent.mkdir()
    upload.write_bytes(b"picture")
    mine, yours = {"Cookie": f"{COOKIE}={new_cookie()}"}, {"Cookie": f"{COOKIE}={new_cookie()}"}
    async with client(fair(folder, queue_of())) as guest:
        await guest.post("/gradio_api/upload", content=b"x", headers=mine | {"X-Upload": str(upload)})
        for spelling in (str(upload), f"{folder.path}/./0f0f/a.png", f"{folder.path}/made/../0f0f/a.png"):
            for headers, status in ((mine, 200), (yours, 403)):
                address = f"/gradio_api/file={spelling}"
                assert (await guest.get(address, headers=headers)).status_code == status
                event = {"session_hash": "s", "data": [{"files": [{"path": spelling}]}]}
                reply = await guest.post("/gradio_api/run/predict", json=event, headers=headers)
                assert reply.status_code == status


async def test_what_a_visitor_left_goes_when_their_last_tab_is_closed_for_long(
    folder: PageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vqa.ui.web.fair.LEFT_SECONDS", 0.05)
    forgotten: asyncio.Queue[Visitor] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    folder.forget = lambda visitor: loop.call_soon_threadsafe(forgotten.put_nowait, visitor)
    cookie = new_cookie()
    async with client(fair(folder, queue_of())) as guest:
        await guest.get("/gradio_api/heartbeat/tab", headers={"Cookie": f"{COOKIE}={cookie}"})
        left = {await asyncio.wait_for(forgotten.get(), 5) for _ in range(2)}
    assert left == {Visitor(known(cookie), "10.0.0.1"), Visitor("", "10.0.0.1")}


async def test_uploads_have_a_quota_of_bytes(folder: PageFolder) -> None:
    app = fair(folder, queue_of(), Settings(public=True, public_max_stored_bytes=1000))
    async with client(app) as guest, client(app, "10.0.0.2") as other:
        assert (await guest.post("/gradio_api/upload", content=bytes(200))).status_code == 200
        refused = await guest.post("/gradio_api/upload", content=b"x")
        assert refused.status_code == 413
        assert "room" in refused.text
        assert (await other.post("/gradio_api/upload", content=bytes(200))).status_code == 200


# The folder -----------------------------------------------------------------------------------------------------------


def test_a_file_is_written_once_and_found_by_its_visitor_alone(folder: PageFolder) -> None:
    path = folder.write("../a\0b.png", b"picture", visitor=ANNA)
    assert path == folder.write("../a\0b.png", b"picture", visitor=ANNA)
    assert path.is_relative_to(folder.path / MADE / ANNA.token)
    assert folder.write("../a\0b.png", b"picture", visitor=BERT) != path
    assert "anna" not in str(path)


def test_what_a_visitor_left_goes_with_the_visitor(folder: PageFolder) -> None:
    mine, yours = (folder.write("a.png", b"picture", visitor=each) for each in (ANNA, BERT))
    shared, own = folder.path / "shared.png", folder.path / "own.png"
    for path in (shared, own):
        path.write_bytes(b"x")
    folder.note_uploads([str(shared), str(own)], ANNA)
    folder.note_uploads([str(shared)], BERT)
    folder.forget(ANNA)
    assert [path.exists() for path in (mine, yours, shared, own)] == [False, True, True, False]


def test_old_files_go_and_then_the_oldest_of_too_many(folder: PageFolder) -> None:
    paths = [folder.write(f"{place}.png", bytes(100 + place), visitor=ANNA) for place in range(5)]
    for place, path in enumerate(paths):
        stat = path.stat()
        os.utime(path, (stat.st_atime, stat.st_mtime - (1000 if place == 0 else 10 - place)))
    assert folder.sweep(600, 10**9) == 1
    assert folder.sweep(600, 250) == 2
    assert [path.exists() for path in paths] == [False, False, False, True, True]


def test_nothing_is_left_of_a_page_that_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with page_folder() as folder:
        assert owned() is folder
        assert owned().write("a.txt", "words").read_text() == "words"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("given", "made"), [("../x.png", "x.png"), ("..\\y", "y"), ("...", "file"), ("", "file")])
def test_names_have_no_folder(given: str, made: str) -> None:
    assert plain(given) == made
    assert len(plain("x" * 500 + ".png")) < 80


# The door -------------------------------------------------------------------------------------------------------------


def test_each_wrong_password_costs_more_than_the_last() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    waits = []
    for _ in range(20):
        attempts.begin("a")
        waits.append(attempts.wait("a"))
        now[0] += waits[-1]
    assert waits[: FREE_ATTEMPTS - 1] == [0.0] * (FREE_ATTEMPTS - 1)
    assert waits[FREE_ATTEMPTS - 1 :] == sorted(waits[FREE_ATTEMPTS - 1 :])
    assert waits[-1] == LONGEST_WAIT
    assert attempts.wait("b") == 0.0
    attempts.succeeded("a")
    attempts.begin("a")
    assert attempts.wait("a") == 0.0


def door(now: list[float], *, started: bool = True) -> Any:
    """A door before an app that takes one password and else answers with the path."""
    gradio = SimpleNamespace(cookie_id="c", tokens={"token": "user"}, startup_events_triggered=started)

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        right = await Request(scope, receive).body() == b"right"
        status = 400 if scope["path"] == "/login" and not right else 200
        await PlainTextResponse(scope["path"], status)(scope, receive, send)

    guarded = Door(inner, clock=lambda: now[0])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await guarded({**scope, "app": gradio}, receive, send)

    return app


async def test_sixty_wrong_passwords_at_once_are_few_and_the_user_is_told_how_long_to_wait() -> None:
    now = [0.0]
    app = door(now)
    async with client(app) as guest, client(app, "10.0.0.2") as other:
        replies = await asyncio.gather(*(guest.post("/login", content=b"wrong") for _ in range(60)))
        codes = [reply.status_code for reply in replies]
        assert codes.count(400) == FREE_ATTEMPTS
        assert codes.count(429) == 60 - FREE_ATTEMPTS
        assert (await guest.post("/login", content=b"right")).status_code == 429
        shown = await guest.get("/zh")
        assert shown.status_code == 429
        assert shown.headers["refresh"] == shown.headers["retry-after"]
        assert "密码" in shown.text and f"{shown.headers['refresh']} 秒" in shown.text
        assert 'name="viewport"' in shown.text, "a phone would show it as small as a newspaper"
        assert (await guest.get("/", headers={"Cookie": "access-token-c=token"})).status_code == 200
        assert (await other.post("/login", content=b"right")).status_code == 200
        now[0] += float(shown.headers["refresh"])
        assert (await guest.post("/login", content=b"right")).status_code == 200
        assert (await guest.get("/")).status_code == 200


async def test_without_the_password_nothing_of_the_api_answers() -> None:
    closed = ("heartbeat/x", "reset", "cancel", "startup-events", "queue/join", "info", "upload", "app_id", "file=/x")
    async with client(door([0.0])) as guest:
        for path in closed:
            assert (await guest.get(f"/gradio_api/{path}")).status_code == 401
            inside = await guest.get(f"/gradio_api/{path}", headers={"Cookie": "access-token-unsecure-c=token"})
            assert inside.status_code == 200
    async with client(door([0.0], started=False)) as gradio_itself:
        assert (await gradio_itself.get("/gradio_api/startup-events")).status_code == 200


# What is believed, and how long it may take ---------------------------------------------------------------------------


async def hosts_seen(peer: tuple[str, int] | None, client_of: tuple[str, int]) -> list[bytes]:
    seen: list[bytes] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(value for name, value in scope["headers"] if name == b"x-forwarded-host")
        await PlainTextResponse("")(scope, receive, send)

    gate = Gate(inner, settings=Settings())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        state = {patience.PEER: peer} if peer else {}
        await gate({**scope, "client": client_of, "state": state}, receive, send)

    async with client(app) as guest:
        forwarded = {"X-Forwarded-Host": "evil.example", "Origin": "http://evil.example"}
        status = (await guest.get("/config", headers=forwarded)).status_code
        assert status == (200 if seen else 403)
    return seen


async def test_a_forwarded_host_is_believed_from_a_trusted_proxy_alone() -> None:
    assert await hosts_seen(("127.0.0.1", 5), ("203.0.113.7", 0)) == [b"evil.example"]
    assert await hosts_seen(("203.0.113.7", 5), ("203.0.113.7", 5)) == []
    assert await hosts_seen(None, ("203.0.113.7", 5)) == []


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A gate before a small app, served with little patience; yields the port."""
    monkeypatch.setattr(patience, "HEADER_SECONDS", 0.3)
    monkeypatch.setattr(patience, "BODY_PAUSE_SECONDS", 0.3)

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        body = await Request(scope, receive).body()
        await PlainTextResponse(f"{scope['state'][patience.PEER][0]} {len(body)}")(scope, receive, send)

    port = free_port()
    config = uvicorn.Config(
        Gate(inner, settings=Settings()), port=port, http=patience.PatientProtocol, log_level="critical", lifespan="off"
    )
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve())
    while not running.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield port
    running.should_exit = True
    await task


async def answer(port: int, sent: bytes, then: bytes = b"") -> bytes:
    """What a server says to some bytes until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        first = await asyncio.wait_for(reader.read(4096), 5)
        if then and first:
            writer.write(then)
        return first + await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


POST = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"


async def test_a_request_that_is_never_finished_is_given_up(server: int) -> None:
    assert await answer(server, b"GET / HTTP/1.1\r\nHost: x\r\n") == b""
    assert await answer(server, b"") == b""
    assert b" 408 " in await answer(server, POST + b"half")
    whole = await answer(server, POST + b"0123456789", then=b"GET / HT")
    assert b" 200 " in whole and whole.endswith(b"127.0.0.1 10")


async def test_a_request_that_comes_in_pieces_is_answered(server: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server)
    for piece in (POST[:20], POST[20:], b"01234", b"56789"):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.1)
    assert (await asyncio.wait_for(reader.read(4096), 5)).startswith(b"HTTP/1.1 200")
    writer.close()


def test_gradios_server_is_a_patient_one() -> None:
    import gradio.http_server

    patience.be_patient()
    config = gradio.http_server.uvicorn.Config(app=lambda: None)
    assert config.http is patience.PatientProtocol
    page = gradio.http_server.Server(config=uvicorn.Config(Starlette(), port=free_port(), log_level="critical"))
    page.run_in_thread()
    assert page.started
    page.close()


async def test_a_proxy_that_keeps_the_host_to_itself_is_told_once_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("page")(scope, receive, send)

    of_the_page = {"Sec-Fetch-Site": "same-origin"}
    async with client(Gate(page, settings=Settings())) as guest:
        await guest.get("/", headers=of_the_page | {"Referer": "http://lab.example/"})
        await guest.get("/", headers={"Referer": "https://elsewhere.example/", "Sec-Fetch-Site": "cross-site"})
        assert not caplog.records
        for _ in range(3):
            await guest.get("/", headers=of_the_page | {"Referer": "https://seen.example/vqa/"})
    (told,) = caplog.messages
    assert "seen.example" in told and "Host as lab.example" in told
