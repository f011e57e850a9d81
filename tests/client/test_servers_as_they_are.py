"""Whatever a server, a gateway or the way to it does, it is told as what it is, with the server's own words."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.client.raw import MODELS, PAUSE, delta, http, raw_server, sse
from vqa.answers import Answer, Question
from vqa.client import BrokenStreamError, Client, Waiting, normalize_base_url, server_root
from vqa.client.attempts import Attempts
from vqa.client.problems import RefusedError
from vqa.client.server import MEMORY, Known
from vqa.errors import InputError, ServerError, VQAError

GOOD = sse(delta(content="Red"), delta("stop"))
NGINX = "<html>\r\n<head><title>{0}</title></head>\r\n<body><center><h1>{0}</h1></center><hr>nginx</body></html>"


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    MEMORY.known.clear()


async def refused_by(*replies: Any, **more: bytes) -> VQAError:
    async with raw_server(*replies, **more) as server, Client(server.address) as client:
        with pytest.raises(VQAError) as refused:
            await client.ask(Question("What?"))
    return refused.value


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (400, {"error": "the field n is unknown"}, "server_rejected", "the field n is unknown"),
        (422, {"detail": [{"loc": ["body", "seed"], "msg": "not an integer"}]}, "server_rejected", "body.seed: not"),
        (400, {"detail": "seed must be positive"}, "server_rejected", "seed must be positive"),
        (400, {"message": "role is unknown"}, "server_rejected", "role is unknown"),
        (400, {"object": "error", "message": "bad image", "code": 400}, "server_rejected", "bad image"),
        (400, {"error": {"message": "the request exceeds the available context size", "code": 400}},
         "context_exceeded", "available context size"),
        (400, {"error": {"message": "Too long", "code": "context_length_exceeded"}}, "context_exceeded", "Too long"),
        (401, {"error": {"message": "Incorrect API key provided"}}, "server_unauthorized", "Incorrect API key"),
        (403, {"error": {"message": "invalid token"}}, "server_unauthorized", "invalid token"),
        (403, {"error": {"message": "Your country is not supported"}}, "server_forbidden", "country"),
        (402, {"error": {"message": "Insufficient Balance"}}, "server_account_empty", "Insufficient Balance"),
        (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}},
         "server_account_empty", "current quota"),
        (429, {"error": {"message": "账户余额不足"}}, "server_account_empty", "账户余额不足"),
        (429, {"error": {"message": "Rate limit reached"}}, "server_busy", "Rate limit reached"),
        (404, {"error": {"message": "The model `x` does not exist"}}, "server_not_found", "does not exist"),
        (404, {"detail": "Not Found"}, "server_no_chat", "Not Found"),
        (405, "", "server_no_chat", "405"),
        (413, NGINX.format("413 Request Entity Too Large"), "server_body_too_large", "413 Request Entity Too Large"),
        (502, NGINX.format("502 Bad Gateway"), "server_gateway", "502 Bad Gateway"),
        (503, {"error": {"message": "Loading model"}}, "server_gateway", "Loading model"),
        (504, "<h1>upstream timed out</h1>", "server_gateway_timeout", "upstream timed out"),
        (500, "Internal Server Error", "server_failed", "Internal Server Error"),
        (400, NGINX.format("400 The plain HTTP request was sent to HTTPS port"), "server_speaks_https", "plain HTTP"),
    ],
)  # fmt: skip
async def test_each_refusal_has_its_sentence_with_the_servers_words(
    status: int, body: object, code: str, words: str
) -> None:
    kind = "text/html" if isinstance(body, str) else "application/json"
    refused = await refused_by(http(body, status=status, kind=kind))
    assert refused.code == code
    assert words in refused.message()
    assert "<" not in refused.message()
    assert "restart" not in refused.hint(), "the server is not ours to restart"


async def test_a_servers_words_are_trimmed_and_harmless() -> None:
    refused = await refused_by(http({"error": "a\x1b[31m\n" + "b" * 5000}, status=400))
    assert "\x1b" not in refused.message()
    assert len(refused.message()) < 500


async def test_a_redirect_is_told_with_its_address() -> None:
    refused = await refused_by(http("", status=301, Location="https://new.example/v1/chat/completions"))
    assert refused.code == "server_redirects"
    assert "https://new.example/v1/chat/completions" in refused.message()


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([{"error": {"message": "engine died", "code": 500}}], "engine died"),
        ([{"error": "engine died"}], "engine died"),
        ([b'event: error\ndata: {"message": "engine died"}\n\n'], "engine died"),
        ([b"error: engine died\n\n"], "engine died"),
        ([{"detail": "engine died"}], "engine died"),
        ([{"object": "error", "message": "engine died"}], "engine died"),
        ([b"data: engine died\n\n"], "engine died"),
    ],
)
async def test_an_error_inside_a_stream_keeps_its_words(events: list[object], words: str) -> None:
    at_once = await refused_by(sse(*events))
    assert words in at_once.message()
    later = await refused_by(sse(delta(content="Re"), *events))
    assert isinstance(later, BrokenStreamError)
    assert (words in later.message(), later.partial.text) == (True, "Re")


@pytest.mark.parametrize(
    "body", [{"error": {"message": "engine died"}}, {"error": "engine died"}, {"detail": "engine died"}]
)
async def test_an_error_sent_as_200_keeps_its_words(body: object) -> None:
    assert "engine died" in (await refused_by(http(body))).message()


@pytest.mark.parametrize(
    "reply",
    [
        sse(b": keep-alive\n\n", b"data:\n\n", delta(content="Red"), b"data: \n\n", delta("stop")),
        sse(delta(content="Red")),
        sse(delta(content="Red"), delta("stop"), done=False),
        sse(delta(content="Red"), b'data: {"type": "ping"}\n\n', delta("stop")),
        GOOD.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
        http({"choices": [{"message": {"content": "Red"}, "finish_reason": "stop"}]}),
        http('{\n "choices": [\n {"message": {"content": "Red"}, "finish_reason": "stop"}]\n}'),
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join(
            b"%x\r\n%s\r\n" % (len(event), event)
            for event in [GOOD.partition(b"\r\n\r\n")[2].partition(b"data: [D")[0]]
        ),
    ],
    ids=[
        "keep-alive",
        "no finish reason",
        "no DONE",
        "ping",
        "CRLF",
        "one JSON",
        "pretty JSON",
        "chunks that just end",
    ],
)
async def test_streams_that_are_whole_are_answers(reply: bytes) -> None:
    async with raw_server(reply) as server, Client(server.address) as client:
        answer = await client.ask(Question("What?"))
    assert (answer.text, answer.fault) == ("Red", None)


async def test_a_broken_chunked_body_is_a_broken_answer() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    event = GOOD.partition(b"\r\n\r\n")[2].partition(b"\n\n")[0] + b"\n\n"
    told = await refused_by(head + b"%x\r\n%s\r\n%szz\r\n" % (len(event), event, PAUSE))
    assert isinstance(told, BrokenStreamError)
    assert (told.partial.text, "No server answers" in told.message()) == ("Red", False)


@pytest.mark.parametrize(
    ("models", "asked"),
    [
        (http([{"id": "one"}]), "one"),
        (http({"models": [{"name": "one"}]}), "one"),
        (http({"object": "list", "data": ["one"]}), "one"),
        (http({"data": [{"id": "bge-m3"}, {"id": "text-embedding-3"}, {"id": "one"}, {"nothing": 1}, None]}), "one"),
    ],
)
async def test_lists_of_models_are_read_in_every_form_embedders_last(models: bytes, asked: str) -> None:
    async with raw_server(GOOD, models=models) as server, Client(server.address) as client:
        await client.ask(Question("What?"))
    assert server.bodies[0]["model"] == asked


@pytest.mark.parametrize(
    "models",
    [
        http("<html></html>", kind="text/html"),
        http(None),
        http({"data": None}),
        http("", status=404),
        http(3),
        http({}, status=403),
        http("", status=302, Location="https://elsewhere.example/"),
        http({}, status=429),
        http("", status=503),
        http({"data": []}),
    ],
    ids=["HTML", "null", "null data", "404", "number", "403", "302", "429", "503", "empty"],
)
async def test_no_list_of_models_is_told_and_no_obstacle_where_one_is_named(models: bytes) -> None:
    assert isinstance(await refused_by(GOOD, models=models), ServerError)
    async with raw_server(GOOD, models=models) as server, Client(server.address) as client:
        assert (await client.ask(Question("What?"), model="mine")).text == "Red"
    assert server.bodies[0]["model"] == "mine"


async def test_an_empty_list_of_models_is_told() -> None:
    assert (await refused_by(GOOD, models=http({"data": []}))).code == "server_without_model"


async def test_a_vllm_behind_a_gateway_is_found_by_asking_it() -> None:
    counted = http({"count": 7, "max_model_len": 2048, "tokens": [1]})
    async with raw_server(GOOD, tokenize=counted) as server, Client(server.address) as client:
        info = await client.info()
        assert await client.prompt_tokens(Question("What?")) == 7
        await client.ask(Question("What?", cache_salt="ab"))
    assert (info.is_vllm, info.max_model_len) == (True, 2048)
    assert (server.bodies[0]["return_token_ids"], server.bodies[0]["cache_salt"]) == (True, "ab")


async def test_a_vllm_behind_a_gateway_that_passes_on_the_chat_alone_shows_itself_in_one_token() -> None:
    def one_token(body: dict[str, Any]) -> bytes:
        choice = {"message": {"content": "a"}, "finish_reason": "length"}
        return http({"choices": [choice | {"token_ids": [5]}]}) if body.get("return_token_ids") else GOOD

    async with raw_server(one_token, GOOD) as server:
        async with Client(server.address) as client:
            assert not (await client.info()).is_vllm
            assert (await client.learn()).is_vllm
        async with Client(server.address) as another:
            assert (await another.info()).is_vllm, "what was learnt of an address is remembered"
            await another.ask(Question("What?", cache_salt="ab"))
    assert len(server.bodies) == 2
    assert server.bodies[0]["max_tokens"] == 1
    assert server.bodies[1]["cache_salt"] == "ab"


async def test_a_server_that_is_no_vllm_is_asked_once_whether_it_is() -> None:
    async with raw_server(http({"error": "unknown field return_token_ids"}, status=400), GOOD) as server:
        for _ in range(2):
            async with Client(server.address) as client:
                assert not (await client.learn()).is_vllm
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "logprobs are not supported"),
        (400, "log probabilities are not available for this model"),
        (400, "该模型不支持对数概率"),
        (422, "this content cannot be processed"),
        (501, "this model does not implement that"),
        (501, ""),
    ],
)
async def test_logprobs_that_are_refused_are_left_out_from_then_on(status: int, words: str) -> None:
    def without_logprobs(body: dict[str, Any]) -> bytes:
        return http({"error": words}, status=status) if "logprobs" in body else GOOD

    async with raw_server(without_logprobs) as server:
        for _ in range(2):
            async with Client(server.address) as client:
                assert (await client.ask(Question("What?"))).text == "Red"
                assert client.refused == ("logprobs",)
    assert ["logprobs" in body for body in server.bodies] == [True, False, False]


def test_what_two_questions_find_out_at_once_is_left_out_once() -> None:
    known = Known()
    first, second = (Attempts(Question("What?", logprobs=2), known, vllm=True) for _ in range(2))
    said = RefusedError(400, "logprobs are not supported")
    assert first.goes_on_after(said)
    first.settle()
    assert second.goes_on_after(said)
    second.settle()
    assert known.refused == ("logprobs",)


async def test_stream_options_that_are_refused_are_left_out() -> None:
    def without_options(body: dict[str, Any]) -> bytes:
        return http({"error": "unknown field stream_options"}, status=400) if "stream_options" in body else GOOD

    async with raw_server(without_options) as server, Client(server.address) as client:
        assert (await client.ask(Question("What?"))).text == "Red"


@pytest.mark.parametrize("given", ["0", "0.05", None])
async def test_a_server_that_asks_to_wait_is_asked_again_and_the_answer_says_so(
    given: str | None,
) -> None:
    given = given or format_datetime(datetime.now(UTC) - timedelta(seconds=5), usegmt=True)
    busy = http({"error": "slow down"}, status=429, Retry_After=given)
    async with raw_server(busy, busy, GOOD) as server, Client(server.address) as client:
        events = [event async for event in client.stream(Question("What?"))]
    waits, answer = [event for event in events if isinstance(event, Waiting)], events[-1]
    assert isinstance(answer, Answer)
    assert (len(waits), waits[0].reason, answer.text, answer.retried) == (2, "slow down", "Red", 2)


async def test_a_wait_without_end_is_not_granted() -> None:
    busy = http({"error": "slow down"}, status=429, Retry_After="3600")
    async with raw_server(busy) as server, Client(server.address) as client:
        with pytest.raises(ServerError) as told:
            await client.ask(Question("What?"))
    assert (told.value.code, "3600 s" in told.value.message(), len(server.bodies)) == ("server_busy_until", True, 1)
    again = http({"error": "slow down"}, status=503, Retry_After="0")
    async with raw_server(again) as server, Client(server.address) as client:
        with pytest.raises(ServerError):
            await client.ask(Question("What?"))
    assert 2 <= len(server.bodies) <= 10


async def test_who_asks_for_no_wait_is_not_asked_again() -> None:
    async with raw_server(http({"error": "slow down"}, status=429)) as server, Client(server.address) as client:
        with pytest.raises(ServerError):
            await client.ask(Question("What?"))
    assert len(server.bodies) == 1


async def told_at(address: str) -> VQAError:
    async with Client(address, timeout=5) as client:
        with pytest.raises(VQAError) as told:
            await client.info()
    return told.value


async def test_faults_of_the_way_are_told_apart() -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: bytes) -> None:
        await reader.read(100)
        writer.write(words)
        writer.close()

    async def talking(words: bytes) -> tuple[asyncio.Server, int]:
        server = await asyncio.start_server(lambda r, w: say(r, w, words), "127.0.0.1", 0)
        return server, server.sockets[0].getsockname()[1]

    plain, plain_port = await talking(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    other, other_port = await talking(b"SSH-2.0-OpenSSH_9\r\n")
    silent, silent_port = await talking(b"")
    assert (await told_at("http://127.0.0.1:9/v1")).code == "server_unreachable"
    assert (await told_at("http://nowhere.invalid/v1")).code == "server_name_unknown"
    assert (await told_at(f"https://127.0.0.1:{plain_port}/v1")).code == "server_speaks_http"
    assert (await told_at(f"http://127.0.0.1:{other_port}/v1")).code == "server_not_http"
    assert (await told_at(f"http://127.0.0.1:{silent_port}/v1")).code == "server_broke_off"
    for server in (plain, other, silent):
        server.close()


async def test_a_certificate_is_checked_and_one_of_ones_own_can_be_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    more = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    await asyncio.to_thread(subprocess.run, [*request, *more], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(MODELS))
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0, ssl=context)
    address = f"https://localhost:{server.sockets[0].getsockname()[1]}/v1"
    assert (await told_at(address)).code == "server_certificate"
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    async with Client(address) as client:
        assert (await client.info()).model_ids == ("m",)
    server.close()


@pytest.mark.parametrize("name", ["ALL_PROXY", "http_proxy"])
async def test_a_proxy_that_cannot_be_used_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv(name, "socks5://127.0.0.1:1")
    told = await told_at("http://models.example/v1")
    assert isinstance(told, InputError)
    assert name.upper() in told.message()
    assert (await told_at("http://127.0.0.1:9/v1")).code == "server_unreachable", "nothing local goes to a proxy"


async def test_requests_go_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(GOOD) as proxy:
        monkeypatch.setenv("http_proxy", proxy.address.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with Client("http://models.example/v1") as client:
            assert (await client.ask(Question("What?"))).text == "Red"
    assert proxy.paths[-1] == "http://models.example/v1/chat/completions"


@pytest.mark.parametrize(
    ("given", "address", "root"),
    [
        ("https://open.example/api/paas/v4", "https://open.example/api/paas/v4", "https://open.example/api/paas"),
        ("https://ark.example/api/v3/", "https://ark.example/api/v3", "https://ark.example/api"),
        ("https://g.example/v1beta/openai/", "https://g.example/v1beta/openai", "https://g.example"),
        ("http://host:1/v1/models", "http://host:1/v1", "http://host:1"),
        ("http://host:1/v4/chat/completions", "http://host:1/v4", "http://host:1"),
        ("host:1/openai", "http://host:1/openai/v1", "http://host:1/openai"),
    ],
)
def test_addresses_keep_the_version_that_they_name(given: str, address: str, root: str) -> None:
    assert normalize_base_url(given) == address
    assert server_root(address) == root
