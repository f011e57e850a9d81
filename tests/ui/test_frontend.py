"""How soon a browser has what a page is made of: Gradio's own files and the page as it draws it, kept and answered."""

from __future__ import annotations

import re

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from vqa.ui.web import frontend
from vqa.ui.web.middleware import PAGES_KEPT, DrawnOnce, FirstLanguage

FILES = frontend.begins_with({"textbox", "button"})


def served() -> TestClient:
    async def other(request: Request) -> Response:
        return PlainTextResponse(f"gradio: {request.url.path}")

    routes = [Route("/{path:path}", other, methods=["GET", "POST"])]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(frontend.Frontend, files=FILES)]))


def test_a_build_of_gradio_tells_what_a_page_begins_with() -> None:
    names = {name.rpartition("-")[0] for name in FILES}
    assert {"core", "Blocks", "Index", "statustracker"} <= names
    assert set(FILES) < set(frontend.begins_with({"textbox", "button", "chatbot"}))
    assert set(frontend.begins_with(())) < set(FILES)
    assert len(frontend.begins_with({"there_is_no_such_kind"})) == len(frontend.begins_with(()))


@pytest.mark.parametrize("suffix", [".js", ".css"])
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_gradios_files_are_answered_as_they_are_and_kept_by_whoever_has_them(suffix: str, encoding: str) -> None:
    name = next(name for name in FILES if name.endswith(suffix))
    reply = served().get(f"/assets/{name}", headers={"accept-encoding": encoding})
    assert reply.content == (frontend.FOLDER / name).read_bytes()
    assert reply.headers.get("content-encoding", "identity") == encoding
    assert "immutable" in reply.headers["cache-control"] and reply.headers["vary"] == "accept-encoding"
    assert ("javascript" if suffix == ".js" else "css") in reply.headers["content-type"]


def test_the_rules_that_a_page_begins_with_are_one_file() -> None:
    head = str(frontend.named(FILES, FILES))
    (name,) = re.findall(r'<link rel="stylesheet" href="\./assets/(begin-[^"]+)">', str(frontend.rules(FILES)))
    rules = served().get(f"/assets/{name}").content
    for each in FILES:
        assert head.count(f'"./assets/{each}"') == 1
        assert each.endswith(".js") or (frontend.FOLDER / each).read_bytes() in rules


def test_a_script_that_is_wanted_later_is_not_loaded_at_once_though_its_rules_are() -> None:
    later = [name for name in frontend.begins_with({"textbox", "button", "chatbot"}) if name not in FILES]
    head = str(frontend.named([*FILES, *later], FILES))
    assert {name for name in later if f'"./assets/{name}"' in head} == {each for each in later if each.endswith(".css")}
    assert {name.rpartition(".")[2] for name in later} == {"js", "css"}


@pytest.mark.parametrize("path", ["/assets/there-is-none.js", "/assets/..%2f..%2findex-12345678.js", "/assets/", "/"])
def test_what_is_no_file_of_the_build_is_left_to_gradio(path: str) -> None:
    assert served().get(path).text.startswith("gradio: ")
    assert served().post(f"/assets/{FILES[0]}").text.startswith("gradio: ")


class Drawing:
    """A page that counts how often it is drawn."""

    def __init__(self) -> None:
        self.times = 0

    async def page(self, request: Request) -> Response:
        self.times += 1
        reply = HTMLResponse(f'<html lang="en"><head></head><body>{request.url} {self.times}</body></html>')
        if "cookie" in request.query_params:
            reply.set_cookie("one", "visitor")
        if "theme" in request.query_params:
            reply = HTMLResponse('<html lang="en"><head></head><script>{"theme_hash":"a0b1"}</script></html>')
        return HTMLResponse("no", 500) if "broken" in request.query_params else reply


@pytest.fixture
def drawing() -> Drawing:
    return Drawing()


@pytest.fixture
def client(drawing: Drawing) -> TestClient:
    middleware = [
        Middleware(FirstLanguage, configured="en", head="<meta name=ours>", rules="<link>"),
        Middleware(DrawnOnce),
    ]
    middleware.append(Middleware(DrawnOnce))
    routes = [Route("/", drawing.page), Route("/zh", drawing.page)]
    return TestClient(Starlette(routes=routes, middleware=middleware), base_url="http://localhost")


def test_a_page_is_drawn_once_for_all_who_ask_under_one_name(client: TestClient, drawing: Drawing) -> None:
    first = client.get("/")
    assert first.text == client.get("/?tab=history").text == client.get("/", headers={"accept-encoding": ""}).text
    assert "<head><meta name=ours>" in first.text and "<link></head>" in first.text
    assert first.headers["content-encoding"] == "gzip"
    assert drawing.times == 1
    for headers in ({"host": "127.0.0.1"}, {"x-forwarded-host": "lab.example"}, {"x-forwarded-proto": "https"}):
        assert client.get("/", headers=headers).text != first.text
    assert drawing.times == 4
    assert client.get("/zh").text != first.text and drawing.times == 5


def test_the_rules_of_the_theme_are_asked_for_with_the_page(client: TestClient) -> None:
    assert '<link rel="preload" as="style" href="./theme.css?v=a0b1">' in client.get("/?theme=1").text
    assert "theme.css" not in client.get("/zh").text


@pytest.mark.parametrize("query", ["broken=1", "cookie=1", "deep_link=mine"])
def test_what_is_one_visitors_own_or_went_wrong_is_not_kept(client: TestClient, drawing: Drawing, query: str) -> None:
    client.get(f"/?{query}")
    client.get(f"/?{query}")
    assert drawing.times == 2


def test_names_without_end_take_no_memory_without_end(client: TestClient, drawing: Drawing) -> None:
    client.get("/")
    for number in range(PAGES_KEPT):
        client.get("/", headers={"host": f"name-{number}"})
    client.get("/")
    assert drawing.times == PAGES_KEPT + 2
