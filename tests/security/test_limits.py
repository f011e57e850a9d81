"""Limits hold on the server's side, whatever the page would have let through."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import os
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from PIL import Image

from tests.conftest import RunningApp
from tests.media.test_video import make_video
from tests.security.conftest import inside, log_end, memory, no_traceback, visitor
from tests.security.visitor import API, Reply, Visitor, as_file, drawn, post
from vqa.settings import Settings
from vqa.ui.web.visitors import WINDOW_SECONDS, Window, network_of

GROWTH = 200_000_000


def test_uploads_that_are_too_large_or_broken_are_refused(app: RunningApp, public: RunningApp) -> None:
    for place in (app, public):
        since, before = log_end(place), memory(place)
        url = f"{place.url}{API}/upload"
        huge = post(url, files=[("files", ("a.png", bytes(55_000_000)))])
        assert huge.status_code == 413
        assert announced(place.url, 10**15) == 413
        endless = post(url, content=(bytes(1000) for _ in range(3)), headers={"Content-Type": "multipart/form-data"})
        assert endless.status_code == 411
        assert smuggled(place.url, 100_000) == 411
        for kind, body in (
            ("multipart/form-data", b""),
            ("multipart/form-data; boundary=x", b"--x\r\n\r\n"),
            (
                "multipart/form-data; boundary=x",
                b"--x\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\n",
            ),
            ("multipart/form-data; boundary=x", b"--x--\r\n" * 1000),
            ("multipart/form-data; boundary=" + "y" * 5000, b"--y"),
            ("text/plain", b"files"),
            ("application/json", b"{"),
        ):
            reply = post(url, content=body, headers={"Content-Type": kind})
            assert reply.status_code >= 400 or reply.json() == []
            assert "Traceback" not in reply.text
        no_traceback(place, since)
        assert memory(place) - before < GROWTH


def announced(url: str, length: int) -> int:
    """The answer to an upload that says how large it will be, before anything of it is sent."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.putrequest("POST", f"{API}/upload")
    connection.putheader("Content-Length", str(length))
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


def smuggled(url: str, size: int) -> int:
    """The answer to an upload in chunks that names a small length beside them."""
    part = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        + bytes(size)
        + b"\r\n--x--\r\n"
    )
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.putrequest("POST", f"{API}/upload")
    for name, value in (
        ("Content-Type", "multipart/form-data; boundary=x"),
        ("Content-Length", "10"),
        ("Transfer-Encoding", "chunked"),
    ):
        connection.putheader(name, value)
    connection.endheaders()
    with suppress(OSError):  # it may be refused before all of it is sent
        connection.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(part), part))
    status = connection.getresponse().status
    connection.close()
    return status


def test_an_event_larger_than_the_page_would_send_is_refused(app: RunningApp, public: RunningApp) -> None:
    for place, size in ((app, 4_000_001), (public, 500_001)):
        reply = post(f"{place.url}{API}/queue/join", content=b"[" * size, headers={"Content-Type": "application/json"})
        assert reply.status_code == 413


def test_a_file_name_cannot_leave_the_folder_of_uploads(app: RunningApp) -> None:
    guest = Visitor(app.url)
    for name in (
        "../../../../tmp/evil.png",
        "/etc/evil.png",
        "..\\..\\evil.png",
        "a\0b.png",
        "<img src=x>.png",
        "." * 300,
    ):
        (path,) = guest.upload((name, drawn()))
        folder = path.rsplit("/", 2)[0]
        assert ".." not in path.split("/")
        assert "<" not in path
        assert "vqa-page-" in folder


def bomb() -> bytes:
    """A PNG of a few kilobytes that unfolds to 400 million pixels."""
    out = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("where", ["ordinary", "public"])
