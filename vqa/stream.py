"""Reads a streamed answer: bytes to server-sent events, chunks to one Answer.

Read here instead of by the OpenAI client: its models of every chunk cost as much processor time as all the rest,
which on a small machine is taken from the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator

import httpx2 as httpx
from openai import APIError

from vqa.answers import Answer, Json, Token, ids_digest, placeholder_count

END_SECONDS = 1.0


async def events(blocks: AsyncIterator[bytes], request: httpx.Request) -> AsyncIterator[dict[str, Json]]:
    """Yields the JSON of each server-sent event.

    Raises:
        APIError: the server reports an error inside the stream, or sends what is not JSON.
    """
    data: list[bytes] = []
    lines = _lines(blocks)
    async for line in lines:
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
            continue
        if line or not data:
            continue
        text, data = b"\n".join(data), []
        if text.startswith(b"[DONE]"):
            # A connection is used again only when its answer was read to the end.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_SECONDS):
                    async for _ in lines:
                        pass
            return
        try:
            event = json.loads(text)
        except ValueError as problem:
            raise APIError(f"not JSON: {text[:200]!r}", request, body=None) from problem
        if not isinstance(event, dict) or event.get("error"):
            error = event.get("error") if isinstance(event, dict) else event
            words = error.get("message") if isinstance(error, dict) else error
            raise APIError(str(words), request, body=error)
        yield event


async def _lines(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yields lines that end in a line feed; U+2028 and its like inside an answer end none."""
    rest = b""
    async for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")


class Collector:
    """Puts the chunks of one stream together; `began` is the moment of the request by time.monotonic()."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._first: float | None = None
        self._text: list[str] = []
        self._tokens: list[Token] = []
        self._token_ids: list[int] = []
        self._prompt_ids: list[int] | None = None
        self._finish_reason: str | None = None
        self._fingerprint: str | None = None
        self._chunk: dict[str, Json] = {}
        self._usage: dict[str, Json] = {}

    @property
    def started(self) -> bool:
        """Whether anything of the answer has arrived."""
        return self._first is not None

    def add(self, chunk: dict[str, Json]) -> str:
        """Takes one chunk in; returns its text."""
        self._chunk = chunk
        self._prompt_ids = chunk.get("prompt_token_ids") or self._prompt_ids
        self._fingerprint = chunk.get("system_fingerprint") or self._fingerprint
        self._usage = chunk.get("usage") or self._usage
        if not chunk.get("choices"):
            return ""
        choice = chunk["choices"][0]
        for token in (choice.get("logprobs") or {}).get("content") or ():
            # vLLM lists the chosen token first, whatever its rank.
            top = sorted(((each["token"], each["logprob"]) for each in token["top_logprobs"] or ()), key=_worst_last)
            self._tokens.append(Token(token["token"], token["logprob"], tuple(top)))
        self._token_ids += choice.get("token_ids") or []
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        piece = str((choice.get("delta") or {}).get("content") or "")
        if self._first is None and (piece or self._finish_reason):
            self._first = time.monotonic()
        self._text.append(piece)
        return piece

    def answer(self) -> Answer:
        """Returns what has arrived so far."""
        now = time.monotonic()
        details = self._usage.get("prompt_tokens_details") or {}
        image_tokens = (details.get("multimodal_tokens") or {}).get("image")
        if image_tokens is None and self._prompt_ids:
            image_tokens = placeholder_count(self._prompt_ids)
        return Answer(
            text="".join(self._text),
            finish_reason=self._finish_reason,
            tokens=tuple(self._tokens) or None,
            token_ids=tuple(self._token_ids) or None,
            prompt_token_ids_sha256=ids_digest(self._prompt_ids),
            prompt_tokens=self._usage.get("prompt_tokens"),
            completion_tokens=self._usage.get("completion_tokens"),
            cached_tokens=details.get("cached_tokens"),
            image_tokens=image_tokens,
            model=str(self._chunk.get("model") or ""),
            request_id=str(self._chunk.get("id") or ""),
            system_fingerprint=self._fingerprint,
            seconds_to_first_token=None if self._first is None else self._first - self._began,
            seconds=now - self._began,
        )


def _worst_last(candidate: tuple[str, float]) -> float:
    return -candidate[1]
