"""One question to one answer over the OpenAI protocol: streaming, logprobs, and every foreign error translated here.

Nothing is cached and nothing is retried: a repeat is a real request.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import httpx2 as httpx
from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, AsyncOpenAI, DefaultAsyncHttpxClient

from vqa.answers import Answer, Json, Question, Turn
from vqa.errors import InputError, ServerError
from vqa.media.images import ImagePayload
from vqa.stream import Collector, events

IDLE_SECONDS = 2.0
"""After which a connection is not used again: vLLM closes one after five, and a request sent just then is lost."""
MAX_CONNECTIONS = 512
COUNT_SECONDS = 30.0
IMAGE_MARK = re.compile(r"<image (\d+)>")


@dataclass(frozen=True)
class Delta:
    """A piece of an answer as it arrives."""

    text: str


@dataclass(frozen=True)
class ServerInfo:
    """What a server says of itself."""

    base_url: str
    model_ids: tuple[str, ...]
    max_model_len: int | None = None
    """Tokens of context of the first model; None when the server does not tell."""
    vllm_version: str | None = None
    """None for a server that is not vLLM."""

    @property
    def is_vllm(self) -> bool:
        """Returns whether vLLM's own request fields are understood."""
        return self.vllm_version is not None


class BrokenStreamError(ServerError):
    """The stream ended in mid-answer; `partial` holds what had arrived."""

    def __init__(self, code: str, partial: Answer, **values: object) -> None:
        self.partial = partial
        super().__init__(code, **values)


def normalize_base_url(address: str) -> str:
    """Returns an address as the OpenAI client wants it: a scheme, a host, and a path ending in /v1.

    Raises:
        InputError: it is not an http(s) address.
    """
    address = address.strip()
    if "://" not in address:
        address = f"http://{address}"
    try:
        parts = urlsplit(address)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise InputError("address_invalid", address=address)
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return urlunsplit((parts.scheme, parts.netloc, path if path.endswith("/v1") else f"{path}/v1", "", ""))


def server_root(base_url: str) -> str:
    """Returns the server's root: where /health, /metrics, /version and /docs are."""
    return base_url.removesuffix("/").removesuffix("/v1")


def messages(question: Question) -> list[Json]:
    """Returns the question as OpenAI chat messages, images as base64 data URLs."""
    out: list[Json] = [{"role": "system", "content": question.system}] if question.system.strip() else []
    for turn in question.history:
        out.append({"role": turn.role, "content": _content(turn, (), text_first=False)})
    last = Turn("user", question.text, question.images)
    if question.placed and question.images:
        out.append({"role": "user", "content": _placed(last, question.image_uuids)})
        return out
    out.append({"role": "user", "content": _content(last, question.image_uuids, text_first=question.text_first)})
    return out


def _placed(turn: Turn, uuids: tuple[str, ...]) -> list[Json]:
    """Returns text and images in the order of the marks in the text."""
    images = [_image_part(image, uuid) for image, uuid in _with_uuids(turn.images, uuids)]
    parts: list[Json] = []
    used: set[int] = set()
    for place, piece in enumerate(IMAGE_MARK.split(turn.text)):
        if place % 2 == 0:
            parts += [{"type": "text", "text": piece.strip()}] if piece.strip() else []
        elif 0 < (number := int(piece)) <= len(images):
            parts.append(images[number - 1])
            used.add(number - 1)
        else:
            parts.append({"type": "text", "text": f"<image {piece}>"})
    return [*(image for number, image in enumerate(images) if number not in used), *parts]