def test_the_limits_of_a_question_hold_in_the_handler(where: str, private: RunningApp, public: RunningApp) -> None:
    guest = inside(private) if where == "ordinary" else visitor(public, "10.0.3.1")
    limits = Settings(public=where == "public").for_visitors()
    since = log_end(public if where == "public" else private)
    fine = guest.upload(("a.png", drawn()))
    options = guest.defaults(guest.endpoint("vqa-composer", "submit"))[2:]
    data_url = "data:image/png;base64," + base64.b64encode(drawn()).decode()
    refused = [
        guest.ask("x" * (limits.max_question_chars + 1), fine),
        guest.ask("What is this?", fine, [*options[:2], str(limits.max_tokens + 1), *options[3:]]),
        guest.ask("What is this?", fine, [*options[:2], "-1", *options[3:]]),
        guest.ask("What is this?", fine, [*options[:4], "x" * (limits.max_question_chars + 1), *options[5:]]),
        guest.ask("What is this?", guest.upload(("bomb.png", bomb()))),
        guest.ask("What is this?", guest.upload(*((f"{n}.png", drawn(size=8 + n)) for n in range(17)))),
        guest.ask("What is this?", [data_url]),
        guest.repeat("What is this?", fine[0], n=limits.max_repeats + 1),
        guest.repeat("What is this?", fine[0], max_tokens=limits.max_tokens + 1),
        guest.repeat("x" * (limits.max_question_chars + 1), fine[0]),
        guest.repeat("What is this?", fine[0], concurrency=10_000),
    ]
    for place, reply in enumerate(refused):
        assert reply.notices or not reply.success, f"{place}: {reply.raw[:500]}"
        assert "Traceback" not in reply.text
    if where == "public":
        large = [("files", ("large.png", os.urandom(limits.max_image_bytes + 1)))]
        assert guest.http.post(f"{API}/upload", files=large).status_code == 413
    no_traceback(public if where == "public" else private, since)


def test_a_visitors_video_gives_no_more_pictures_than_may_be_sent(public: RunningApp, tmp_path: Path) -> None:
    guest, since = visitor(public, "10.0.3.5"), log_end(public)
    clip = make_video(tmp_path / "clip.mp4", seconds=2).read_bytes()
    changed = guest.endpoint("vqa-tray", "upload")
    (path,) = guest.upload(("clip.mp4", clip))
    written, most = {"text": "", "files": [as_file(path)]}, Settings().public_max_pictures
    rest = guest.defaults(changed)[2:]
    assert not guest.call(changed, [written, most + 1, *rest]).success
    composer = guest.call(changed, [written, most, *rest]).outputs[0]["value"]
    assert len(composer["files"]) == most
    replies = [guest.call(changed, [written, 1, *rest]) for _ in range(Settings().public_requests_per_minute)]
    assert "requests a minute" in replies[-1].notices[0]
    no_traceback(public, since)


def test_a_visitor_who_asks_too_often_is_told_when_to_come_back(public: RunningApp) -> None:
    guest, most = visitor(public, "10.0.3.2"), Settings().public_requests_per_minute
    replies = [guest.fetch("http://127.0.0.1/a.png") for _ in range(most + 1)]
    assert all("local network" in reply.notices[0] for reply in replies[:most])
    assert f"At most {most} requests" in replies[most].notices[0]
    assert "local network" in visitor(public, "10.0.3.3").fetch("http://127.0.0.1/a.png").notices[0]


