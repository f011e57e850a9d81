"""The client sends exactly what OpenAI's protocol says, and turns every fault of a server into a sentence."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vqa.answers import Answer, Question, Sampling, Turn
from vqa.client import IDLE_SECONDS, BrokenStreamError, Client, Delta, normalize_base_url
from vqa.errors import InputError, ServerError, VQAError
from vqa.media.images import load_image


def chunk(text: str = "", *, finish: str | None = None, **more: object) -> dict:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {"id": "r1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


GOOD = [
    chunk("", prompt_token_ids=[5, 9, 9, 9]),
    chunk("re"),
    chunk("d", finish="stop", system_fingerprint="fp"),
    {**chunk(), "choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}},
]


class Script:
    """A server that says what a test tells it to, and remembers what it was sent."""

    def __init__(self) -> None:
        self.owned_by = "vllm"
        self.bodies: list[dict] = []
        self.ports: list[int] = []
        """The client's port of each question: one connection, one port."""
        self.reply: Callable[[BaseHTTPRequestHandler], None] = lambda handler: stream(handler, GOOD)
        self.disconnected = threading.Event()


def stream(handler: BaseHTTPRequestHandler, chunks: list[dict], *, end: bool = True) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Connection", "close")
    handler.end_headers()
    for one in chunks:
        handler.wfile.write(f"data: {json.dumps(one)}\n\n".encode())
    if end:
        handler.wfile.write(b"data: [DONE]\n\n")


