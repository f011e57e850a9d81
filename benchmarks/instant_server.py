"""A server that answers every question with the same tokens, at once or at a pace: a client with no engine behind it.

`python -m benchmarks.instant_server [SECONDS_PER_TOKEN]` prints its port and serves on loopback until it is ended. It
is a process of its own and sends bytes made beforehand, so that a client is measured and not it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TOKENS = 16
MODEL = "instant"


def events() -> list[bytes]:
    """Returns one answer as vLLM streams it, an HTTP chunk for each event: role, TOKENS tokens, usage, end."""
    chunk = {"id": "chatcmpl-instant", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    choices = [{"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}]
    written = [chunk | {"choices": choices, "prompt_token_ids": list(range(80))}]
    for place in range(TOKENS):
        tops = [{"token": f" word{n}", "logprob": -0.1 - n, "bytes": list(b" word")} for n in range(2)]
        told = {"content": [tops[0] | {"top_logprobs": tops}]}
        reason = "length" if place == TOKENS - 1 else None
        choice = {"index": 0, "delta": {"content": " word0"}, "logprobs": told, "finish_reason": reason}
        written.append(chunk | {"choices": [choice | {"token_ids": [place]}]})
    usage = {"prompt_tokens": 80, "completion_tokens": TOKENS, "total_tokens": 80 + TOKENS}
    written.append(chunk | {"choices": [], "usage": usage})
    lines = [*(f"data: {json.dumps(each)}\n\n".encode() for each in written), b"data: [DONE]\n\n"]
    return [b"%x\r\n%s\r\n" % (len(line), line) for line in lines] + [b"0\r\n\r\n"]


async def serve(pace: float) -> None:
    """Serves until it is cancelled, `pace` seconds to a token."""
    answer, listed = events(), {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "vllm"}]}
    pages = {b"/v1/models": json.dumps(listed).encode(), b"/version": b'{"version": "0"}'}

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, path = head.split(b" ", 2)[:2]
                if method == b"POST":
                    await reader.readexactly(_length(head))
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
                    writer.write(b"transfer-encoding: chunked\r\n\r\n")
                    for event in answer:
                        writer.write(event)
                        if pace:
                            await asyncio.sleep(pace)
                else:
                    body = pages.get(path, b"")
                    status = b"200 OK" if body else b"404 Not Found"
                    kind = b"content-type: application/json\r\n"
                    writer.write(b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n%s" % (status, kind, len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _length(head: bytes) -> int:
    """Returns the length of the body that follows these headers."""
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


@contextmanager
def instant_server(pace: float = 0.0) -> Iterator[str]:
    """Yields the address (…/v1) of such a server in another process; `pace` is in seconds per token."""
    command = [sys.executable, "-m", "benchmarks.instant_server", str(pace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]) if len(sys.argv) > 1 else 0.0))
