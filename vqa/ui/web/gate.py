"""What may pass to the page at all: which addresses, from which sites, how large, how often.

Gradio serves more than this page uses (a proxy for other addresses, recordings, deep links, …): only what the page
itself needs is let through.
"""

from __future__ import annotations

import logging
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse

from vqa.settings import Settings
from vqa.ui.web.asgi import PAGES, App, Message, Receive, Scope, Send, address_of, path_of
from vqa.ui.web.patience import PEER, SlowBodyError, in_time
from vqa.ui.web.visitors import COOKIE, Window, known, new_cookie

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
        self._told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it with a refusal."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = _believed(scope)
        self._tell_of_a_lost_host(Headers(scope=scope))
        if refusal := self._refusal(scope, Headers(scope=scope)):
            status, words = refusal
            headers = {"Retry-After": "30"} if status == 429 else None
            await PlainTextResponse(words, status, headers)(scope, receive, send)
            return
        if scope["method"] == "HEAD" and PAGES.fullmatch(path_of(scope)):
            # Gradio looks this way, and for three seconds only, whether it is there; to draw the page takes longer on
            # a machine on which an engine is starting.
            await HTMLResponse("")(scope, receive, send)
            return
        address = address_of(scope)
        if not (self._public and path_of(scope).startswith(("/gradio_api/queue/data", "/gradio_api/heartbeat"))):
            await self._passed(scope, receive, self._known(scope, send))
            return
        self._streams[address] = self._streams.get(address, 0) + 1
        try:
            await self._passed(scope, receive, send)
        finally:
            self._streams[address] -= 1
            if not self._streams[address]:
                del self._streams[address]

    def _tell_of_a_lost_host(self, headers: Headers) -> None:
        """Says once in the log that a proxy keeps the Host to itself: the page then sends its calls elsewhere."""
        asked = _asked_of(headers)
        if asked is None or asked in _own(headers) or self._told:
            return
        self._told = True
        log.warning(
            "A browser asked %s, but the proxy passes on the header Host as %s, so the page cannot work: let it pass "
            "on what the browser sent (nginx: proxy_set_header Host $http_host;).",
            asked[:100], headers.get("host", "")[:100],
        )  # fmt: skip

    async def _passed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on; one that breaks Gradio, such as a call of what is not there, is a bad request."""
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, in_time(receive) if scope["method"] == "POST" else receive, noting)
        except SlowBodyError:
            if not started:
                await PlainTextResponse("Request Timeout", 408, {"Connection": "close"})(scope, receive, send)
        except Exception as problem:
            # Without its message: that holds what the visitor sent.
            log.warning("%s %s was refused: %s", scope["method"], path_of(scope)[:80], type(problem).__name__)
            if not started:
                await PlainTextResponse("Bad Request", 400)(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        path, method = path_of(scope), str(scope["method"])
        if not OPEN.fullmatch(path) or ELSEWHERE.match(path) or ".." in re.split(r"[/\\]", path):
            return 404, "Not Found"
        if method not in METHODS:
            return 405, "Method Not Allowed"
        if not _same_site(headers):
            return 403, "Requests from other sites are refused."
        if method == "POST" and (refusal := self._body_refusal(path, headers)):
            return refusal
        return self._rate_refusal(path, method, address_of(scope)) if self._public else None

    def _body_refusal(self, path: str, headers: Headers) -> tuple[int, str] | None:
        if "transfer-encoding" in headers:
            # Nobody knows how much is still coming, whatever length is named beside it; browsers always send a length.
            return 411, "Length Required"
        length = headers.get("content-length", "")
        if not length.isdecimal():
            return None
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
        if not self._public or not PAGES.fullmatch(path_of(scope)) or known(_cookie(Headers(scope=scope))):
            return send
        # Hosting services show the page in a frame of their own site: there only such a cookie is kept.
        rest = "SameSite=None; Secure; Partitioned" if scope["scheme"] == "https" else "SameSite=Lax"
        cookie = f"{COOKIE}={new_cookie()}; Path=/; HttpOnly; {rest}".encode()

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"set-cookie", cookie)]
            await send(message)

        return marked


def _cookie(headers: Headers) -> str | None:
    return cookie_parser(headers.get("cookie", "")).get(COOKIE)


def _believed(scope: Scope) -> Scope:
    """Returns the scope without what it says of the Host in front of a proxy, unless a trusted proxy says so.

    Uvicorn takes the address that a proxy reports from trusted ones alone: then it is no longer the peer's.
    """
    peer = scope.get("state", {}).get(PEER)
    if peer is not None and scope.get("client") != peer:
        return scope
    return {**scope, "headers": [each for each in scope["headers"] if each[0] != b"x-forwarded-host"]}


def _same_site(headers: Headers) -> bool:
    """Returns whether a request comes from this page, or from no page at all, as a script's does."""
    origin = headers.get("origin")
    if origin is None:
        return True
    return urlsplit(origin).netloc in _own(headers)


def _own(headers: Headers) -> set[str]:
    return {headers.get("host", ""), headers.get("x-forwarded-host", "")} - {""}


def _asked_of(headers: Headers) -> str | None:
    """Returns the host that a browser asked, where it says that its own page did so; else None."""
    if headers.get("sec-fetch-site") != "same-origin":
        return None
    return urlsplit(headers.get("origin") or headers.get("referer", "")).netloc or None
