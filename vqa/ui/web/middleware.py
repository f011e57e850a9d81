"""What happens to a request before Gradio sees it: the first language, and headers that keep the page to itself."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse

from vqa.text import LANGUAGES, Language, pick_language
from vqa.ui.web.asgi import App, Message, Receive, Scope, Send

COOKIE = "vqa-language"
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    )
)
"""Nothing from another origin: a picture address in a model's answer must not tell anybody who reads it."""


class PageHeaders:
    """Adds the response headers that keep the page to itself."""

    def __init__(self, app: App, *, framed: bool) -> None:
        """`framed` lets other sites show the page in a frame, as hosting services do."""
        self._app = app
        policy = POLICY if framed else f"{POLICY}; frame-ancestors 'self'"
        self._headers = {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on and marks its response."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, marked if scope["type"] == "http" else send)


class FirstLanguage:
    """Sends a visitor to the page of the chosen language, else the browser's first; puts our script first into it."""

    def __init__(self, app: App, *, configured: str, head: str) -> None:
        """`configured` is `auto` or a language; `head` is HTML for the beginning of <head>."""
        self._app = app
        self._configured = configured
        self._head = head.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers with a redirect, or passes the request on and completes the page that comes back."""
        page = _page(scope)
        if page is None:
            await self._app(scope, receive, send)
            return
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("lang", [""])[0]
        wanted = asked if asked in LANGUAGES else self._wanted(scope, page)
        if wanted != page:
            query = f"?{scope['query_string'].decode('latin-1')}" if scope.get("query_string") else ""
            target = "zh" if wanted == "zh" else "./"
            await RedirectResponse(f"{target}{query}", headers={"vary": "accept-language, cookie"})(
                scope, receive, send
            )
            return
        await self._app(scope, receive, _Completing(send, self._head, wanted))

    def _wanted(self, scope: Scope, page: Language) -> str:
        """Returns the language for an address that names none; `/zh` itself names one."""
        if page == "zh":
            return page
        headers = Headers(scope=scope)
        chosen = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        if chosen in LANGUAGES:
            return chosen
        configured = None if self._configured == "auto" else self._configured
        return pick_language(configured or headers.get("accept-language"))


def _page(scope: Scope) -> Language | None:
    """Returns which page a request is for, or None when it is for something else."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    path = str(scope["path"]).removeprefix(str(scope.get("root_path") or "")).strip("/")
    return "en" if not path else "zh" if path == "zh" else None


class _Completing:
    """Collects an HTML response, puts our head into it and names its language."""

    def __init__(self, send: Send, head: bytes, lang: str) -> None:
        self._send, self._head, self._lang = send, head, lang
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        """Takes one message of the response."""
        if message["type"] == "http.response.start":
            if not Headers(raw=message["headers"]).get("content-type", "").startswith("text/html"):
                await self._send(message)
                return
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._finish(self._start)

    async def _finish(self, start: Message) -> None:
        tag = "zh-CN" if self._lang == "zh" else "en"
        body = bytes(self._body).replace(b"<head>", b"<head>" + self._head, 1)
        body = body.replace(b'lang="en"', f'lang="{tag}"'.encode(), 1)
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["content-length"] = str(len(body))
        headers["vary"] = "accept-language, cookie"
        headers["cache-control"] = "no-store"
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})