def stream_and_keep(handler: BaseHTTPRequestHandler, *, last_chunk: bool = True) -> None:
    """Streams a good answer in chunks; the last, empty one comes a moment after `[DONE]`, as vLLM's does."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    body = "".join(f"data: {json.dumps(one)}\n\n" for one in GOOD) + "data: [DONE]\n\n"
    handler.wfile.write(f"{len(body):x}\r\n{body}\r\n".encode())
    handler.wfile.flush()
    time.sleep(0.05 if last_chunk else 8)
    handler.wfile.write(b"0\r\n\r\n")


def refuse(status: int, message: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        send_json(handler, {"error": {"message": message, "type": "x", "code": status}}, status)

    return reply


def send_json(handler: BaseHTTPRequestHandler, value: object, status: int = 200) -> None:
    body = json.dumps(value).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def address(script: Script) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/version":
                send_json(self, {"version": "0.32.0"})
            else:
                model = {"id": "m", "object": "model", "created": 1, "owned_by": script.owned_by, "max_model_len": 2048}
                send_json(self, {"object": "list", "data": [model]})

        def do_POST(self) -> None:
            script.ports.append(self.client_address[1])
            script.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            script.reply(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=lambda: server.serve_forever(0.05))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


async def answer_to(address: str, question: Question) -> Answer:
    async with Client(address) as client:
        return await client.ask(question)


async def test_the_request_is_the_one_of_the_openai_protocol(script: Script, address: str, red_circle: Path) -> None:
    image = load_image(red_circle)
    sampling = Sampling(temperature=0.0, top_p=0.9, max_tokens=64, seed=7, top_k=5)
    earlier = (Turn("user", "hello", (image,)), Turn("assistant", "hi"))
    question = Question(
        "What colour?",
        (image,),
        history=earlier,
        system="Be short.",
        sampling=sampling,
        cache_salt="ab",
        image_uuids=("u",),
    )
    answer = await answer_to(address, question)
    body = script.bodies[0]
    assert body["temperature"] == 0.0 and body["top_p"] == 0.9 and body["max_tokens"] == 64 and body["seed"] == 7
    assert (body["top_k"], body["cache_salt"], body["return_token_ids"], body["top_logprobs"]) == (5, "ab", True, 2)
    part = {"type": "image_url", "image_url": {"url": image.data_url}}
    assert body["messages"] == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [part, {"type": "text", "text": "hello"}]},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": [{**part, "uuid": "u"}, {"type": "text", "text": "What colour?"}]},
    ]
    assert (answer.text, answer.finish_reason, answer.prompt_tokens, answer.image_tokens) == ("red", "stop", 4, 3)
    assert (answer.system_fingerprint, answer.model, answer.request_id) == ("fp", "m", "r1")
    assert 0 < answer.seconds_to_first_token <= answer.seconds


async def test_a_server_that_is_not_vllm_gets_no_fields_of_vllm(script: Script, address: str) -> None:
    script.owned_by = "somebody"
    await answer_to(address, Question("hello", sampling=Sampling(top_k=5, ignore_eos=True), cache_salt="ab"))
    assert not {"return_token_ids", "cache_salt", "top_k", "ignore_eos"} & script.bodies[0].keys()


async def test_an_answer_arrives_in_pieces(address: str) -> None:
    async with Client(address) as client:
        events = [event async for event in client.stream(Question("hello"))]
    assert [event.text for event in events[:-1] if isinstance(event, Delta)] == ["re", "d"]
    assert isinstance(events[-1], Answer)


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (401, "bad key", "server_unauthorized"),
        (404, "no such model", "server_not_found"),
        (400, "This model's maximum context length is 2048 tokens.", "context_exceeded"),
        (400, "temperature must be non-negative", "server_rejected"),
        (429, "slow down", "server_busy"),
        (500, "boom", "server_failed"),
    ],
)
async def test_each_refusal_has_its_sentence(
    script: Script, address: str, status: int, message: str, code: str
) -> None:
    script.reply = refuse(status, message)
    with pytest.raises(ServerError) as refused:
        await answer_to(address, Question("hello"))
    assert refused.value.code == code
    assert "Error code" not in str(refused.value)
    assert len(script.bodies) == 1, "a request that failed must not be sent again by itself"


async def test_an_error_inside_a_200_keeps_what_had_arrived(script: Script, address: str) -> None:
    script.reply = lambda handler: stream(handler, [*GOOD[:2], {"error": {"message": "engine died", "code": 500}}])
    with pytest.raises(BrokenStreamError, match="engine died") as broken:
        await answer_to(address, Question("hello"))
    assert (broken.value.partial.text, broken.value.partial.finish_reason) == ("re", None)


async def test_a_stream_that_just_ends_is_no_answer(script: Script, address: str) -> None:
    script.reply = lambda handler: stream(handler, GOOD[:2], end=False)
    with pytest.raises(BrokenStreamError) as broken:
        await answer_to(address, Question("hello"))
    assert broken.value.partial.text == "re"


async def test_nobody_there_and_silence_are_told_apart(script: Script, address: str) -> None:
    with pytest.raises(ServerError) as refused:
        await answer_to("http://127.0.0.1:9/v1", Question("hello"))
    assert refused.value.code == "server_unreachable"
    script.reply = lambda _: script.disconnected.wait(5)
    async with Client(address, timeout=0.5) as client:
        with pytest.raises(ServerError) as silent:
            await client.ask(Question("hello"))
    script.disconnected.set()
    assert silent.value.code == "server_timeout"


async def test_leaving_the_stream_closes_the_connection(script: Script, address: str) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        try:
            stream(handler, [chunk("word ")] * 10_000_000)
        except OSError:
            script.disconnected.set()

    script.reply = endless
    async with Client(address) as client:
        events = client.stream(Question("hello"))
        assert (await anext(events)).text == "word "
        await events.aclose()
        assert await asyncio.to_thread(script.disconnected.wait, 10)


async def test_questions_one_after_the_other_share_a_connection(script: Script, address: str) -> None:
    script.reply = stream_and_keep
    async with Client(address) as client:
        answers = [await client.ask(Question("hello")) for _ in range(3)]
    assert {answer.text for answer in answers} == {"red"}
    assert len(set(script.ports)) == 1


async def test_a_connection_that_lay_idle_is_not_used_again(
    script: Script, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert IDLE_SECONDS < 5, "vLLM's VLLM_HTTP_TIMEOUT_KEEP_ALIVE"
    monkeypatch.setattr("vqa.client.transport.IDLE_SECONDS", 0.1)
    script.reply = stream_and_keep
    async with Client(address) as asking:
        for _ in range(2):
            await asking.ask(Question("hello"))
            await asyncio.sleep(0.4)
    assert len(set(script.ports)) == 2


async def test_a_server_that_does_not_end_its_answer_costs_a_connection_and_little_time(
    script: Script, address: str
) -> None:
    script.reply = lambda handler: stream_and_keep(handler, last_chunk=False)
    async with Client(address) as client:
        began = time.monotonic()
        first = await client.ask(Question("hello"))
        assert time.monotonic() - began < 6
        script.reply = stream_and_keep
        assert first.text == (await client.ask(Question("hello"))).text == "red"
    assert len(set(script.ports)) == 2


async def test_an_empty_question_is_never_sent(script: Script, address: str) -> None:
    with pytest.raises(InputError, match="empty"):
        await answer_to(address, Question("  \n"))
    assert not script.bodies


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("https://host/openai/v1/", "https://host/openai/v1"),
        ("http://host:1/v1/chat/completions", "http://host:1/v1"),
    ],
)
def test_addresses_are_completed(given: str, address: str) -> None:
    assert normalize_base_url(given) == address


@pytest.mark.parametrize("given", ["", "ftp://x", "http://", "http://x:99999", "http://[::1"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(VQAError):
        normalize_base_url(given)


async def test_line_separators_of_unicode_inside_an_answer_end_no_event(script: Script, address: str) -> None:
    def raw(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        choice = {"index": 0, "delta": {"content": "one\u2028two\x85three"}, "finish_reason": "stop"}
        chunk = {"id": "1", "model": "m", "object": "chat.completion.chunk", "created": 1, "choices": [choice]}
        text = json.dumps(chunk, ensure_ascii=False)
        handler.wfile.write(f"data: {text}\r\n\r\ndata: [DONE]\r\n\r\n".encode())

    script.reply = raw
    assert (await answer_to(address, Question("hello"))).text == "one\u2028two\x85three"
