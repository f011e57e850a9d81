"""Figures of a running server: its /metrics, and the machine's load; keeps the last minutes."""

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2 as httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from vqa.engine.machine import gpu_use

if TYPE_CHECKING:
    from vqa.client import Client

PATH = "/metrics"
"""Below the server's root."""

_SUMS = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:generation_tokens_total": "generation_tokens",
    "vllm:prefix_cache_queries_total": "prefix_cache_queries",
    "vllm:prefix_cache_hits_total": "prefix_cache_hits",
    "vllm:mm_cache_queries_total": "mm_cache_queries",
    "vllm:mm_cache_hits_total": "mm_cache_hits",
    "vllm:num_preemptions_total": "preemptions",
}


@dataclass(frozen=True)
class MetricsSnapshot:
    """The figures of one moment; counters count since the server's start, rates since the last snapshot."""

    at: float
    """Unix seconds."""
    running: int = 0
    waiting: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    prompt_tokens_per_second: float | None = None
    generation_tokens_per_second: float | None = None
    kv_cache_use: float | None = None
    """From 0 to 1; the fullest of several engines."""
    prefix_cache_queries: int = 0
    """Tokens looked up."""
    prefix_cache_hits: int = 0
    mm_cache_queries: int = 0
    """Images looked up."""
    mm_cache_hits: int = 0
    preemptions: int = 0
    request_success: dict[str, int] = field(default_factory=dict)
    """Finished requests by reason: stop, length, abort, error."""
    cache_config: dict[str, str] = field(default_factory=dict)
    """vLLM's cache settings, such as block_size and enable_prefix_caching."""
    engine_cpu: float | None = None
    """Cores in use by the engine."""
    engine_memory: int | None = None
    """Bytes of RAM."""
    cpu_percent: float | None = None
    ram_used: int | None = None
    ram_total: int | None = None
    gpus: tuple[tuple[int, int, int], ...] = ()
    """Per GPU: percent busy, bytes used, bytes in all."""

    @property
    def prefix_cache_hit_rate(self) -> float | None:
        """Share of looked-up tokens found in the prefix cache since the start, 0 to 1; None before the first lookup."""
        return self.prefix_cache_hits / self.prefix_cache_queries if self.prefix_cache_queries else None

    @property
    def mm_cache_hit_rate(self) -> float | None:
        """Share of looked-up images found in the image cache since the start, 0 to 1; None before the first lookup."""
        return self.mm_cache_hits / self.mm_cache_queries if self.mm_cache_queries else None

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures as plain values."""
        return asdict(self)

    @staticmethod
    def from_dict(plain: dict[str, Any]) -> "MetricsSnapshot":
        """Returns the figures that `to_dict` wrote."""
        return MetricsSnapshot(**plain | {"gpus": tuple(tuple(row) for row in plain.get("gpus", ()))})


def read(text: str, at: float) -> MetricsSnapshot | None:
    """Returns the figures in the Prometheus text of vLLM's /metrics; several engines are added up.

    `at` are Unix seconds. None where the text holds no figure of vLLM's, or is not in that format.
    """
    sums = dict.fromkeys(_SUMS.values(), 0.0)
    use: list[float] = []
    success: dict[str, int] = {}
    config: dict[str, str] = {}
    seen = False
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                seen = seen or sample.name.startswith("vllm:")
                if name := _SUMS.get(sample.name):
                    sums[name] += sample.value
                elif sample.name in ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"):
                    use.append(sample.value)
                elif sample.name == "vllm:request_success_total":
                    reason = sample.labels.get("finished_reason", "")
                    success[reason] = success.get(reason, 0) + int(sample.value)
                elif sample.name == "vllm:cache_config_info":
                    config = dict(sample.labels)
        counts: dict[str, Any] = {name: int(value) for name, value in sums.items()}
    except (ValueError, OverflowError, LookupError):  # the parser stumbles over some texts; NaN and +Inf are no counts
        return None
    if not seen:
        return None
    return MetricsSnapshot(
        at=at, kv_cache_use=max(use) if use else None, request_success=success, cache_config=config, **counts
    )


def plain_client(base_url: str, api_key: str = "", timeout: float = 3.0) -> httpx.Client:
    """Returns a client for the pages below a server's root; what goes to this machine is never shown to a proxy.

    `timeout` are seconds for each step of a request.

    Raises:
        httpx.InvalidURL, ImportError, ValueError, OSError: the address, or the environment's proxy or certificates,
            cannot be used.
    """
    from vqa.client.address import (  # `status` and `stop` ask nobody, and need not load it
        is_here,
        server_root,
        tls_context,
    )

    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return httpx.Client(
        base_url=server_root(base_url),
        headers=headers,
        timeout=timeout,
        trust_env=not is_here(base_url),
        verify=tls_context(),
    )


def scrape(client: httpx.Client) -> MetricsSnapshot | None:
    """Returns the figures now of the server that `plain_client` was made for, or None when it gives none."""
    try:
        response = client.get(PATH)
    except (httpx.HTTPError, ValueError):
        return None
    return read(response.text, time.time()) if response.status_code == httpx.codes.OK else None


def scrape_server(base_url: str, api_key: str = "", timeout: float = 3.0) -> MetricsSnapshot | None:
    """Returns the server's figures now, or None when it gives none or cannot be asked."""
    try:
        with plain_client(base_url, api_key, timeout) as client:
            return scrape(client)
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError, OSError):
        return None


