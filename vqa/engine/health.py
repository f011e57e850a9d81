"""Asks a server whether it really serves: /health, /v1/models, who listens, and a one-token question with an image.

/health answers from the front end alone, so a hung engine may stay 'healthy': only an answer counts.
"""

import contextlib
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx

from vqa.engine.metrics import plain_client, scrape
from vqa.engine.ports import describe, listeners
from vqa.engine.state import Limits

_IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAK0lEQVR4nO3NQQEAAATAQATRP4pYSvC7BdjldMdn9XoHAAAA"
    "AAAAAAAAhy3gBQFE4naZuwAAAABJRU5ErkJggg=="
)
"""32 by 32 pixels of plain red."""


@dataclass(frozen=True)
class Probe:
    """What one look at a server gave; `code` names what is wrong (None: nothing)."""

    code: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    model_id: str | None = None
    model_ids: tuple[str, ...] = ()
    """All that the server lists."""
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


class WrongError(Exception):
    """What is wrong with a server, as a finding."""

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
    from vqa.client.address import server_root  # `status` and `stop` ask nobody, and need not load it

    root = server_root(target.base_url)
    try:
        if target.pids is not None and target.port is not None:
            _check_listener(target.port, target.pids)
        with plain_client(target.base_url, target.api_key, limits.connect) as client:
            managed = target.pids is not None
            _check_health(client, managed=managed)
            path = target.base_url.removeprefix(root)
            model_id, listed = _check_models(client, f"{path}/models", target, managed=managed)
            running, working = _load(client)
            takes_images, asked = target.images, False
            if ask and not running:
                takes_images, asked = _ask(client, f"{path}/chat/completions", model_id, target.images, limits), True
            return Probe(
                model_id=model_id,
                model_ids=tuple(listed),
                max_model_len=listed.get(model_id),
                version=_version(client) if target.images is None else None,
                takes_images=takes_images,
                asked=asked,
                running=running,
                working=working,
            )
    except WrongError as found:
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
        raise WrongError("stranger", port=port, owner=describe(strangers[0]))
    if not owners:
        raise WrongError("not_listening", port=port)


def _check_health(client: httpx.Client, *, managed: bool) -> None:
    response = client.get("/health")
    if not managed and (response.status_code < 500 or response.status_code == 501):
        return  # another make of server may have anything there: what counts is whether it answers a question
    if response.status_code != httpx.codes.OK:
        raise WrongError("health_status", status=response.status_code)


def _check_models(
    client: httpx.Client, path: str, target: Endpoint, *, managed: bool
) -> tuple[str, dict[str, int | None]]:
    """Returns whom to ask, and the length of context of every model that is listed."""
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
    if not listed and not managed and (named := wanted or target.preferred):
        return named, {}  # a server without a list is asked for the model that was named
    if response.status_code in (401, 403):
        raise WrongError("key_refused", status=response.status_code)
    if listed is None:
        raise WrongError("no_models", status=response.status_code)
    models = {str(model["id"]): model.get("max_model_len") for model in listed}
    models = {name: length if isinstance(length, int) else None for name, length in models.items()}
    if wanted is not None and wanted not in models:
        raise WrongError("other_model", wanted=wanted, there=", ".join(models) or "-")
    if not models:
        raise WrongError("no_models", status=response.status_code)
    first = target.preferred if target.preferred in models else next(iter(models))
    chosen = wanted if wanted is not None else first
    return chosen, models


def _load(client: httpx.Client) -> tuple[int | None, float | None]:
    """Returns (requests running or waiting, sum of the work counters); Nones where there is no /metrics."""
    figures = scrape(client)
    if figures is None:
        return None, None
    work = figures.prompt_tokens + figures.generation_tokens + sum(figures.request_success.values())
    return figures.running + figures.waiting, work


def _version(client: httpx.Client) -> str | None:
    with contextlib.suppress(httpx.HTTPError, ValueError, AttributeError):
        return str(client.get("/version").json().get("version") or "") or None
    return None


def _ask(client: httpx.Client, path: str, model_id: str, images: bool | None, limits: Limits) -> bool:
    """Asks for one token, with an image unless the model is known to take none; returns whether it took it."""
    text: dict[str, Any] = {"type": "text", "text": "?"}
    image = {"type": "image_url", "image_url": {"url": _IMAGE}}
    if images is not False:
        status, detail = post_question(client, path, _one_token(model_id, [image, text]), limits.chat)
        if status == httpx.codes.OK:
            return True
        if status not in (400, 404, 415, 422, 501):
            raise WrongError("chat_status", status=status, detail=detail)
    status, detail = post_question(client, path, _one_token(model_id, [text]), limits.chat)
    if status != httpx.codes.OK:
        raise WrongError("chat_status", status=status, detail=detail)
    return False


def _one_token(model_id: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    messages = [{"role": "user", "content": content}]
    return {"model": model_id, "messages": messages, "max_tokens": 1, "temperature": 0, "stream": False}


def post_question(client: httpx.Client, path: str, body: dict[str, Any], seconds: float) -> tuple[int, str]:
    """Returns (status, what the server said); gives up when the whole takes longer than `seconds`.

    Raises:
        WrongError: it took too long, or the answer is no chat completion.
        httpx.HTTPError: the server cannot be reached.
    """
    deadline = time.monotonic() + seconds
    received = b""
    try:
        with client.stream("POST", path, json=body, timeout=httpx.Timeout(seconds)) as response:
            for part in response.iter_bytes():
                received += part[:100_000]
                if time.monotonic() > deadline:
                    raise WrongError("chat_timeout", seconds=seconds)
    except httpx.TimeoutException:
        raise WrongError("chat_timeout", seconds=seconds) from None
    if response.status_code == httpx.codes.OK and b'"choices"' not in received:
        raise WrongError("chat_answer", detail=received[:200].decode("utf-8", "replace"))
    return response.status_code, received[:300].decode("utf-8", "replace")
