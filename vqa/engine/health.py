"""Asks a server whether it really serves: /health, /v1/models, who listens, and a one-token question with an image.

/health answers from the front end alone, so a hung engine may stay 'healthy': only an answer counts.
"""

import contextlib
import errno
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
import psutil

from vqa.engine.state import Limits

_IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAK0lEQVR4nO3NQQEAAATAQATRP4pYSvC7BdjldMdn9XoHAAAA"
    "AAAAAAAAhy3gBQFE4naZuwAAAABJRU5ErkJggg=="
)
"""32 by 32 pixels of plain red."""
FIRST_OPEN_PORT = 1024
"""Those below are the administrator's on most systems."""
_BIND_TRIES = 3
_BIND_PAUSE = 0.05
_IDLE_METRICS = ("vllm:num_requests_running", "vllm:num_requests_waiting")
_WORK_METRICS = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:request_success_total")


@dataclass(frozen=True)
class Probe:
    """What one look at a server gave; `code` names what is wrong (None: nothing)."""

    code: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    model_id: str | None = None
    max_model_len: int | None = None
    version: str | None = None
    takes_images: bool | None = None
    asked: bool = False
    """Whether a question was answered, not only /health."""
    working: float | None = None
    """A sum of token and request counters: it grows while the server works."""
    running: int | None = None

    @property
    def fine(self) -> bool:
        """Whether the server serves, so far as was looked."""
        return self.code is None


class _Wrong(Exception):  # noqa: N818 - it carries a finding, not an error
    def __init__(self, code: str, **values: Any) -> None:
        self.probe = Probe(code, values)
        super().__init__(code)


@dataclass(frozen=True)
class Endpoint:
    """Whom to ask: the address, the name the model must have, and whose processes must be listening there."""

    base_url: str
    model_id: str | None = None
    port: int | None = None
    pids: frozenset[int] | None = None
    """None for a server that is not ours: then anybody may listen."""
    api_key: str = ""
    images: bool | None = None
    """Whether an earlier probe's image was accepted; None when not known."""
    preferred: str | None = None
    """Whom to ask where nobody is wanted: if the server lists it, or has no list."""


def probe(target: Endpoint, limits: Limits, *, ask: bool) -> Probe:
    """Returns what is found at `target`: listener, /health, /v1/models, /metrics and, when `ask`, a question.

    A question is left out while requests are running: it would join their batch, and it is not needed as long as
    they progress, which the caller sees by `working`.
    """
    from vqa.client.address import (
        is_loopback,
        server_root,
        tls_context,
    )  # `status` and `stop` ask nobody, and need not load it

    headers = {"Authorization": f"Bearer {target.api_key}"} if target.api_key else {}
    timeout = httpx.Timeout(limits.connect)
    root = server_root(target.base_url)
    try:
        if target.pids is not None and target.port is not None:
            _check_listener(target.port, target.pids)
        with httpx.Client(
            base_url=root,
            headers=headers,
            timeout=timeout,
            trust_env=not is_loopback(target.base_url),
            verify=tls_context(),
        ) as client:
            managed = target.pids is not None
            _check_health(client, managed=managed)
            path = target.base_url.removeprefix(root)
            model_id, max_len = _check_models(client, f"{path}/models", target, managed=managed)
            running, working = _load(client)
            takes_images, asked = target.images, False
            if ask and not running:
                takes_images, asked = _ask(client, f"{path}/chat/completions", model_id, target.images, limits), True
            return Probe(
                model_id=model_id,
                max_model_len=max_len,
                version=_version(client) if target.images is None else None,
                takes_images=takes_images,
                asked=asked,
                running=running,
                working=working,
            )
    except _Wrong as found:
        return found.probe
    except httpx.TimeoutException:
        return Probe("timeout", {"seconds": limits.connect})
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError, OSError) as problem:
        # The last ones: a proxy of the environment that cannot be used, a certificate file that is not there.
        return Probe("unreachable", {"reason": str(problem) or type(problem).__name__})


def _check_listener(port: int, pids: Collection[int]) -> None:
    owners = listeners(port)
    if owners is None:
        return
    strangers = [owner for owner in owners if owner not in pids]
    if strangers:
        raise _Wrong("stranger", port=port, owner=describe(strangers[0]))
    if not owners:
        raise _Wrong("not_listening", port=port)


def _check_health(client: httpx.Client, *, managed: bool) -> None:
    response = client.get("/health")
    if not managed and response.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
        return  # another make of server may have anything there: what counts is whether it answers a question
    if response.status_code != httpx.codes.OK:
        raise _Wrong("health_status", status=response.status_code)


def _check_models(client: httpx.Client, path: str, target: Endpoint, *, managed: bool) -> tuple[str, int | None]:
    from vqa.client.server import listed_models

    wanted = target.model_id
    response = client.get(path)
    if response.status_code == httpx.codes.OK:
        try:
            listed = listed_models(response.json())
        except ValueError:
            listed = None
    else:
        listed = None
    if listed is None and not managed and (named := wanted or target.preferred):
        return named, None  # a server without a list is asked for the model that was named
    if response.status_code in (401, 403):
        raise _Wrong("key_refused", status=response.status_code)
    if listed is None:
        raise _Wrong("no_models", status=response.status_code)
    models = {str(model["id"]): model.get("max_model_len") for model in listed}
    models = {name: length if isinstance(length, int) else None for name, length in models.items()}
    if wanted is not None and wanted not in models:
        raise _Wrong("other_model", wanted=wanted, there=", ".join(models) or "-")
    if not models:
        raise _Wrong("no_models", status=response.status_code)
    first = target.preferred if target.preferred in models else next(iter(models))
    chosen = wanted if wanted is not None else first
    return chosen, models[chosen]


