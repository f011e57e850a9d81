"""The door of a page with a password: what it does not open to, and how often one may try."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse

from vqa.markup import Markup, html
from vqa.text import Language, t
from vqa.ui.web.asgi import PAGES, App, Message, Receive, Scope, Send, address_of, path_of

FREE_ATTEMPTS = 5
LONGEST_WAIT = 900.0
FORGOTTEN_AFTER = 3600.0
ADDRESSES_AT_MOST = 20_000
OPEN_API = re.compile(r"/gradio_api/(login_check|theme\.css)/?")


@dataclass
class _Tries:
    count: int = 0
    last: float = 0.0
    until: float = 0.0


class Attempts:
    """Wrong passwords of each address: after a few, each next one costs twice the wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tries: OrderedDict[str, _Tries] = OrderedDict()

    def wait(self, address: str) -> float:
        """Returns the seconds until an address may try again."""
        tries = self._tries.get(address)
        return 0.0 if tries is None else max(0.0, tries.until - self._clock())

    def begin(self, address: str) -> None:
        """Counts an attempt as wrong, before it is known, so that many at once are no way round."""
        now = self._clock()
        tries = self._tries.setdefault(address, _Tries())
        self._tries.move_to_end(address)
        tries.count = 1 if now - tries.last > FORGOTTEN_AFTER else tries.count + 1
        tries.last = now
        if tries.count >= FREE_ATTEMPTS:
            tries.until = now + min(2.0 ** min(tries.count - FREE_ATTEMPTS + 1, 20), LONGEST_WAIT)
        while len(self._tries) > ADDRESSES_AT_MOST:
            self._tries.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forgets an address's attempts."""
        self._tries.pop(address, None)


class Door:
    """Lets in who has logged in, and others as far as the login."""

    def __init__(self, app: App, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._attempts = Attempts(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it with a refusal."""
        if scope["type"] != "http" or logged_in(scope):
            await self._app(scope, receive, send)
            return
        path, address = path_of(scope), address_of(scope)
        seconds = round(self._attempts.wait(address) + 0.5)
        if path.startswith("/gradio_api/") and not OPEN_API.fullmatch(path) and not _starting(scope, path):
            await PlainTextResponse("Unauthorized", 401)(scope, receive, send)
        elif seconds and PAGES.fullmatch(path):
            page = HTMLResponse(wait_page(seconds, "zh" if path.strip("/") == "zh" else "en"), 429)
            page.headers.update({"Retry-After": str(seconds), "Refresh": str(seconds)})
            await page(scope, receive, send)
        elif path.rstrip("/") == "/login" and scope["method"] == "POST":
            await self._try(scope, receive, send, seconds)
        else:
            await self._app(scope, receive, send)

    async def _try(self, scope: Scope, receive: Receive, send: Send, seconds: int) -> None:
        address = address_of(scope)
        if seconds:
            words = f"Too many wrong passwords; try again in {seconds} s."
            await PlainTextResponse(words, 429, {"Retry-After": str(seconds)})(scope, receive, send)
            return
        self._attempts.begin(address)

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                self._attempts.succeeded(address)
            await send(message)

        await self._app(scope, receive, noting)


def _starting(scope: Scope, path: str) -> bool:
    """Returns whether this is Gradio's own first request, by which it starts what the page needs; it comes once."""
    app: Any = scope["app"]
    return path.rstrip("/") == "/gradio_api/startup-events" and not app.startup_events_triggered


def logged_in(scope: Scope) -> bool:
    """Returns whether a request carries the token that Gradio gave for the password."""
    app: Any = scope["app"]
    cookies = HTTPConnection(scope).cookies
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return any(cookies.get(name) in app.tokens for name in names if cookies.get(name))


def wait_page(seconds: int, language: Language) -> Markup:
    """Returns the page that stands in the login's place while an address has to wait."""
    title, words = t("ui.login_wait_title", language), t("ui.login_wait", language, seconds=seconds)
    style = "font:16px system-ui;max-width:32rem;margin:20vh auto;padding:0 1rem"
    return html(
        '<!doctype html><html lang="{}" style="color-scheme:light dark"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>{}</title></head>'
        '<body style="{}"><h1>{}</h1><p role="status">{}</p></body></html>',
        language, title, style, title, words,
    )  # fmt: skip
