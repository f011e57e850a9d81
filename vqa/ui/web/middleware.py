"""What happens to a request before Gradio sees it: the first language, and headers that keep the page to itself."""

from __future__ import annotations

import gzip
import re
from collections import OrderedDict
from functools import lru_cache
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse

from vqa.text import LANGUAGES, Language, pick_language
from vqa.ui.web.asgi import App, Message, Receive, Scope, Send

COOKIE = "vqa-language"
PAGES_KEPT = 8
"""In two languages, packed and not, under the few names that a machine has."""
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


THEME = re.compile(rb'"theme_hash": ?"(\w+)"')


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

    def __init__(self, app: App, *, configured: str, head: str, rules: str = "") -> None:
        """`configured` is `auto` or a language; `head` is HTML for the beginning of <head>, `rules` for its end."""
        self._app = app
        self._configured = configured
        self._head, self._rules = head.encode(), rules.encode()

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
        packed = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        await self._app(scope, receive, _Completing(send, self._head, self._rules, wanted, packed))

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


class DrawnOnce:
    """Keeps the page as Gradio draws it, which takes it longer than all else that it does for a visitor, and is the
    same for everybody who asks under one name. Right before Gradio, so that whoever is refused or counted still is.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._kept: OrderedDict[tuple[str, ...], list[Message]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or passes the request on; what names a state of its own is always drawn anew."""
        page = _page(scope)
        if page is None or b"deep_link" in scope.get("query_string", b""):
            await self._app(scope, receive, send)
            return
        key = (page, str(scope["path"]), str(scope.get("root_path")), str(scope.get("scheme")), *_names(scope))
        if kept := self._kept.get(key):
            self._kept.move_to_end(key)
            for message in kept:
                await send(dict(message))
            return
        seen: list[Message] = []

        async def noted(message: Message) -> None:
            seen.append(dict(message))
            await send(message)

        await self._app(scope, receive, noted)
        if seen and seen[0].get("status") == 200 and "set-cookie" not in Headers(raw=seen[0]["headers"]):
            self._kept[key] = seen
            while len(self._kept) > PAGES_KEPT:
                self._kept.popitem(last=False)


def _names(scope: Scope) -> tuple[str, ...]:
    """Returns all by which Gradio finds out under which address it is seen."""
    headers = Headers(scope=scope)
    return tuple(f"{name}: {value}" for name, value in headers.items() if name == "host" or "forwarded" in name)


class _Completing:
    """Collects an HTML response, puts our head into it, names its language, and packs it where the browser unpacks."""

    def __init__(self, send: Send, head: bytes, rules: bytes, lang: str, packed: bool) -> None:
        self._send, self._lang, self._packed = send, lang, packed
        self._around = head, rules
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
        body = _completed(bytes(self._body), *self._around, tag, self._packed)
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["content-length"] = str(len(body))
        headers["vary"] = "accept-encoding, accept-language, cookie"
        if self._packed:
            headers["content-encoding"] = "gzip"
        headers["cache-control"] = "no-store"
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})


@lru_cache(maxsize=PAGES_KEPT)
def _completed(body: bytes, head: bytes, rules: bytes, tag: str, packed: bool) -> bytes:
    """Returns the page as it is sent; kept, since it is the same for everybody who asks in the same words."""
    theme = THEME.search(body)  # Gradio asks for it once it has read the page, and draws nothing before it has come
    head += b'<link rel="preload" as="style" href="./theme.css?v=%b">' % theme[1] if theme else b""
    whole = body.replace(b"<head>", b"<head>" + head, 1).replace(b"</head>", rules + b"</head>", 1)
    whole = whole.replace(b'lang="en"', f'lang="{tag}"'.encode(), 1)
    return gzip.compress(whole, 6, mtime=0) if packed else whole
