"""A server on loopback that answers as vLLM does and injects, by its answers alone, what the real one won't on demand.

Every fault is a switch of the constructor. Nothing in a response names it: same routes, same fields, same figures.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import random
import threading
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.fakes.behaviour import Behaviour
from tests.ports import free_port

WORDS = "The picture shows a large red circle here".split()  # noqa: SIM905
OTHER_WORDS = "One drawing has two small blue squares below".split()  # noqa: SIM905
BLOCK = 16
LOAD_SECONDS = 0.15
MEETING_SECONDS = 0.12
"""Between the first and the last token of an answer that meets others: on a real server a batch takes longer too."""
PROMPT_TOKENS = 64


@dataclass
class _State:
    requests: int = 0
    in_flight: int = 0
    rejected: int = 0
    finished: int = 0
    preemptions: int = 0
    prefix_queries: int = 0
    prefix_hits: int = 0
    image_hits: int = 0
    cached: dict[str, int] = field(default_factory=dict)
    """Blocks by all that leads up to them, with how many blocks had been found when each was computed."""
    images: set[str] = field(default_factory=set)
    under_way: dict[int, dict[str, Any]] = field(default_factory=dict)
    aborted: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    bodies: list[dict[str, Any]] = field(default_factory=list)


class FakeServer:
    """Serves on a free port of the loopback interface while its `with` block lasts; `stop` and `start` in between."""

    def __init__(self, behaviour: Behaviour | None = None, *, seed: int = 1, **faults: Any) -> None:
        self.behaviour = behaviour or Behaviour(**faults)
        self._states = [_State() for _ in range(self.behaviour.replicas)]
        self._turn = 0
        self._replica: ContextVar[int] = ContextVar("replica", default=0)
        self._random = random.Random(seed)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.port = free_port()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def state(self) -> _State:
        """The counters and the cache of the replica that is answering."""
        return self._states[self._replica.get()]

    @state.setter
    def state(self, fresh: _State) -> None:
        self._states = [fresh]

    def _pick(self, *, counting: bool = False) -> None:
        """Makes the next replica the one that answers from here on in this task."""
        if self.behaviour.turns:
            self._turn += 1
            self._replica.set(self._turn % len(self._states))
        else:
            self._replica.set(len(self._states) - 1 if counting else 0)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The JSON of every question so far."""
        return self.state.bodies

    def start(self) -> FakeServer:
        routes = [
            Route("/v1/models", self._models),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/tokenize", self._tokenize, methods=["POST"]),
            Route("/version", self._version),
            Route("/metrics", self._metrics),
            Route("/health", self._health),
            Route("/workers", self._workers),
            Route("/readiness", self._readiness),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), host="127.0.0.1", port=self.port, log_level="critical", lifespan="off"
        )
        self._server = uvicorn.Server(config)
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(self._server, started), daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    @staticmethod
    def _serve(server: uvicorn.Server, started: threading.Event) -> None:
        async def main() -> None:
            serving = asyncio.create_task(server.serve())
            while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.005)
            started.set()
            await serving

        asyncio.run(main())

    def stop(self) -> None:
        """Goes away at once, breaking off what is under way."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join(10)
            self._server = self._thread = None

    def __enter__(self) -> FakeServer:
        return self.start()

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    # Routes ---------------------------------------------------------------------------------------------------------

    def _model(self) -> str:
        after = self.behaviour.model_changes_after
        return "vqa-demo" if after is None or self.state.requests < after else "vqa-demo-2"

    async def _models(self, _: Request) -> Response:
        owner = "openai" if not self.behaviour.vllm or self.behaviour.gateway else "vllm"
        model = {"id": self._model(), "object": "model", "created": 1, "owned_by": owner}
        if self.behaviour.vllm:
            model |= {"root": "models/demo", "max_model_len": self.behaviour.max_model_len}
        others = [model | {"id": name} for name in self.behaviour.also_lists]
        return JSONResponse({"object": "list", "data": [model, *others]})

    async def _version(self, _: Request) -> Response:
        if not self.behaviour.vllm or self.behaviour.gateway == "chat":
            return Response(status_code=404)
        after = self.behaviour.version_changes_after
        return JSONResponse({"version": "0.32.0" if after is None or self.state.requests < after else "0.33.0"})

    async def _workers(self, _: Request) -> Response:
        urls = list(self.behaviour.workers_at)
        if not urls and not self.behaviour.tells_workers:
            return Response(status_code=404)
        urls = urls or [f"http://127.0.0.1:{self.port + place}" for place in range(len(self._states))]
        return JSONResponse({"workers": [{"url": url, "is_healthy": True} for url in urls], "total": len(urls)})

    async def _readiness(self, _: Request) -> Response:
        if not self.behaviour.tells_workers:
            return Response(status_code=404)
        return JSONResponse({"status": "ready", "total_workers": len(self._states)})

    async def _health(self, _: Request) -> Response:
        return Response()

    async def _metrics(self, _: Request) -> Response:
        if not self.behaviour.metrics or not self.behaviour.vllm:
            return Response(status_code=404)
        self._pick(counting=True)
        state, labels = self.state, 'engine="0",model_name="vqa-demo"'
        lines = [
            "# TYPE vllm:num_requests_running gauge",
            f"vllm:num_requests_running{{{labels}}} {float(self._running())}",
            "# TYPE vllm:prefix_cache_queries counter",
            f"vllm:prefix_cache_queries_total{{{labels}}} {float(state.prefix_queries)}",
            "# TYPE vllm:prefix_cache_hits counter",
            f"vllm:prefix_cache_hits_total{{{labels}}} {float(state.prefix_hits)}",
            "# TYPE vllm:mm_cache_hits counter",
            f"vllm:mm_cache_hits_total{{{labels}}} {float(state.image_hits)}",
            "# TYPE vllm:num_preemptions counter",
            f"vllm:num_preemptions_total{{{labels}}} {float(state.preemptions)}",
            "# TYPE vllm:request_success counter",
            f'vllm:request_success_total{{{labels},finished_reason="stop"}} {float(state.finished)}',
            "# TYPE vllm:cache_config_info gauge",
            f'vllm:cache_config_info{{block_size="{BLOCK}",enable_prefix_caching='
            f'"{self.behaviour.prefix_cache}",engine="0"}} 1.0',
        ]
        return PlainTextResponse("\n".join(lines) + "\n")

    def _running(self) -> int:
        told = self.behaviour.says_running
        return self.state.in_flight if told is None else told

    async def _tokenize(self, request: Request) -> Response:
        if not self.behaviour.vllm or not self.behaviour.counts or self.behaviour.gateway == "chat":
            return Response(status_code=404)
        count = self._prompt_tokens(await request.json())
        return JSONResponse({"count": count, "max_model_len": self.behaviour.max_model_len, "tokens": [1] * count})

    def _prompt_tokens(self, body: dict[str, Any]) -> int:
        share = self.behaviour.pixels_per_token
        if share is None:
            return PROMPT_TOKENS
        sizes = (_size(part["image_url"]["url"]) for part in _pictures(body))
        return PROMPT_TOKENS + sum(width * height // share for width, height in sizes)

    async def _chat(self, request: Request) -> Response:
        self._pick()
        body = await request.json()
        faults = self.behaviour
        if faults.most_pictures is not None and len(_pictures(body)) > faults.most_pictures:
            words = f"At most {faults.most_pictures} image(s) may be provided in one prompt."
            return JSONResponse({"error": {"message": words, "type": "BadRequestError", "code": 400}}, status_code=400)
        needed, length = self._prompt_tokens(body) + (body.get("max_tokens") or 1), self.behaviour.max_model_len
        if self.behaviour.pixels_per_token is not None and needed > length:
            words = f"This model's maximum context length is {length} tokens. However, you requested {needed} tokens."
            error = {"message": words, "type": "BadRequestError", "code": 400}
            return JSONResponse({"error": error}, status_code=400)
        unwanted = (faults.rejects_logprobs, "logprobs"), (faults.rejects_token_ids, "return_token_ids")
        if faults.rejects_all or any(rejects and name in body for rejects, name in unwanted):
            self.state.rejected += 1
            error = {"message": "logprobs are not supported", "type": "BadRequestError", "code": 400}
            return JSONResponse({"error": error}, status_code=400)
        self.state.requests += 1
        self.state.bodies.append(body)
        number, every = self.state.requests, self.behaviour.fails_every
        if every and number % every == 0:
            error = {"message": "CUDA error: an illegal memory access", "type": "InternalServerError", "code": 500}
            return JSONResponse({"error": error}, status_code=500)
        every = self.behaviour.busy_every
        if every and number % every == 0:
            error = {"message": "slow down", "type": "rate_limit_exceeded", "code": 429}
            after = self.behaviour.retry_after
            return JSONResponse({"error": error}, 429, headers={} if after is None else {"Retry-After": after})
        names = {"X-Worker-Id": f"worker-{self._replica.get()}"} if faults.names_worker else {}
        return StreamingResponse(self._stream(body, number), media_type="text/event-stream", headers=names)

    # Answering ------------------------------------------------------------------------------------------------------

    async def _stream(self, body: dict[str, Any], number: int) -> AsyncIterator[str]:
        faults, state = self.behaviour, self.state
        state.in_flight += 1
        crowd = state.in_flight
        state.under_way[number] = body
        aborted, whole = state.aborted, False
        try:
            # A question without a picture is background load, which on a real server lasts as long as it is told to.
            await asyncio.sleep(faults.prefill_seconds if _pictures(body) else LOAD_SECONDS)
            crowd = max(crowd, state.in_flight)
            cached, history = self._look_up(body)
            words = self._words(body, number, crowd, cached, history)
            moved = faults.drift if crowd > 1 and number % 2 else 0.0
            if faults.drifts_above is not None and crowd > faults.drifts_above:
                moved = 0.001
            yield self._event(number, {"role": "assistant", "content": ""}, first=True)
            if faults.thinks or faults.ends_as == "reasoning":
                yield self._event(number, {"reasoning": f"Thought number {number}."})
            if faults.ends_as in {"reasoning", "empty"}:
                yield self._event(number, {"content": None}, reason="stop")
                yield "data: [DONE]\n\n"
                return
            cut_at = len(words) // 2
            if faults.never_overlaps:
                await state.turn.acquire()
            for place, word in enumerate(words):
                meets = place == 1 and crowd > 1 and not faults.never_overlaps
                await asyncio.sleep(max(faults.seconds_per_token, MEETING_SECONDS if meets else 0.0))
                while place == self.behaviour.held_after:  # noqa: ASYNC110 - a test in another thread lets it go
                    await asyncio.sleep(0.01)
                if faults.breaks_every and number % faults.breaks_every == 0 and place == cut_at:
                    return
                if faults.error_in_stream_every and number % faults.error_in_stream_every == 0 and place == cut_at:
                    error = {"message": "EngineCore encountered an issue", "type": "InternalServerError", "code": 500}
                    yield f"data: {json.dumps({'error': error})}\n\n"
                    return
                if faults.ends_as and place == cut_at:
                    yield self._event(number, {}, reason=faults.ends_as)
                    yield "data: [DONE]\n\n"
                    return
                said = word
                if faults.splits_beside == "aborted" and state.aborted > aborted:
                    said = "variant10"
                last = place == len(words) - 1
                reason = ("length" if faults.length else "stop") if last else None
                text = said if place == 0 else f" {said}"
                yield self._event(number, {"content": text}, token=text, place=place, moved=moved, reason=reason)
            if body.get("stream_options", {}).get("include_usage"):
                yield self._usage(number, len(words), cached, self._prompt_tokens(body))
            state.finished += 1
            whole = True
            if faults.strangers and number % 3 == 0:
                state.finished += faults.strangers
            if faults.preempts and number % 3 == 0:
                state.preemptions += 1
            yield "data: [DONE]\n\n"
        finally:
            state.in_flight -= 1
            del state.under_way[number]
            state.aborted += not whole
            if faults.never_overlaps and state.turn.locked():
                state.turn.release()

    def _look_up(self, body: dict[str, Any]) -> tuple[int, int]:
        """Returns the prompt tokens found in the prefix cache, and with how many found before they were computed.

        Puts the rest of the prompt there: the template's block, the pictures', and the text's beginning.
        """
        names = [part.get("uuid") or _digest(part["image_url"]["url"]) for part in _pictures(body)]
        self.state.image_hits += sum(name in self.state.images for name in names)
        self.state.images.update(names)
        contents = [message["content"] for message in body["messages"]]
        parts = (part for content in contents if not isinstance(content, str) for part in content)
        texts = [content for content in contents if isinstance(content, str)]
        texts += [part["text"] for part in parts if "text" in part]
        salt = body.get("cache_salt", "") if self.behaviour.salts_work else ""
        prompt = [salt, names or texts, texts[-1][:10]]
        keys = [json.dumps(prompt[: count + 1]) for count in range(PROMPT_TOKENS // BLOCK - 1)]
        known = self.state.cached if self.behaviour.prefix_cache else {}
        hits = next((place for place, key in enumerate(keys) if key not in known), len(keys))
        before = known[keys[hits - 1]] if hits else 0
        left = before if hits == len(keys) else hits
        for key in keys[hits:]:
            self.state.cached[key] = left
        self.state.prefix_queries += PROMPT_TOKENS
        self.state.prefix_hits += hits * BLOCK
        return hits * BLOCK, left

    def _words(self, body: dict[str, Any], number: int, crowd: int, cached: int, history: int) -> list[str]:
        faults = self.behaviour
        if faults.answer is not None:
            return faults.answer.split()
        if choices := body.get("structured_outputs", {}).get("choice"):
            return str(choices[0]).split()
        if "response_format" in body and not faults.ignores_form:
            return ['{"numbers":', *(f"{number}," for number in range(7))]
        if self._samples(body):
            chance = self._random
            if body.get("seed") is not None:
                chance = random.Random(body["seed"])
            words = [chance.choice((one, other)) for one, other in zip(WORDS, OTHER_WORDS, strict=True)]
        else:
            branch = self._branch(body, number, crowd, cached, history)
            words = WORDS if branch == 0 else [*WORDS[:4], f"variant{branch}", *OTHER_WORDS[5:]]
        return words[: faults.length or len(words)]

    def _samples(self, body: dict[str, Any]) -> bool:
        if self.behaviour.samples_anyway:
            return True
        if self.behaviour.seeds_matter and body.get("seed") is not None:
            return True
        return float(body.get("temperature", 1.0)) > 0 and not self.behaviour.ignores_temperature

    def _branch(self, body: dict[str, Any], number: int, crowd: int, cached: int, history: int) -> int:
        """Returns which path the numbers take: 0 is the usual one."""
        faults = self.behaviour
        if faults.replicas_differ and self._replica.get():
            return 8
        if number <= faults.start_up or (faults.cold_differs and cached == 0):
            return 1
        if faults.answers_by_history and history:
            return 200 + history
        if faults.splits_beside and self._stands_beside(body, faults.splits_beside):
            return 9
        if faults.lone_differs and crowd > 1:
            return 3
        if faults.splits_above is not None and crowd > faults.splits_above:
            return 4
        if faults.splits_under_load and crowd > 1 and number % 2:
            return min(crowd, 4)
        if (faults.strangers or faults.preempts) and number % 3 == 0:
            return 5
        if faults.race and self._random.random() < faults.race:
            return 6
        if faults.encoding_matters:
            urls = "".join(part["image_url"]["url"] for part in _pictures(body))
            return 7 + int(_digest(urls), 16) % 100
        return 0

    def _stands_beside(self, body: dict[str, Any], kind: str) -> bool:
        """Returns whether a request of that kind is under way beside this one."""
        others = [other for other in self.state.under_way.values() if other is not body]
        if kind == "sizes":
            return any(_sizes(other) != _sizes(body) for other in others if _pictures(other))
        names = {"structured": "response_format", "logprobs": "logprobs"}
        return any(names.get(kind, kind) in other for other in others)

    # Events ---------------------------------------------------------------------------------------------------------

    def _chunk(self, number: int) -> dict[str, Any]:
        chunk = {"id": f"chatcmpl-{number}", "object": "chat.completion.chunk", "created": 1, "model": self._model()}
        after = self.behaviour.fingerprint_changes_after
        if after is not None:
            chunk["system_fingerprint"] = "fp_one" if number <= after else "fp_two"
        return chunk

    def _event(
        self,
        number: int,
        delta: dict[str, Any],
        *,
        first: bool = False,
        token: str | None = None,
        place: int = 0,
        moved: float = 0.0,
        reason: str | None = None,
    ) -> str:
        choice: dict[str, Any] = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        chunk = self._chunk(number) | {"choices": [choice]}
        if first and self.behaviour.token_ids and self.behaviour.vllm:
            start = 2 if self.behaviour.prompt_varies and number % 2 else 1
            chunk["prompt_token_ids"] = [start] * 40 + list(range(3, 27))
        if token is not None:
            if self.behaviour.token_ids and self.behaviour.vllm and not self.behaviour.rejects_token_ids:
                choice["token_ids"] = [int(_digest(token), 16) % 30_000]
            if self.behaviour.logprobs and not self.behaviour.rejects_logprobs:
                best, second = -0.05 - 0.01 * place - moved, -0.6 - 0.3 * (place % 4)
                tops = [_logprob(token, best), _logprob(" perhaps", second)]
                choice["logprobs"] = {"content": [tops[0] | {"top_logprobs": tops}]}
        return f"data: {json.dumps(chunk)}\n\n"

    def _usage(self, number: int, tokens: int, cached: int, prompt: int) -> str:
        usage: dict[str, Any] = {
            "prompt_tokens": prompt,
            "completion_tokens": tokens,
            "total_tokens": prompt + tokens,
        }
        if self.behaviour.cached_tokens and self.behaviour.vllm:
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        return f"data: {json.dumps(self._chunk(number) | {'choices': [], 'usage': usage})}\n\n"


def _pictures(body: dict[str, Any]) -> list[dict[str, Any]]:
    parts = (part for message in body["messages"] for part in message["content"])
    return [part for part in parts if isinstance(part, dict) and "image_url" in part]


def _sizes(body: dict[str, Any]) -> list[tuple[int, int]]:
    return [_size(part["image_url"]["url"]) for part in _pictures(body)]


def _size(url: str) -> tuple[int, int]:
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
        return picture.size


def _logprob(token: str, value: float) -> dict[str, Any]:
    return {"token": token, "logprob": value, "bytes": list(token.encode())}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
