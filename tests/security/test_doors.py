"""Who may come in: bindings, Host, Origin, routes, endpoints that the page does not show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.conftest import ROOT, RunningApp, base_environment
from tests.ports import free_port
from tests.security.conftest import NAMED, PASSWORD, USER, log_end, no_traceback, visitor
from tests.security.visitor import API, Json, Visitor, drawn, get, post
from vqa.errors import InputError
from vqa.settings import Settings

CLOSED = (
    "/docs", "/redoc", "/openapi.json", "/monitoring", "/monitoring/summary", "/.env", "/.git/config", "/x",
    "/gradio_api/deep_link", "/gradio_api/openapi.json", "/gradio_api/mcp/sse", "/gradio_api/mcp/schema",
    "/gradio_api/vibe-code", "/gradio_api/vibe-edit", "/gradio_api/dev/reload", "/gradio_api/runs",
    "/gradio_api/run-history/records", "/gradio_api/process_recording", "/gradio_api/profiling/traces",
    "/gradio_api/call/v2/send", "/gradio_api/call/send", "/gradio_api/api/send", "/gradio_api/stream/x",
)  # fmt: skip
GARBAGE: tuple[Json, ...] = (
    None, "", "../../etc/passwd", "<script>alert(1)</script>", -1, 10**30, 1e308, True, [], {}, [[]], {"a": {"b": []}},
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, "x" * 100_000,
)  # fmt: skip
SENT_WITH_EVENTS = ("act", "place", "to", "chat", "name", "box", "group", "run", "index", "value")
"""What the page's scripts and Gradio's components send beside a component's value."""


def test_another_address_needs_a_password_or_the_public_mode(tmp_path: Path) -> None:
    environment = base_environment(
        host="0.0.0.0", port=free_port(), data_dir=tmp_path, base_url="http://127.0.0.1:9/v1"
    )
    done = subprocess.run(
        [sys.executable, "app.py"], check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "VQA_AUTH" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "vqa.example.org"])
def test_every_address_but_loopback_counts_as_another(host: str) -> None:
    with pytest.raises(InputError) as refused:
        Settings(host=host).check_binding()
    assert refused.value.code == "binding_open"
    Settings(host=host, public=True).check_binding()
    Settings(host=host, auth="user:word").check_binding()


def test_a_foreign_host_is_turned_away(app: RunningApp, public: RunningApp, private: RunningApp) -> None:
    for place in (app, public, private):
        for host in (
            "evil.example",
            "evil.example:7860",
            "127.0.0.1.evil.example",
            "169.254.169.254",
            "inside.example",
        ):
            assert get(f"{place.url}/config", headers={"Host": host}).status_code == 400


def test_a_name_that_the_operator_gave_is_welcome_and_so_is_a_page_under_it(private: RunningApp) -> None:
    for host in (NAMED, "127.0.0.1", "lab.inside.example"):
        assert get(f"{private.url}/", headers={"Host": host}).status_code == 200
    headers = {"Host": NAMED, "Origin": f"http://{NAMED}"}
    with httpx.Client(base_url=private.url, headers=headers, trust_env=False, timeout=120) as proxied:
        assert proxied.post("/login", data={"username": USER, "password": PASSWORD}).status_code == 200
        assert proxied.get("/config").json()["root"] == f"http://{NAMED}"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost.evil.example"]
)
def test_a_foreign_origin_can_do_nothing(app: RunningApp, public: RunningApp, origin: str) -> None:
    for place in (app, public):
        headers = {"Origin": origin}
        files = [("files", ("a.png", drawn()))]
        refused = [
            post(f"{place.url}{API}/upload", files=files, headers=headers),
            post(f"{place.url}{API}/queue/join", json={"data": [], "fn_index": 0}, headers=headers),
            post(f"{place.url}{API}/queue/join", content='{"data":[],"fn_index":0}', headers=headers),
            get(f"{place.url}/config", headers=headers),
        ]
        assert {reply.status_code for reply in refused} == {403}
        asked = headers | {"Access-Control-Request-Method": "POST"}
        allowed = httpx.options(f"{place.url}{API}/upload", headers=asked, timeout=120).headers.get(
            "access-control-allow-origin"
        )
        assert allowed is None or origin.startswith("http://127.0.0.1:"), (
            "Gradio trusts this machine; we refuse it above"
        )


def test_the_own_origin_is_welcome(app: RunningApp) -> None:
    reply = post(f"{app.url}{API}/upload", files=[("files", ("a.png", drawn()))], headers={"Origin": app.url})
    assert reply.status_code == 200


def test_what_the_page_does_not_use_is_not_there(app: RunningApp, public: RunningApp) -> None:
    for place in (app, public):
        with httpx.Client(base_url=place.url, trust_env=False, timeout=120) as client:
            for path in CLOSED:
                for method in ("GET", "POST"):
                    assert client.request(method, path).status_code == 404, path
            for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
                assert client.request(method, "/config").status_code == 405


def shows(page: str, element: str) -> bool:
    """Whether an element is on the page; that the page's script or style sheet names it does not count."""
    return re.search(rf"""(elem_id"?\s*:\s*|id=)["']{element}["']""", page) is not None


