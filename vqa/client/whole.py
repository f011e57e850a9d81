"""Reads a streamed reply in one go where nobody waits for its pieces: a third of the time of taking them one by one.

Only the plain form is read here, chunk for chunk the fields that vLLM and OpenAI send; anything else is left to the
ordinary way, byte for byte as it came, so that both give the same answer or the same fault.
"""

from __future__ import annotations

import asyncio
import re
import time

import orjson

from vqa.answers import Json, Token, whole_text
from vqa.client.collect import Collector
from vqa.client.fields import LEAST_LOGPROB
from vqa.client.problems import error_in
from vqa.client.transport import Reply, WayError

END = b"data: [DONE]\n\n"
LEAD = b"data: "
TAIL = b"\n\n" + END
AFTER_FINISH = 10.0
"""Seconds of silence after a finish reason that end an answer, where a server neither says [DONE] nor closes."""
QUIET_SECONDS = 5.0
"""Of nothing but comments, after which what was gathered is handed over, so that somebody counts how long they last."""
FINISHED = re.compile(rb'"finish_reason":\s*"')
LARGEST = 8 << 20
"""Bytes that are gathered at most; a longer reply goes the ordinary way."""
SAID = re.compile(rb'"(?:content|reasoning|reasoning_content|refusal|text|arguments)":\s*"(?!")')
"""The first piece of an answer that is not empty."""
PLAIN = frozenset({"role", "content"})
"""Fields of a delta that are read here; any other that says something is left to the ordinary way."""
SAYS = frozenset({"content"})
ONCE = frozenset({"model", "id", "system_fingerprint", "prompt_token_ids", "usage"})


class Gathered:
    """Stands in for a reply: gathers its blocks, fills the collector where they are plain, and hands over the end."""

    def __init__(self, reply: Reply, collected: Collector) -> None:
        self._reply = reply
        self._collected = collected
        self._problem: WayError | None = None
        self._first = True
        self._silent = False
        """Whether nothing came after a finish reason, which is then the end."""

    async def block(self) -> bytes:
        """Returns what `Reply.block` would, larger; raises WayError after what had arrived before it."""
        if self._problem is not None:
            raise self._problem
        if self._silent:
            return b""
        blocks: list[bytes] = []
        size, finished = 0, False
        heard = time.monotonic()
        try:
            while block := await (self._soon() if finished else self._reply.block()):
                blocks.append(block)
                size += len(block)
                if self._collected.arrived is None and SAID.search(block):
                    self._collected.arrived = time.monotonic()
                if b"[DONE]" in block or size > LARGEST:
                    break
                finished = finished or FINISHED.search(block) is not None
                if b"data:" in block:
                    heard = time.monotonic()
                elif time.monotonic() - heard > QUIET_SECONDS:
                    break
        except WayError as problem:
            if not blocks:
                raise
            self._problem = problem
        data = b"".join(blocks)
        whole, self._first = self._first, False
        return END if whole and fill(data, self._collected) else data

    async def _soon(self) -> bytes:
        """Returns the next block; empty where none comes for a while."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(AFTER_FINISH):
                return await self._reply.block()
        except TimeoutError:
            self._silent, self._collected.ended = True, began
            return b""


def fill(data: bytes, collected: Collector) -> bool:
    """Fills a collector from a whole plain reply; returns False, with nothing taken, where it is of another form."""
    if not data.startswith(LEAD) or not data.endswith(TAIL) or b"\r" in data:
        return False
    try:  # what stands between the events of another form is no JSON
        chunks = orjson.loads(b"[" + data[len(LEAD) : -len(TAIL)].replace(b"\n\n" + LEAD, b",") + b"]")
        read = _read(chunks)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return False
    if read is None:
        return False
    collected.take(*read)
    return True


Read = tuple[list[str], list[Token], list[int], str | None, dict[str, Json]]
"""Pieces of text, tokens, token ids, finish reason, and the fields of the chunks that stand once."""


def _read(chunks: list[dict[str, Json]]) -> Read | None:
    texts: list[str] = []
    tokens: list[Token] = []
    ids: list[int] = []
    reason: str | None = None
    once: dict[str, Json] = {}
    for chunk in chunks:
        if chunk.get("error") or chunk.get("object") == "error":
            return None
        for name in ONCE:
            if value := chunk.get(name):
                once[name] = value
        choices = chunk["choices"]
        if not choices:
            if error_in(chunk) is not None:
                return None
            continue
        choice = choices[0]
        delta = choice["delta"]
        if (
            choice.get("index")
            or choice.get("error")
            or choice.get("message")
            or (delta.keys() != SAYS and any(map(delta.get, delta.keys() - PLAIN)))
        ):
            return None
        if content := delta.get("content"):
            texts.append(content if content.isascii() else whole_text(content))
        if logprobs := choice.get("logprobs"):
            tokens += [_token(row) for row in logprobs["content"]]
        if given := choice.get("token_ids"):
            ids += given
        if (ended := choice.get("finish_reason")) is not None:
            if reason is not None:
                return None
            reason = str(ended)
    plain = not isinstance(once.get("prompt_token_ids", []), list) or not isinstance(once.get("usage", {}), dict)
    return None if plain else (texts, tokens, ids, reason, once)


def _token(row: dict[str, Json]) -> Token:
    """Returns a token with its candidates, best first; raises TypeError or ValueError for an unusual one."""
    value, last, ordered = row["logprob"], 0.0, True
    if type(value) is not float or not LEAST_LOGPROB < value <= 0.0:
        raise ValueError(value)
    top: list[tuple[str, float]] = []
    for each in row["top_logprobs"]:
        name, number = each["token"], each["logprob"]
        if type(number) is not float or not LEAST_LOGPROB < number <= 0.0:
            raise ValueError(number)
        if number > last:
            ordered = False
        last = number
        top.append((name if name.isascii() else whole_text(name), number))
    if not ordered:
        top.sort(key=lambda each: -each[1])
    name = row["token"]
    return Token(name if name.isascii() else whole_text(name), value, tuple(top))
