"""Who asks in a public demo, how much each may ask, and whose a run is; all in memory, and without a demo no limit."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from vqa.errors import InputError
from vqa.settings import Settings

COOKIE = "vqa-visitor"
ANSWERS_AT_ONCE = 64
ADDRESS_SHARE = 5
"""How many visitors' worth an address may ask: an office is one address, and a cookie is thrown away quickly."""
WINDOW_SECONDS = 60.0
KEYS_AT_MOST = 20_000


@dataclass(frozen=True)
class Visitor:
    """One visitor: `id` is a secret between us and the browser, `address` is where the browser is."""

    id: str
    address: str


def network_of(host: str) -> str:
    """Returns what counts as one address: an IPv4 address, or the /64 network that one IPv6 customer is given."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def current_visitor() -> Visitor | None:
    """Returns whose event is being handled; None outside of events."""
    request: gr.Request | None = LocalContext.request.get(None)
    if request is None:
        return None
    cookie = request.cookies.get(COOKIE) if hasattr(request, "cookies") else None
    host = request.client.host if getattr(request, "client", None) else ""
    return Visitor(cookie or request.session_hash or "", network_of(host or ""))


class Window:
    """Counts what each key did within the last minute; safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._times: dict[str, deque[float]] = {}

    def take(self, limits: dict[str, int]) -> float:
        """Counts once for every key and returns 0.0; at a limit counts nothing and returns the seconds to wait."""
        now = self._clock()
        with self._lock:
            self._forget(now)
            waits = [self._wait(key, limit, now) for key, limit in limits.items()]
            if any(waits):
                return max(waits)
            for key in limits:
                self._times.setdefault(key, deque()).append(now)
            return 0.0

    def _wait(self, key: str, limit: int, now: float) -> float:
        times = self._times.get(key)
        while times and times[0] <= now - WINDOW_SECONDS:
            times.popleft()
        return 0.0 if not times or len(times) < limit else times[0] + WINDOW_SECONDS - now

    def _forget(self, now: float) -> None:
        if len(self._times) < KEYS_AT_MOST:
            return
        self._times = {key: times for key, times in self._times.items() if times and times[-1] > now - WINDOW_SECONDS}
        if len(self._times) >= KEYS_AT_MOST:
            self._times.clear()  # nobody has this many real visitors: rather forget than grow


class Visitors:
    """Admits requests, one visitor's at a time, and remembers whose runs are whose."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._window = Window(clock)
        self._lock = threading.Lock()
        self._busy: dict[str, int] = {}
        self._runs: dict[str, tuple[str, float]] = {}

    def admit(self) -> None:
        """Counts a request of the current visitor.

        Raises:
            InputError: there were too many within the last minute.
        """
        visitor = current_visitor() if self._settings.public else None
        if visitor is None:
            return
        most = self._settings.public_requests_per_minute
        seconds = self._window.take({f"v {visitor.id}": most, f"a {visitor.address}": most * ADDRESS_SHARE})
        if seconds:
            raise InputError("visitor_rate", limit=most, seconds=max(1, round(seconds)))

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Counts a request of the current visitor and holds one of the visitor's places while it lasts.

        Raises:
            InputError: too many within the last minute, or too many at a time.
        """
        give_back = self.take_place()
        try:
            self.admit()
            yield
        finally:
            give_back()

    def take_place(self) -> Callable[[], None]:
        """Takes one of the current visitor's places; returns how to give it back, once.

        Raises:
            InputError: the visitor has none left.
        """
        visitor = current_visitor() if self._settings.public else None
        if visitor is None:
            return lambda: None
        most = self._settings.public_concurrent
        limits = {f"v {visitor.id}": most, f"a {visitor.address}": most * ADDRESS_SHARE}
        with self._lock:
            if any(self._busy.get(key, 0) >= limit for key, limit in limits.items()):
                raise InputError("visitor_busy", limit=most)
            for key in limits:
                self._busy[key] = self._busy.get(key, 0) + 1
        left = list(limits)

        def give_back() -> None:
            with self._lock:
                while left:
                    key = left.pop()
                    self._busy[key] -= 1
                    if not self._busy[key]:
                        del self._busy[key]

        return give_back

    def check_pictures(self, count: int) -> None:
        """Checks how many pictures a conversation holds.

        Raises:
            InputError: more than a visitor may send.
        """
        if self._settings.public and count > self._settings.public_max_pictures:
            raise InputError("too_many_pictures", limit=self._settings.public_max_pictures)

    def own(self, run_id: str, visitor: Visitor | None) -> None:
        """Notes that a run is a visitor's."""
        with self._lock:
            self._runs[run_id] = (visitor.id if visitor else "", self._clock())

    def owns(self, run_id: str) -> bool:
        """Returns whether a run is the current visitor's."""
        visitor, (owner, _) = current_visitor(), self._runs.get(run_id, ("", 0.0))
        return visitor is not None and bool(owner) and owner == visitor.id

    def expired(self) -> list[str]:
        """Returns the runs that are older than they may grow, and forgets whose they were."""
        oldest = self._clock() - 60 * self._settings.public_keep_minutes
        with self._lock:
            found = [run_id for run_id, (_, began) in self._runs.items() if began < oldest]
            for run_id in found:
                del self._runs[run_id]
        return found


def waiting(settings: Settings, kind: str, shown_on: gr.components.Component) -> dict[str, Any]:
    """Returns how an event that asks the model waits for its turn, as keyword arguments of an event listener.

    In a public demo the answers of all visitors share a few places, and their runs one; `shown_on` says how many are
    before the visitor.
    """
    if not settings.public:
        return {"concurrency_limit": ANSWERS_AT_ONCE, "concurrency_id": kind}
    places = 1 if kind == "run" else settings.public_at_once
    return {"concurrency_limit": places, "concurrency_id": kind} | {
        "show_progress": "minimal",
        "show_progress_on": shown_on,
    }