def test_throwing_the_cookie_away_does_not_help_for_long(public: RunningApp) -> None:
    most = Settings().public_requests_per_minute
    said = []
    for _ in range(most):
        guest = visitor(public, "10.0.3.4")
        said += [guest.fetch("http://127.0.0.1/a.png").notices[0] for _ in range(most // 2)]
        guest.close()
    assert any("At most" in words for words in said)


def test_a_run_is_its_visitors_alone(public: RunningApp) -> None:
    owner, stranger = visitor(public, "10.0.3.5"), visitor(public, "10.0.3.6")
    reply = owner.repeat("What is this?", owner.upload(("a.png", drawn("blue")))[0], n=2, max_tokens=2)
    run = (
        reply.raw.split('data-run=\\\\\\"')[1].split("\\")[0] if 'data-run=\\\\\\"' in reply.raw else _run_in(reply.raw)
    )
    opening = (
        owner.endpoint("repeat-groups", "click") + 1
    )  # what fills the tab when it is first opened comes right after
    load = min(
        each["id"] for each in owner.config["dependencies"] if each["id"] >= opening and each["targets"][0][1] == "load"
    )
    query = {"tab": "repeat", "run": run}
    mine = owner.http.post(f"{API}/run/predict", params=query, json=event(owner, load))
    theirs = stranger.http.post(f"{API}/run/predict", params=query, json=event(stranger, load))
    assert run in mine.text
    assert run not in theirs.text


def event(guest: Visitor, function: int) -> dict[str, object]:
    """An event with nothing but what the server keeps of this page."""
    kept = next(each["inputs"] for each in guest.config["dependencies"] if each["id"] == function)
    return {"data": [None] * len(kept), "fn_index": function, "session_hash": guest.session}


def _run_in(raw: str) -> str:
    place = raw.index("data-run=") + len("data-run=")
    return raw[place:].lstrip('\\"').split("\\")[0].split('"')[0]


async def test_a_thousand_quick_requests_leave_the_page_standing(public: RunningApp) -> None:
    since, before = log_end(public), memory(public)
    guest = visitor(public, "10.0.3.8")
    codes, joined = await hammer(guest, guest.endpoint("vqa-composer", "submit"), 1000)
    assert sum(codes.values()) == 1000
    assert set(codes) <= {200, 400, 404, 429, 503}, codes
    assert joined, "some got as far as the queue"
    replies = [await asyncio.to_thread(heard, guest, session, events) for session, events in joined.items()]
    told = [reply for each in replies for reply in each.values()]
    handled = [reply for reply in told if reply.success and reply.notices]
    assert handled, "some got as far as the handler, which told that there is no picture"
    reply = await asyncio.to_thread(guest.ask, "What is this?", [])
    assert reply.notices, "there is no picture, and the page still says so"
    no_traceback(public, since)
    assert memory(public) - before < GROWTH


def heard(guest: Visitor, session: str, events: set[str]) -> dict[str, Reply]:
    """What became of events of one of a visitor's tabs."""
    guest.session = session
    return guest.listen(events)


async def hammer(guest: Visitor, function: int, count: int) -> tuple[Counter[int], dict[str, set[str]]]:
    """Sends requests of four kinds, fifty at a time, as a visitor.

    Returns how often which status came back, and the events that were taken into the queue, by tab.
    """
    codes: Counter[int] = Counter()
    joined: dict[str, set[str]] = {}
    headers, cookies = {"X-Forwarded-For": "10.0.3.8"}, dict(guest.http.cookies)
    url, limits = guest.http.base_url, httpx.Limits(max_connections=50, max_keepalive_connections=0)
    data = [{"text": "x", "files": []}, None, *guest.defaults(function)[2:]]
    async with httpx.AsyncClient(
        base_url=url, limits=limits, timeout=200, headers=headers, cookies=cookies, trust_env=False
    ) as client:

        async def one(number: int) -> None:
            session = f"s{number % 20}"
            body = {"data": data, "fn_index": function, "session_hash": session}
            if number % 4 == 0:
                reply = await client.post(f"{API}/queue/join", json=body)
                if reply.status_code == 200:
                    joined.setdefault(session, set()).add(reply.json()["event_id"])
            elif number % 4 == 1:
                reply = await client.get("/robots.txt")
            elif number % 4 == 2:
                reply = await client.post(f"{API}/run/predict", json=body)
            else:
                event = {"session_hash": "s", "fn_index": 1, "event_id": "x"}
                reply = await client.post(f"{API}/cancel", json=event)
            codes[reply.status_code] += 1

        await asyncio.gather(*map(one, range(count)))
    return codes, joined


def test_the_window_counts_a_minute_and_forgets() -> None:
    now = [100.0]
    window = Window(lambda: now[0])
    assert [window.take({"a": 2}) > 0 for _ in range(3)] == [False, False, True]
    assert window.take({"b": 1, "a": 2}) > 0
    assert window.take({"b": 1}) == 0.0, "a refusal counts for nobody"
    now[0] += WINDOW_SECONDS
    assert window.take({"a": 2}) == 0.0


def test_the_window_is_exact_under_threads() -> None:
    window, passed = Window(), []
    threads = [threading.Thread(target=lambda: passed.append(window.take({"a": 10}) == 0.0)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 10


def test_one_customers_network_counts_as_one_address() -> None:
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::1") != network_of("2001:db8:1:3::1")
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1") != network_of("10.0.0.2")
