"""What may pass to the page at all: which addresses, from which sites, how large, how often.

Gradio serves more than this page uses (a proxy for other addresses, recordings, deep links, …): only what the page
itself needs is let through.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from vqa.settings import Settings
from vqa.ui.web.visitors import COOKIE, Window, network_of

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

PAGES = re.compile(r"/(zh)?")
OPEN = re.compile(
    r"/(zh/?)?|/(config|login|logout|login_check|theme\.css|favicon\.ico|manifest\.json|robots\.txt|pwa_icon(/\d+)?)/?"
    r"|/(assets|static|svelte)/.+"
    r"|/gradio_api/((app_id|cancel|component_server|info|login_check|queue/(join|data|status)|reset|startup-events"
    r"|theme\.css|token|upload|upload_progress|user)/?|heartbeat/[^/]+|run/[^/]+/?|file=.+)"
)
ELSEWHERE = re.compile(r"/gradio_api/file=\s*[a-z][a-z0-9+.-]*:/", re.IGNORECASE)
"""Gradio would fetch such an address for whoever asks."""
MAX_BODY, MAX_PUBLIC_BODY = 4_000_000, 500_000
"""Bytes of an event; pictures come as uploads."""
UPLOADS_AT_ONCE = 16
PUBLIC_POSTS_PER_MINUTE = 3000
"""Of one address: a page that follows a run sends about a hundred."""
PUBLIC_UPLOADS_PER_MINUTE = 120
PUBLIC_STREAMS = 100
"""Open event streams of one address."""
log = logging.getLogger("vqa.ui")
METHODS = {"GET", "HEAD", "POST"}


class Gate:
    """Refuses, before Gradio sees it, what this page never sends."""

    def __init__(self, app: App, *, settings: Settings) -> None:
        self._app = app
        self._public = settings.public
        pictures = settings.public_max_pictures if settings.public else UPLOADS_AT_ONCE
        self._upload_limit = pictures * settings.max_image_bytes + 100_000
        self._window = Window()
        self._streams: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it with a refusal."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if refusal := self._refusal(scope, Headers(scope=scope)):
            status, words = refusal
            headers = {"Retry-After": "30"} if status == 429 else None
            await PlainTextResponse(words, status, headers)(scope, receive, send)
            return
        address = _address(scope)
        if not (self._public and _path(scope).startswith(("/gradio_api/queue/data", "/gradio_api/heartbeat"))):
            await self._passed(scope, receive, self._known(scope, send))
            return
        self._streams[address] = self._streams.get(address, 0) + 1
        try:
            await self._passed(scope, receive, send)
        finally:
            self._streams[address] -= 1
            if not self._streams[address]:
                del self._streams[address]

    async def _passed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on; one that breaks Gradio, such as a call of what is not there, is a bad request."""
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as problem:
            # Without its message: that holds what the visitor sent.
            log.warning("%s %s was refused: %s", scope["method"], _path(scope)[:80], type(problem).__name__)
            if not started:
                await PlainTextResponse("Bad Request", 400)(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        path, method = _path(scope), str(scope["method"])
        if not OPEN.fullmatch(path) or ELSEWHERE.match(path) or ".." in re.split(r"[/\\]", path):
            return 404, "Not Found"
        if method not in METHODS:
            return 405, "Method Not Allowed"
        if not _same_site(headers):
            return 403, "Requests from other sites are refused."
        if method == "POST" and (refusal := self._body_refusal(path, headers)):
            return refusal
        return self._rate_refusal(path, method, _address(scope)) if self._public else None

    def _body_refusal(self, path: str, headers: Headers) -> tuple[int, str] | None:
        length = headers.get("content-length", "")
        if not length.isdecimal():
            # Without it nobody knows how much is still coming; browsers always send it.
            return (411, "Length Required") if "transfer-encoding" in headers else None
        uploads = path.rstrip("/") in {"/gradio_api/upload", "/gradio_api/component_server"}
        limit = self._upload_limit if uploads else MAX_PUBLIC_BODY if self._public else MAX_BODY
        return (413, f"At most {limit} bytes are accepted.") if int(length) > limit else None

    def _rate_refusal(self, path: str, method: str, address: str) -> tuple[int, str] | None:
        limits = {f"post {address}": PUBLIC_POSTS_PER_MINUTE} if method == "POST" else {}
        if path.startswith(("/gradio_api/upload", "/gradio_api/component_server")) and method == "POST":
            limits[f"upload {address}"] = PUBLIC_UPLOADS_PER_MINUTE
        if self._window.take(limits) or self._streams.get(address, 0) >= PUBLIC_STREAMS:
            return 429, "Too many requests; try again in a minute."
        return None

    def _known(self, scope: Scope, send: Send) -> Send:
        """Returns a `send` that gives a visitor of a public demo the cookie by which runs are theirs."""
        if not self._public or not PAGES.fullmatch(_path(scope)) or _has_cookie(Headers(scope=scope)):
            return send
        # Hosting services show the page in a frame of their own site: there only such a cookie is kept.
        rest = "SameSite=None; Secure; Partitioned" if scope["scheme"] == "https" else "SameSite=Lax"
        cookie = f"{COOKIE}={secrets.token_urlsafe(24)}; Path=/; HttpOnly; {rest}".encode()

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"set-cookie", cookie)]
            await send(message)

        return marked


def _path(scope: Scope) -> str:
    """Returns the path below whatever prefix a reverse proxy has put the page under."""
    return str(scope["path"]).removeprefix(str(scope.get("root_path") or "").rstrip("/")) or "/"


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return network_of(str(client[0])) if client else ""


def _has_cookie(headers: Headers) -> bool:
    try:
        return COOKIE in SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return False


def _same_site(headers: Headers) -> bool:
    """Returns whether a request comes from this page, or from no page at all, as a script's does."""
    origin = headers.get("origin")
    if origin is None:
        return True
    own = {headers.get("host", ""), headers.get("x-forwarded-host", "")} - {""}
    return urlsplit(origin).netloc in own
