"""A server of exact bytes, in the test's own loop: what real servers send is written down as it goes over the wire."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Answering = Callable[[dict[str, Any]], bytes]
PAUSE = b"<pause>"
"""What comes after it goes over the wire later."""
MODELS = {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "somebody"}]}


@dataclass
class Raw:
    """What is sent for the paths; the last answer of a list goes on being given."""

    chat: list[bytes | Answering]
    models: bytes = b""
    others: dict[str, bytes] = field(default_factory=dict)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    address: str = ""

    def reply_to(self, path: str, body: bytes) -> bytes:
        self.paths.append(path)
        if path.endswith("/chat/completions"):
            asked = json.loads(body) if body else {}
            self.bodies.append(asked)
            reply = self.chat[min(len(self.bodies), len(self.chat)) - 1]
            return reply if isinstance(reply, bytes) else reply(asked)
        if path.endswith("/models"):
            return self.models or http(MODELS)
        return self.others.get(path, http({"detail": "Not Found"}, status=404))


def http(value: object, *, status: int = 200, kind: str = "application/json", **headers: str) -> bytes:
    """A reply with a length: JSON, or text and bytes as they are."""
    body = (
        value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else json.dumps(value).encode()
    )
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def sse(*events: object, done: bool = True) -> bytes:
    """A stream that ends with its connection: dicts become JSON, bytes are written as they are."""
    written = [each if isinstance(each, bytes) else b"data: " + json.dumps(each).encode() + b"\n\n" for each in events]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    return head + b"".join(written) + (b"data: [DONE]\n\n" if done else b"")


def delta(finish: str | None = None, *, logprobs: object = None, **parts: object) -> dict[str, Any]:
    """One chunk with one choice."""
    choice = {"index": 0, "delta": parts, "finish_reason": finish}
    if logprobs is not None:
        choice["logprobs"] = logprobs
    return {"id": "r", "model": "m", "choices": [choice]}


@asynccontextmanager
async def raw_server(*chat: bytes | Answering, models: bytes = b"", **others: bytes) -> AsyncIterator[Raw]:
    """Serves on loopback while its block lasts; `others` are paths without their slash."""
    raw = Raw(list(chat), models, {f"/{path}": reply for path, reply in others.items()})

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(length or 0))
            for part in raw.reply_to(head.split(b" ", 2)[1].decode(), body).split(PAUSE):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.02)  # TCP joins what is written at once
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    raw.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield raw
    finally:
        server.close()


@contextmanager
def raw_thread(*chat: bytes | Answering, models: bytes = b"", **others: bytes) -> Iterator[Raw]:
    """The same in a thread of its own, for what has a loop of its own, such as a command."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = raw_server(*chat, models=models, **others)
    try:
        yield asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def texts(events: Sequence[object]) -> list[str]:
    """The texts of the pieces."""
    return [text for event in events if isinstance(text := getattr(event, "text", None), str)]
