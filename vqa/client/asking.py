"""One question to one answer over the OpenAI protocol: streaming, logprobs, and every fault told as a sentence.

Nothing is cached, and a question is sent again only where the server asks for it (Retry-After) or refuses a field of
it before it computed anything: a repeat is a real request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

import orjson

from vqa.answers import Answer, Json, Question
from vqa.client.address import normalize_base_url, server_root
from vqa.client.attempts import Attempts
from vqa.client.collect import Collector, Delta
from vqa.client.events import Event, EventReader
from vqa.client.problems import (
    BrokenStreamError,
    NoAnswerError,
    RefusedError,
    refusal,
    text_of,
    way_error,
)
from vqa.client.replies import chunk_of, ends, whole_of, worker_of
from vqa.client.request import check_question, encoded, messages, request_body
from vqa.client.server import MEMORY, TOKEN_IDS, USAGE, Known, ServerInfo, listed_models
from vqa.client.transport import Reply, Transport, WayError
from vqa.client.whole import AFTER_FINISH, Gathered
from vqa.errors import InputError, ServerError

COUNT_SECONDS = 30.0
LOOK_SECONDS = 10.0


@dataclass(frozen=True)
class Waiting:
    """The server asks to wait: the question is sent again after `seconds`."""

    seconds: float
    reason: str


class Client:
    """Speaks to one OpenAI-compatible server. Use it within one event loop, and close it."""

    def __init__(
        self,
        base_url: str,
        api_key: str = "EMPTY",
        *,
        timeout: float = 600.0,
        model: str | None = None,
        tries_fields: bool = False,
    ) -> None:
        """Takes the address (…/v1), the key, and the seconds of silence after which a request is given up.

        `model` is whom to ask where a question names none; the first that the server lists when it is None. With
        `tries_fields` a server that is not known to be vLLM is asked for token ids until it has answered once: a
        gateway may hide a vLLM.
        """
        self._tries_fields = tries_fields
        self._model = model
        self.base_url = normalize_base_url(base_url)
        self._timeout = timeout
        self._transport = Transport(self.base_url, api_key, timeout)
        self._info: ServerInfo | None = None
        self._known = Known()
        self._hopeless = False
        """Whether a question was rejected in every form: then the cause was none that a leaner form heals."""
        self._info_lock = asyncio.Lock()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections; a running request is aborted."""
        await self._transport.close()

    @property
    def refused(self) -> tuple[str, ...]:
        """What the server refused to be asked for, and is no longer asked: `logprobs`, `token_ids`, `usage`."""
        hidden = () if self._info is not None and self._info.is_vllm else (TOKEN_IDS,)
        return tuple(name for name in self._known.refused if name not in hidden)

    async def info(self, *, refresh: bool = False) -> ServerInfo:
        """Returns what the server says of itself, asked once.

        Raises:
            ServerError: it cannot be reached, refuses, or serves no model.
            InputError: the environment names a proxy that cannot be used.
        """
        async with self._info_lock:
            if self._info is None or refresh:
                self._info = await self._named_info(self._model)
            return self._info

    async def _named_info(self, model: str | None) -> ServerInfo:
        """Returns what is known of the server, `model` first; where one is named, a server without a list will do."""
        try:
            return await self._ask_info(model)
        except ServerError as problem:
            way = problem.__cause__
            if model is None or (isinstance(way, WayError) and way.code != "server_timeout"):
                raise  # nobody is there; whatever else there is in place of a list is no obstacle
            self._known = MEMORY.of(self.base_url, (model,), model)
            return await self._behind_a_gateway(ServerInfo(self.base_url, (model,)))

    async def _ask_info(self, model: str | None) -> ServerInfo:
        status, body, value = await self._look("GET", f"{self.base_url}/models")
        listed = listed_models(value)
        if listed is None:
            raise ServerError("server_without_list", address=self.base_url, reason=text_of(body) or f"HTTP {status}")
        if not listed:
            raise ServerError("server_without_model", address=self.base_url)
        ids = tuple(str(each["id"]) for each in listed)
        known = self._known = MEMORY.of(self.base_url, ids, model)
        if model is not None:
            ids = (model, *(each for each in ids if each != model))
            listed = sorted(listed, key=lambda row: row["id"] != model)
            if listed[0]["id"] != model:  # it may be served all the same
                listed = [{"id": model, "owned_by": listed[0].get("owned_by")}, *listed]
        length = listed[0].get("max_model_len")
        root = listed[0].get("root")
        info = ServerInfo(
            self.base_url,
            ids,
            length if isinstance(length, int) else None,
            known.vllm_version,
            root if isinstance(root, str) else None,
        )
        if any(each.get("owned_by") == "vllm" for each in listed):
            return replace(info, vllm_version=await self._vllm_version() or "unknown")
        return info if info.is_vllm else await self._behind_a_gateway(info)

    async def _look(self, method: str, url: str, body: Json = None, *, seconds: float = LOOK_SECONDS) -> Looked:
        """Returns (status, body, its JSON or None); raises ServerError for any status but 200."""
        data = None if body is None else encoded(body)
        try:
            async with self._transport.send(method, url, json=data, seconds=seconds) as reply:
                content = await reply.body()
        except WayError as problem:
            raise way_error(problem, self.base_url) from problem
        if reply.status != 200:
            raise refusal(reply.status, content, reply.headers).error(self.base_url)
        try:
            return reply.status, content, orjson.loads(content)
        except ValueError:
            return reply.status, content, None

    async def _vllm_version(self) -> str | None:
        try:
            value = (await self._look("GET", f"{server_root(self.base_url)}/version"))[2]
        except ServerError:
            return None
        version = value.get("version") if isinstance(value, dict) else None
        return str(version) if version else None

    async def _behind_a_gateway(self, info: ServerInfo) -> ServerInfo:
        """Returns the same for a vLLM whose model list names another owner: only vLLM counts a chat's tokens."""
        self._known.counts = False
        body = {"model": info.model_ids[0], "messages": [{"role": "user", "content": "?"}]}
        counted = await self._tokenize(body, seconds=LOOK_SECONDS)
        length = None if counted is None else counted.get("max_model_len")
        if not isinstance(length, int):
            return info
        self._known.counts = True
        self._known.vllm_version = await self._vllm_version() or "unknown"
        return replace(info, max_model_len=info.max_model_len or length, vllm_version=self._known.vllm_version)

    async def page(self, path: str) -> tuple[int, str] | None:
        """Returns (status, text) of a page below the server's root, such as `/metrics`; None where nothing answers."""
        try:
            async with self._transport.send(
                "GET", f"{server_root(self.base_url)}{path}", seconds=LOOK_SECONDS
            ) as reply:
                return reply.status, (await reply.body()).decode("utf-8", "replace")
        except (WayError, InputError):
            return None

    async def learn(self, *, model: str | None = None) -> ServerInfo:
        """Returns what `info` does, after one question of one token where it is not known yet if vLLM answers.

        A gateway that passes on nothing but the chat still passes on vLLM's own fields; only an answer shows it.

        Raises:
            ServerError: as `info`; that the question fails is no error.
        """
        info = await self.info()
        if info.is_vllm or self._known.learnt:
            return info
        ask = {"model": model or info.model_ids[0], "messages": [{"role": "user", "content": "?"}], "max_tokens": 1}
        try:
            value = (await self._look("POST", f"{self.base_url}/chat/completions", ask | {"return_token_ids": True}))[2]
        except ServerError:
            self._learnt(False)
            return info
        choices = value.get("choices") if isinstance(value, dict) else None
        first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        self._learnt(isinstance(first.get("token_ids"), list))
        return await self.info()

    async def _tokenize(self, body: Json, *, seconds: float) -> dict[str, Json] | None:
        try:
            value = (await self._look("POST", f"{server_root(self.base_url)}/tokenize", body, seconds=seconds))[2]
        except ServerError:
            return None
        return value if isinstance(value, dict) and isinstance(value.get("count"), int) else None

    async def prompt_tokens(self, question: Question, *, model: str | None = None) -> int | None:
        """Returns how many tokens of context the question takes, its images among them; nothing is generated.

        None where the server does not tell: only vLLM counts a chat, at `/tokenize`.

        Raises:
            ServerError: it cannot be reached, refuses, or serves no model.
        """
        info = await self.info()
        if not info.is_vllm or self._known.counts is False:
            return None
        body = {"model": model or info.model_ids[0], "messages": messages(question)}
        counted = await self._tokenize(body, seconds=COUNT_SECONDS)
        return None if counted is None else int(counted["count"])

    async def _info_for(self, model: str | None) -> ServerInfo:
        """Returns what is known of the server; where a model is named, a server without a list will do."""
        if self._info is None:
            async with self._info_lock:
                if self._info is None:
                    self._info = await self._named_info(model or self._model)
        return self._info

    async def stream(
        self, question: Question, *, model: str | None = None, into: Collector | None = None
    ) -> AsyncGenerator[Delta | Waiting | Answer]:
        """Yields the pieces of one answer and, last, the whole Answer.

        Closing the iterator early closes the connection, upon which the server aborts the request; what had arrived
        by then stands in `into`.

        Raises:
            InputError: the question is empty.
            ServerError: the server refused or failed before the first piece.
            BrokenStreamError: it failed later; the error carries what had arrived.
            NoAnswerError: the answer was aborted or filtered, or nothing but reasoning, or nothing at all, arrived.
        """
        check_question(question)
        info = await self._info_for(model)
        collected = into or Collector()
        name = model or self._model or info.model_ids[0]
        tries = self._tries_fields and not info.is_vllm and not self._known.learnt
        attempts = Attempts(question, self._known, vllm=info.is_vllm or tries)
        while True:
            body = request_body(attempts.question, name, vllm=info.is_vllm) | {"stream": True}
            if tries and attempts.question.token_ids:
                body["return_token_ids"] = True
            if USAGE not in attempts.leaving:
                body["stream_options"] = {"include_usage": True}
            collected.begin()
            try:
                async with aclosing(self._reply(encoded(body), collected)) as arriving:
                    async for deltas in arriving:
                        for delta in deltas:
                            yield delta
                break
            except RefusedError as problem:
                if collected.started or problem.status is None:
                    raise self._broken(problem.error(self.base_url), collected) from problem
                if not self._hopeless and attempts.goes_on_after(problem):
                    continue
                self._hopeless = self._hopeless or attempts.exhausted
                wait = problem.retry_after
                if wait is None or problem.status not in {429, 503} or not attempts.may_wait(wait):
                    raise (attempts.first or problem).error(self.base_url) from problem
                yield Waiting(wait, problem.words)
                await asyncio.sleep(wait)
                collected.retried += 1
            except WayError as problem:
                if collected.finish_reason is None:
                    raise self._broken(way_error(problem, self.base_url), collected) from problem
                break  # the answer was whole; only the way was not closed as it should be
        attempts.settle()
        answer = collected.answer(ended=True)
        if tries:
            self._learnt(answer.token_ids is not None)
        if answer.fault is not None:
            raise NoAnswerError(answer)
        yield answer

    def _learnt(self, vllm: bool) -> None:
        """Notes whether vLLM's own fields reach the model."""
        self._known.learnt = True
        if vllm and self._info is not None and not self._info.is_vllm:
            self._known.vllm_version = "unknown"
            self._info = replace(self._info, vllm_version="unknown")

    @staticmethod
    def _broken(error: ServerError, collected: Collector) -> ServerError:
        if not collected.started:
            return error
        return BrokenStreamError("stream_broken", collected.answer(), reason=error.message())

    async def _reply(self, body: bytes, collected: Collector) -> AsyncGenerator[list[Delta]]:
        """Yields the pieces of one reply, streamed or not, together those that arrived together.

        Raises:
            WayError, RefusedError: the way or the server failed.
            BrokenStreamError: the reply ended in mid-answer.
            ServerError: it is no reply of an OpenAI-compatible server.
        """
        async with self._transport.send("POST", f"{self.base_url}/chat/completions", json=body) as reply:
            if not 200 <= reply.status < 300:
                raise refusal(reply.status, await reply.body(), reply.headers)
            collected.worker = worker_of(reply.headers)
            reader, done, block = EventReader(), False, b"."
            source = Gathered(reply, collected) if collected.whole else reply
            heard = time.monotonic()
            while block and not done:
                block = await _next(source, collected)
                deltas: list[Delta] = []
                problem: RefusedError | None = None
                for kind, data in self._events(reader, block):
                    if done := ends(data):
                        break
                    try:
                        chunk = chunk_of(kind, data)
                    except RefusedError as told:  # what had arrived before it is handed over first
                        problem = told
                        break
                    heard = time.monotonic() if "choices" in chunk else heard
                    deltas += collected.add(chunk)
                if deltas:
                    yield deltas
                if problem is not None:
                    raise problem
                if (
                    not deltas and time.monotonic() - heard > self._timeout
                ):  # what keeps a connection alive is no answer
                    raise WayError("server_timeout", "keep-alive")
            if done:
                await reply.finish()
            elif collected.finish_reason is None:
                if collected.started:
                    raise BrokenStreamError("stream_cut", collected.answer())
                yield collected.add(whole_of(b"\n".join(reader.stray), reply, self.base_url))

    def _events(self, reader: EventReader, block: bytes) -> list[Event]:
        try:
            return reader.feed(block) if block else reader.end()
        except ValueError as problem:
            raise ServerError("server_not_openai", address=self.base_url, reason=str(problem)) from problem

    async def ask(
        self, question: Question, *, model: str | None = None, on_wait: Callable[[Waiting], object] | None = None
    ) -> Answer:
        """Returns the whole answer; raises as `stream` does. `on_wait` hears of each wait that the server asks for."""
        async for event in self.stream(question, model=model, into=Collector(whole=True)):
            if isinstance(event, Answer):
                return event
            if isinstance(event, Waiting) and on_wait is not None:
                on_wait(event)
        raise AssertionError("stream ends with an answer or an error")


async def _next(source: Reply | Gathered, collected: Collector) -> bytes:
    """Returns the next block; empty, as at the end, where an answer has its finish reason and nothing comes any more.

    Raises:
        WayError: the connection failed, or was silent for too long.
    """
    if collected.finish_reason is None:
        return await source.block()
    ended = time.monotonic()
    try:
        async with asyncio.timeout(AFTER_FINISH):
            return await source.block()
    except TimeoutError:
        collected.ended = ended
        return b""


Looked = tuple[int, bytes, Json]
