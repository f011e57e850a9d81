"""Looks at a server for the lab: who it is, what it can do, and its counters. Asks two questions of its own at most."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from uuid import uuid4

from vqa.answers import Json, Question
from vqa.client import Client
from vqa.engine.metrics import MetricsSnapshot, scrape_beside
from vqa.errors import VQAError
from vqa.lab.diagnosis.facts import Identity, finished
from vqa.lab.diagnosis.several import Fleet
from vqa.lab.plan.arms import Capabilities, Case, RunSpec

SETTLE_SECONDS = 0.05
SETTLE_TRIES = 10
VERSION_LOOKS = 4
"""Behind a balancer that takes turns, the versions of two servers show in as many looks."""
SCOUTS = 2
"""Questions asked to learn the duration: the first after a start still compiles and warms kernels up."""


def worker_addresses(listed: dict[str, Json]) -> tuple[str, ...]:
    """Returns the addresses in a router's reply to `/workers`; empty where there are none."""
    rows = listed.get("workers")
    rows = rows if isinstance(rows, list) else []
    named = (row.get("url") if isinstance(row, dict) else row for row in rows)
    return tuple(dict.fromkeys(each for each in named if isinstance(each, str)))


class ServerView:
    """Reads /v1/models, /version and /metrics of the server that a client speaks to. Use within one event loop."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._fleet: Fleet | None = None
        self.finished: list[int] = []
        """How many requests the server said it had answered, at every look."""

    async def metrics(self) -> MetricsSnapshot | None:
        """Returns the server's figures, or None when it gives none."""
        found = await scrape_beside(self._client)
        if found is not None:
            self.finished.append(finished(found))
        return found

    async def fleet(self) -> Fleet:
        """Returns what the address says of the servers behind it; asked once."""
        if self._fleet is None:
            listed, ready = await self._value("/workers"), await self._value("/readiness")
            versions = [await self._value("/version") for _ in range(VERSION_LOOKS)]
            self._fleet = Fleet(
                worker_addresses(listed),
                total if isinstance(total := ready.get("total_workers"), int) else 0,
                tuple(str(each["version"]) for each in versions if "version" in each),
            )
        return self._fleet

    async def _value(self, path: str) -> dict[str, Json]:
        """Returns the JSON object of a page below the server's root; an empty one where there is none."""
        page = await self._client.page(path)
        with suppress(ValueError):
            if page is not None and page[0] == HTTPStatus.OK and isinstance(value := json.loads(page[1]), dict):
                return value
        return {}

    async def settled_metrics(self, at_least: int) -> MetricsSnapshot | None:
        """Returns the figures once `at_least` requests are counted as finished, or after half a second anyway.

        vLLM counts a request a moment after its last piece has left.
        """
        metrics = await self.metrics()
        for _ in range(SETTLE_TRIES):
            if metrics is None or finished(metrics) >= at_least:
                break
            await asyncio.sleep(SETTLE_SECONDS)
            metrics = await self.metrics()
        return metrics

    async def identity(self) -> Identity | None:
        """Returns who the server says it is now, or None when it does not answer."""
        try:
            info = await self._client.info(refresh=True)
        except VQAError:
            return None
        version = None if info.vllm_version == "unknown" else info.vllm_version
        return Identity(info.model_ids, info.root, version)

    async def capabilities(self, *, managed: bool = False, learn: bool = False) -> Capabilities:
        """Returns what can be told without asking a question; with `learn`, a server that is not known is asked one.

        Raises:
            ServerError: the server does not answer.
        """
        info = await (self._client.learn() if learn else self._client.info())
        metrics = await self.metrics()
        config = metrics.cache_config if metrics else {}
        enabled, block = config.get("enable_prefix_caching"), config.get("block_size")
        return Capabilities(
            vllm=info.is_vllm,
            prefix_cache={"True": True, "False": False}.get(enabled or ""),
            block_size=int(block) if block and block.isdigit() else None,
            cache_tokens=_cache_tokens(config),
            metrics=metrics is not None,
            managed=managed,
        )


def _cache_tokens(config: Mapping[str, str]) -> int | None:
    """Returns how many tokens a prefix cache holds, from vLLM's blocks and their size; None when it does not tell."""
    blocks, size = config.get("num_gpu_blocks", ""), config.get("block_size", "")
    return int(blocks) * int(size) if blocks.isdigit() and size.isdigit() else None


async def scout(client: Client, spec: RunSpec, capabilities: Capabilities) -> tuple[Capabilities, int]:
    """Asks the first case twice, apart from all caches, to learn prompt length and duration.

    Returns what was learnt and how many questions were asked: only vLLM keeps such requests apart; another server is
    not asked, since that would warm its cache.
    """
    if not capabilities.vllm:
        return capabilities, 0
    case: Case = spec.cases[0]
    quickest = math.inf
    for _ in range(SCOUTS):
        question = Question(
            case.text,
            case.images,
            system=spec.system,
            sampling=spec.sampling,
            logprobs=spec.logprobs,
            text_first=spec.text_first,
            cache_salt=uuid4().hex,
            image_uuids=tuple(uuid4().hex for _ in case.images),
        )
        answer = await client.ask(question)
        quickest = min(quickest, answer.seconds)  # the first ones after a start warm kernels up
        capabilities = replace(
            capabilities,
            cached_tokens=answer.cached_tokens is not None,
            prompt_tokens=answer.prompt_tokens,
            seconds_per_request=quickest,
        )
    return capabilities, SCOUTS
