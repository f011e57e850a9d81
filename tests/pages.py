"""One page for the browser tests of a module, one after the other: opened before, it loads at half the cost.

What a test leaves behind is undone before the next; a page on which a test did what cannot be undone is let go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, Error, Page

SIZE = {"width": 1280, "height": 800}
PATIENCE = 30_000.0
"""Milliseconds for which Playwright waits where nobody says otherwise."""
STAYS = {
    "page": ("add_init_script", "expose_binding", "expose_function", "route", "set_extra_http_headers", "on", "once"),
    "context": (
        "add_cookies", "add_init_script", "clear_permissions", "close", "expose_binding", "expose_function",
        "grant_permissions", "new_cdp_session", "new_page", "on", "once", "route", "set_default_timeout",
        "set_extra_http_headers", "set_geolocation", "set_offline",
    ),
}  # fmt: skip
"""What Playwright offers and cannot be undone, or only by whoever did it."""


class KeptPage:
    """Hands out an English page of 1280×800 in which nothing is left of the test before."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._page: Page | None = None
        self._marked: list[str] = []

    def take(self) -> Page:
        """Returns the page, which is made where there is none."""
        if self._page is None:
            context = self._browser.new_context(viewport=SIZE, locale="en-US")  # type: ignore[arg-type]
            self._page, self._marked = context.new_page(), []
        return self._page

    def watch(self) -> None:
        """From now on notes what a test does that stays."""
        assert self._page is not None
        for thing, names in ((self._page, STAYS["page"]), (self._page.context, STAYS["context"])):
            for name in names:
                setattr(thing, name, self._noted(name, getattr(thing, name)))

    def _noted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any, **named: Any) -> Any:
            self._marked.append(name)
            return method(*values, **named)

        return call

    def give_back(self, *, failed: bool) -> None:
        """Undoes what the test did, or closes the page where that cannot be."""
        page = self._page
        assert page is not None
        if failed or self._marked or page.is_closed() or len(page.context.pages) != 1:
            self.close()
            return
        for thing, names in ((page, STAYS["page"]), (page.context, STAYS["context"])):
            for name in names:
                delattr(thing, name)
        try:
            self._forget(page)
        except Error:  # it is busy, or asks whether it may be left
            self.close()

    @staticmethod
    def _forget(page: Page) -> None:
        page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
        origin = page.evaluate("location.origin")
        page.goto("about:blank")
        page.context.clear_cookies()
        session = page.context.new_cdp_session(page)
        session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
        session.detach()
        page.set_viewport_size(SIZE)  # type: ignore[arg-type]
        page.emulate_media(media="null", color_scheme="null", reduced_motion="null", forced_colors="null")
        page.set_default_timeout(PATIENCE)
        page.set_default_navigation_timeout(PATIENCE)

    def close(self) -> None:
        """Closes the page with all that it keeps; the next one is a new one."""
        page, self._page = self._page, None
        if page is not None:
            type(page.context).close(page.context)
