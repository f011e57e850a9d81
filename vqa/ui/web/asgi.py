"""What the page's middlewares need of a request: its types, its path, where it comes from. Knows no Gradio."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from starlette.requests import cookie_parser

from vqa.ui.web.visitors import Visitor, network_of, visitor_of

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

PAGES = re.compile(r"/(zh/?)?")


def path_of(scope: Scope) -> str:
    """Returns the path below whatever prefix a reverse proxy has put the page under."""
    return str(scope["path"]).removeprefix(str(scope.get("root_path") or "").rstrip("/")) or "/"


def address_of(scope: Scope) -> str:
    """Returns what counts as the address of whoever asks."""
    client = scope.get("client")
    return network_of(str(client[0])) if client else ""


def sender(scope: Scope, session: str = "") -> Visitor:
    """Returns which visitor of a public demo asks."""
    client, cookies = scope.get("client"), [value for name, value in scope["headers"] if name == b"cookie"]
    return visitor_of(cookie_parser(b"; ".join(cookies).decode("latin-1")), str(client[0]) if client else "", session)


async def body_of(receive: Receive, most: int) -> tuple[bytes, Receive] | None:
    """Returns a request's body and a `receive` that gives it once more; None when it is larger than `most` bytes."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        if len(body) > most:
            return None
        if not message.get("more_body", False):
            break
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    return bytes(body), again