def request_body(question: Question, model: str, *, vllm: bool) -> dict[str, Json]:
    """Returns the keyword arguments of `chat.completions.create`; vLLM's own fields only where they are understood."""
    sampling = question.sampling
    body: dict[str, Json] = {
        "model": model,
        "messages": messages(question),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
    }
    if sampling.max_tokens is not None:
        body["max_tokens"] = sampling.max_tokens
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if question.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": question.logprobs}
    if question.json_schema is not None:
        schema = {"name": "answer", "schema": question.json_schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if vllm:
        body["extra_body"] = _vllm_fields(question)
    return body


def _vllm_fields(question: Question) -> dict[str, Json]:
    fields: dict[str, Json] = {"return_token_ids": True} if question.token_ids else {}
    if question.sampling.top_k is not None:
        fields["top_k"] = question.sampling.top_k
    if question.sampling.ignore_eos:
        fields["ignore_eos"] = True
    if question.cache_salt is not None:
        fields["cache_salt"] = question.cache_salt
    if question.choices:
        fields["structured_outputs"] = {"choice": list(question.choices)}
    return fields


def _content(turn: Turn, uuids: tuple[str, ...], *, text_first: bool) -> Json:
    if not turn.images:
        return turn.text
    parts: list[Json] = [_image_part(image, uuid) for image, uuid in _with_uuids(turn.images, uuids)]
    text = {"type": "text", "text": turn.text}
    return [text, *parts] if text_first else [*parts, text]


def _with_uuids(images: tuple[ImagePayload, ...], uuids: tuple[str, ...]) -> list[tuple[ImagePayload, str | None]]:
    padded: tuple[str | None, ...] = (*uuids, *(None,) * len(images))
    return list(zip(images, padded, strict=False))


def _image_part(image: ImagePayload, uuid: str | None) -> Json:
    part: dict[str, Json] = {"type": "image_url", "image_url": {"url": image.data_url}}
    return part if uuid is None else part | {"uuid": uuid}


class Client:
    """Speaks to one OpenAI-compatible server. Use it within one event loop, and close it."""

    def __init__(self, base_url: str, api_key: str = "EMPTY", *, timeout: float = 600.0) -> None:
        """Takes the address (…/v1), the key, and the seconds of silence after which a request is given up."""
        self.base_url = normalize_base_url(base_url)
        host = urlsplit(self.base_url).hostname or ""
        limits = httpx.Limits(
            max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS, keepalive_expiry=IDLE_SECONDS
        )
        # A proxy from the environment must never see what goes to this machine.
        http = DefaultAsyncHttpxClient(limits=limits, trust_env=host not in {"127.0.0.1", "localhost", "::1"})
        self._openai = AsyncOpenAI(
            base_url=self.base_url,
            api_key=api_key,
            max_retries=0,
            timeout=httpx.Timeout(timeout, connect=10.0),
            http_client=http,
        )
        self._info: ServerInfo | None = None
        self._info_lock = asyncio.Lock()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections; a running request is aborted."""
        await self._openai.close()

    async def info(self, *, refresh: bool = False) -> ServerInfo:
        """Returns what the server says of itself, asked once.

        Raises:
            ServerError: it cannot be reached, refuses, or serves no model.
        """
        async with self._info_lock:
            if self._info is None or refresh:
                self._info = await self._ask_info()
            return self._info

    async def _ask_info(self) -> ServerInfo:
        try:
            listed = (await self._openai.models.list()).data
        except APIError as problem:
            raise translate(problem, self.base_url) from problem
        if not listed:
            raise ServerError("server_without_model", address=self.base_url)
        version = None
        if any(model.owned_by == "vllm" for model in listed):
            version = await self._vllm_version()
        extra = listed[0].model_extra or {}
        length = extra.get("max_model_len")
        ids = tuple(model.id for model in listed)
        return ServerInfo(self.base_url, ids, length if isinstance(length, int) else None, version)

    async def _vllm_version(self) -> str:
        try:
            reply = await self._openai._client.get(f"{server_root(self.base_url)}/version", timeout=10.0)
            return str(reply.json()["version"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return "unknown"

    async def prompt_tokens(self, question: Question, *, model: str | None = None) -> int | None:
        """Returns how many tokens of context the question takes, its images among them; nothing is generated.

        None where the server does not tell: only vLLM counts a chat, at `/tokenize`.

        Raises:
            ServerError: it cannot be reached, refuses, or serves no model.
        """
        info = await self.info()
        if not info.is_vllm:
            return None
        body = {"model": model or info.model_ids[0], "messages": messages(question)}
        address, headers = f"{server_root(self.base_url)}/tokenize", self._openai.auth_headers
        try:
            reply = await self._openai._client.post(address, json=body, headers=headers, timeout=COUNT_SECONDS)
            count = reply.json()["count"] if reply.status_code == httpx.codes.OK else None
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return None  # a router before vLLM may not pass this address on
        return count if isinstance(count, int) else None

    async def stream(self, question: Question, *, model: str | None = None) -> AsyncIterator[Delta | Answer]:
        """Yields the pieces of one answer and, last, the whole Answer.

        Closing the iterator early closes the connection, upon which the server aborts the request.

        Raises:
            InputError: the question is empty.
            ServerError: the server refused or failed before the first piece.
            BrokenStreamError: it failed later; the error carries what had arrived.
        """
        check_question(question)
        info = await self.info()
        body = request_body(question, model or info.model_ids[0], vllm=info.is_vllm)
        collected = Collector(time.monotonic())
        try:
            create = self._openai.chat.completions.with_streaming_response.create
            async with create(**body, stream=True, stream_options={"include_usage": True}) as reply:
                async for chunk in events(reply.iter_bytes(), reply.http_request):
                    if piece := collected.add(chunk):
                        yield Delta(piece)
        except (APIError, httpx.HTTPError) as problem:
            error = translate(problem, self.base_url)
            if not collected.started:
                raise error from problem
            raise BrokenStreamError("stream_broken", collected.answer(), reason=error.message()) from problem
        answer = collected.answer()
        if answer.finish_reason is None:
            raise BrokenStreamError("stream_cut", answer)
        yield answer

    async def ask(self, question: Question, *, model: str | None = None) -> Answer:
        """Returns the whole answer; raises as `stream` does."""
        async for event in self.stream(question, model=model):
            if isinstance(event, Answer):
                return event
        raise AssertionError("stream ends with an answer or an error")


def check_question(question: Question) -> None:
    """Raises InputError when there is nothing to ask."""
    if not question.text.strip():
        raise InputError("question_empty")


def translate(problem: Exception, address: str) -> ServerError:
    """Returns the error to show for one of the OpenAI client's; the server's own words are kept."""
    if isinstance(problem, APITimeoutError | httpx.TimeoutException):
        return ServerError("server_timeout", address=address)
    if isinstance(problem, APIConnectionError | httpx.TransportError):
        return ServerError("server_unreachable", address=address)
    words = _server_words(problem)
    if not isinstance(problem, APIStatusError):
        return ServerError("server_failed", reason=words)
    status = problem.status_code
    lowered = words.lower()
    if status in {401, 403}:
        return ServerError("server_unauthorized", address=address)
    if "context length" in lowered or "max_model_len" in lowered or "maximum model length" in lowered:
        return ServerError("context_exceeded", reason=words)
    if status == 404:
        return ServerError("server_not_found", address=address, reason=words)
    if status == 429:
        return ServerError("server_busy", address=address)
    if status < 500:
        return ServerError("server_rejected", reason=words)
    return ServerError("server_failed", reason=words)


def _server_words(problem: Exception) -> str:
    """Returns the server's own message, without the status line that the OpenAI client puts before it."""
    body = getattr(problem, "body", None)
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return str(body["message"]).strip()
    return str(getattr(problem, "message", problem)).strip()