def _load(client: httpx.Client) -> tuple[int | None, float | None]:
    """Returns (requests running or waiting, sum of the work counters); Nones where there is no /metrics."""
    with contextlib.suppress(httpx.HTTPError, ValueError):
        response = client.get("/metrics")
        if response.status_code == httpx.codes.OK:
            busy, work, seen = 0.0, 0.0, False
            for line in response.text.splitlines():
                name = line.split("{", 1)[0]
                if name in _IDLE_METRICS:
                    busy, seen = busy + float(line.rsplit(" ", 1)[-1]), True
                elif name in _WORK_METRICS:
                    work += float(line.rsplit(" ", 1)[-1])
            if seen:
                return int(busy), work
    return None, None


def _version(client: httpx.Client) -> str | None:
    with contextlib.suppress(httpx.HTTPError, ValueError, AttributeError):
        return str(client.get("/version").json().get("version") or "") or None
    return None


def _ask(client: httpx.Client, path: str, model_id: str, images: bool | None, limits: Limits) -> bool:
    """Asks for one token, with an image unless the model is known to take none; returns whether it took it."""
    text: dict[str, Any] = {"type": "text", "text": "?"}
    image = {"type": "image_url", "image_url": {"url": _IMAGE}}
    if images is not False:
        status, detail = _post(client, path, model_id, [image, text], limits)
        if status == httpx.codes.OK:
            return True
        if status not in (400, 404, 415, 422, 501):
            raise _Wrong("chat_status", status=status, detail=detail)
    status, detail = _post(client, path, model_id, [text], limits)
    if status != httpx.codes.OK:
        raise _Wrong("chat_status", status=status, detail=detail)
    return False


def _post(
    client: httpx.Client, path: str, model_id: str, content: list[dict[str, Any]], limits: Limits
) -> tuple[int, str]:
    """Returns (status, what the server said); gives up when the whole takes longer than `limits.chat`."""
    body = {
        "model": model_id,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 1,
        "temperature": 0,
        "stream": False,
    }
    deadline = time.monotonic() + limits.chat
    received = b""
    try:
        with client.stream("POST", path, json=body, timeout=httpx.Timeout(limits.chat)) as response:
            for part in response.iter_bytes():
                received += part[:100_000]
                if time.monotonic() > deadline:
                    raise _Wrong("chat_timeout", seconds=limits.chat)
    except httpx.TimeoutException:
        raise _Wrong("chat_timeout", seconds=limits.chat) from None
    if response.status_code == httpx.codes.OK and b'"choices"' not in received:
        raise _Wrong("chat_answer", detail=received[:200].decode("utf-8", "replace"))
    return response.status_code, received[:300].decode("utf-8", "replace")


def listeners(port: int) -> list[int] | None:
    """Returns the PIDs that listen on a TCP port (0 for one that cannot be seen); None where that cannot be told."""
    try:
        rows = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return None
    return [row.pid or 0 for row in rows if row.status == psutil.CONN_LISTEN and row.laddr and row.laddr.port == port]


def port_free(host: str, port: int) -> bool:
    """Returns whether nobody holds `port` at `host`.

    A plain bind finds even a holder that would share the port through SO_REUSEPORT, as vLLM does, and one that does
    not listen yet. It also stumbles over connections that linger in TIME_WAIT after a stop; those are no holder.
    A port that this user may not use counts as held; `may_use` tells the two apart.

    Raises:
        OSError: the address is none of this machine's.
    """
    for _ in range(_BIND_TRIES):
        if _binds(host, port, reuse=False):
            return True
        if _binds(host, port, reuse=True) and _lingers(port):
            return True
        time.sleep(_BIND_PAUSE)  # what lingered may have gone between the two looks
    return False


def may_use(host: str, port: int) -> bool:
    """Returns whether this user has the right to `port`, whoever holds it; one below 1024 is often the administrator's.

    Raises:
        OSError: the address is none of this machine's.
    """
    try:
        _bind(host, port, reuse=False)
    except OSError as problem:
        if problem.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        return problem.errno != errno.EACCES
    return True


def _binds(host: str, port: int, *, reuse: bool) -> bool:
    try:
        _bind(host, port, reuse=reuse)
    except OSError as problem:
        if problem.errno in (errno.EADDRINUSE, errno.EACCES):
            return False
        raise
    return True


def _bind(host: str, port: int, *, reuse: bool) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as test:
        test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
        test.bind((host, port))


def _lingers(port: int) -> bool:
    """Whether connections without an owner hang on `port`, and nobody listens there."""
    with contextlib.suppress(psutil.Error, OSError):
        rows = [row for row in psutil.net_connections(kind="tcp") if row.laddr and row.laddr.port == port]
        return bool(rows) and all(row.status != psutil.CONN_LISTEN for row in rows)
    return False


def free_port(host: str, after: int) -> int | None:
    """Returns the next free port above `after` that anybody may use, or None when the next 200 are all taken."""
    first = max(after + 1, FIRST_OPEN_PORT)
    with contextlib.suppress(OSError):  # an address that cannot be used has no free port
        return next((port for port in range(first, min(first + 200, 65536)) if port_free(host, port)), None)
    return None


def describe(pid: int) -> str:
    """Returns a name for the owner of a port: `python3 (PID 4711, ann)`; empty when it cannot be seen."""
    try:
        process = psutil.Process(pid) if pid else None
        return f"{process.name()} (PID {pid}, {process.username()})" if process else ""
    except (psutil.Error, KeyError):
        return f"PID {pid}"


def port_owner(port: int) -> str:
    """Returns who listens on `port`, or '' when that cannot be seen."""
    return next((name for pid in listeners(port) or () if (name := describe(pid))), "")