def test_without_the_password_nothing_opens(app: RunningApp, private: RunningApp) -> None:
    with httpx.Client(base_url=private.url) as nobody:
        nobody.headers["Cookie"] = "access-token=x; access-token-unsecure=x"
        assert nobody.post("/login", data={"username": "somebody", "password": "wrong"}).status_code == 400
        shut = [
            nobody.get("/config"),
            nobody.get(f"{API}/info"),
            nobody.get(f"{API}/file=/etc/passwd"),
            nobody.get(f"{API}/queue/data", params={"session_hash": "x"}),
            nobody.get(f"{API}/queue/status"),
            nobody.post(f"{API}/upload", files=[("files", ("a.png", drawn()))]),
            nobody.post(f"{API}/component_server", json={}),
        ]
        for number in range(0, 200, 5):
            event = {"data": [], "fn_index": number, "session_hash": "x"}
            shut += [nobody.post(f"{API}/queue/join", json=event), nobody.post(f"{API}/run/predict", json=event)]
        assert {reply.status_code for reply in shut} == {401}
        assert shows(get(app.url).text, "vqa-composer"), "where nobody asks for a password, it is there"
        assert not shows(nobody.get("/").text, "vqa-composer")


def test_a_public_demo_has_no_control_and_no_history(app: RunningApp, public: RunningApp) -> None:
    guest = visitor(public, "10.0.2.1")
    page, ordinary = guest.http.get("/").text, get(app.url).text
    assert shows(page, "tab-ask")
    for element in ("tab-server", "tab-history", "tab-diagnose", "tab-evaluate", "vqa-conversations"):
        assert shows(ordinary, element)
        assert not shows(page, element)
    assert str(public.data_dir) not in page
    assert str(ROOT) not in page
    shown = {function["api_name"] for function in guest.config["dependencies"]}
    private_names = {function["api_name"] for function in Visitor(app.url).config["dependencies"]} - shown
    assert len(private_names) > 10, "the ordinary page has far more"
    for name in private_names:
        reply = guest.http.post(f"{API}/run/{name}", json={"data": [], "session_hash": guest.session})
        assert reply.status_code == 400


def test_no_number_and_no_name_calls_more_than_the_page_shows(app: RunningApp, public: RunningApp) -> None:
    guest = visitor(public, "10.0.2.2")
    known = {function["id"] for function in guest.config["dependencies"]}
    for number in [-1, *range(max(known) + 200)]:
        if number in known:
            continue
        event = {"data": [], "fn_index": number, "session_hash": guest.session}
        for route in ("queue/join", "run/predict"):
            reply = guest.http.post(f"{API}/{route}", json=event)
            assert reply.status_code >= 400
            assert "Traceback" not in reply.text
    assert get(f"{public.base_url}/models").status_code == 200


def test_garbage_to_every_endpoint_harms_nobody(app: RunningApp, public: RunningApp) -> None:
    guest, since = visitor(public, "10.0.2.3"), log_end(public)
    for function in guest.config["dependencies"]:
        if function["id"] not in guest.config["page"][""]["dependencies"]:
            continue
        for place, value in enumerate(GARBAGE):
            count = len(function["inputs"]) if place % 2 else len(function["inputs"]) + 1
            event = {"data": [value] * count, "fn_index": function["id"], "session_hash": guest.session}
            event["event_data"] = value if place % 2 else dict.fromkeys(SENT_WITH_EVENTS, value)
            route = "queue/join" if function["queue"] else "run/predict"
            reply = guest.http.post(f"{API}/{route}", json=event)
            assert not re.search(r"Traceback|File \"|root:x:", reply.text), reply.text[:500]
    assert visitor(public, "10.0.2.4").ask("What is this?", []).notices, "the page still answers"
    assert get(f"{public.base_url}/models").status_code == 200
    no_traceback(public, since)


def test_path_tricks_in_names_of_models_and_runs_reach_nothing(app: RunningApp) -> None:
    insider, since = Visitor(app.url), log_end(app)
    before = folders(app)
    by_inputs = [(each, insider.names(each["inputs"])) for each in insider.config["dependencies"]]
    naming = [each for each, names in by_inputs if names[:1] == ["vqa-model-id"] and len(names) > 1]
    removing = [each for each in insider.config["dependencies"] if each["api_name"].startswith("remove")]
    assert naming
    assert removing
    for trick in (
        "../../../etc",
        "a/../../b",
        "/etc/passwd",
        "a/b/../../../c",
        "a\\..\\b",
        "a/b\0c",
        "..%2f..",
        "a/..",
    ):
        for function in naming:
            for data in ([trick, "modelscope", "", ""], ["a/b", "modelscope", trick, ""]):
                assert insider.call(function["id"], data).notices, f"{data} was not refused"
            if ".." in Path(trick).parts:
                assert insider.call(function["id"], ["a/b", "modelscope", "", trick]).notices, trick
        for function in removing:
            reply = insider.call(function["id"], [trick] + [None] * (len(function["inputs"]) - 1))
            assert reply.notices or not reply.success
        for query in ({"tab": "repeat", "run": trick}, {"tab": "ask", "chat": trick}, {"tab": trick}):
            assert insider.http.get("/", params=query).status_code == 200
    assert folders(app) == before
    no_traceback(app, since)


def folders(app: RunningApp) -> set[Path]:
    """Every folder around an app's data."""
    return {path for path in app.data_dir.parent.rglob("*") if path.is_dir()}