async def scrape_beside(client: "Client") -> MetricsSnapshot | None:
    """Returns the figures now of the server that a client asks, over that client's own way to it; None for none."""
    page = await client.page(PATH)
    return read(page[1], time.time()) if page is not None and page[0] == httpx.codes.OK else None


class MetricsHistory:
    """The snapshots of the last minutes; adds rates and the machine's load to each."""

    def __init__(self, length: int = 300) -> None:
        self._ring: deque[MetricsSnapshot] = deque(maxlen=length)
        self._cpu: tuple[float, float] | None = None

    def add(
        self, now: MetricsSnapshot, processes: Iterable[psutil.Process] = (), local: bool = True
    ) -> MetricsSnapshot:
        """Returns `now` with rates, and with the load of `processes` and of this machine if the server is `local`."""
        plain = now.to_dict()
        if self._ring and (seconds := now.at - self._ring[-1].at) > 0:
            for name in ("prompt_tokens", "generation_tokens"):
                grown = getattr(now, name) - getattr(self._ring[-1], name)
                plain[f"{name}_per_second"] = grown / seconds if grown >= 0 else None
        if local:
            plain |= self._load(now.at, list(processes))
        full = MetricsSnapshot.from_dict(plain)
        self._ring.append(full)
        return full

    def _load(self, at: float, processes: list[psutil.Process]) -> dict[str, Any]:
        memory = psutil.virtual_memory()
        used, resident = 0.0, 0
        for process in processes:
            try:
                times = process.cpu_times()
                used += times.user + times.system
                resident += process.memory_info().rss
            except psutil.Error:
                continue
        cores = None
        if self._cpu and at > self._cpu[0] and used >= self._cpu[1]:
            cores = (used - self._cpu[1]) / (at - self._cpu[0])
        self._cpu = (at, used)
        return {
            "engine_cpu": cores,
            "engine_memory": resident or None,
            "cpu_percent": psutil.cpu_percent(None),
            "ram_used": memory.total - memory.available,
            "ram_total": memory.total,
            "gpus": gpu_use(),
        }

    @property
    def all(self) -> tuple[MetricsSnapshot, ...]:
        """Every snapshot kept, oldest first."""
        return tuple(self._ring)

    @property
    def latest(self) -> MetricsSnapshot | None:
        """The newest snapshot."""
        return self._ring[-1] if self._ring else None
