"""From the data of an event, or from a whole body, to the JSON of a chunk; errors there are raised."""

from __future__ import annotations

import json
from collections.abc import Mapping

import orjson

from vqa.answers import Json
from vqa.client.problems import RefusedError, error_in, text_of, words_of
from vqa.client.transport import Reply
from vqa.errors import ServerError


def chunk_of(kind: bytes, data: bytes) -> dict[str, Json]:
    """Returns the JSON of an event; of one without data, which only keeps the connection alive, an empty chunk.

    Raises:
        RefusedError: it is an error of the server, or no JSON.
    """
    if not data.strip():
        return {}
    try:
        value = _json(data)
    except ValueError:
        raise RefusedError(None, text_of(data)) from None
    if kind == b"error" and not (isinstance(value, dict) and value.get("choices")):
        raise error_in({"error": value}) or RefusedError(None, text_of(data))
    if problem := error_in(value):
        raise problem
    return value if isinstance(value, dict) else {}


def ends(data: bytes) -> bool:
    """Returns whether the data of an event says that the stream is at its end: [DONE], however it is written."""
    return not data.startswith(b"{") and data.strip(b'" \t').upper().startswith(b"[DONE]")


WORKER_HEADERS = (
    "x-worker-id", "x-worker-url", "x-backend-server", "x-upstream-addr", "x-served-by",
    "x-gateway-destination-endpoint-served", "x-litellm-model-api-base", "x-litellm-model-id",
)  # fmt: skip
"""In which routers and proxies name who answered, as they spell it."""
LONGEST_WORKER = 100


def worker_of(headers: Mapping[str, str]) -> str:
    """Returns who a router says has answered; empty where none does."""
    named = (headers.get(name, "") for name in WORKER_HEADERS)
    return next(filter(None, named), "")[:LONGEST_WORKER]


def whole_of(body: bytes, reply: Reply, address: str) -> dict[str, Json]:
    """Returns a reply that came as one JSON though a stream was asked for.

    Raises:
        RefusedError: it is an error.
        ServerError: it is something else: a page of a proxy, of a sign-in network, nothing at all.
    """
    try:
        value = _json(body) if body.strip() else None
    except ValueError:
        value = None
    problem = error_in(value)
    if problem is None and isinstance(value, dict):
        if value.get("choices"):
            return value
        if words_of(value)[0]:
            problem = error_in({"error": value})
    if problem is not None:
        raise problem
    kind = reply.headers.get("Content-Type", "")
    raise ServerError("server_not_openai", address=address, reason=text_of(body) or kind or "–")


def _json(data: bytes) -> Json:
    try:
        return orjson.loads(data)
    except ValueError:  # NaN, Infinity, and halves of characters, which Python's own reader takes
        try:
            return json.loads(data.decode("utf-8", "replace"))
        except RecursionError as problem:
            raise ValueError("nested too deep") from problem
