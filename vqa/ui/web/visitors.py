"""Who asks in a public demo, how much each may ask, and whose a run is; all in memory, and without a demo no limit."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
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
READ_PER_MINUTE = 120
"""Pictures of one visitor that are decoded to be shown, beside those that are asked about."""
READ_AT_ONCE, READ_AT_ONCE_OF_ADDRESS = 2, 4
PICTURE_EVENTS = 2 * READ_AT_ONCE_OF_ADDRESS
"""Events at a time that decode pictures only to show them: one address cannot hold all."""
SECRET = secrets.token_bytes(32)
"""Of this process: what it signed is its own, and nobody else can name a visitor."""


@dataclass(frozen=True)
class Visitor:
    """One visitor: `id` is a secret between us and the browser, `address` is where the browser is."""

    id: str
    address: str

    @property
    def token(self) -> str:
        """What the visitor's folder is called: the same for one visitor, and found by no other."""
        return _signature(f"folder {self.id}" if self.id else f"folder of {self.address}")


def new_cookie() -> str:
    """Returns the value of a new visitor's cookie."""
    name = secrets.token_urlsafe(24)
    return f"{name}.{_signature(name)}"


def known(cookie: str | None) -> str:
    """Returns the visitor's id that a cookie of ours holds; empty for any other."""
    name, _, signature = (cookie or "").partition(".")
    return name if name and hmac.compare_digest(signature.encode(), _signature(name).encode()) else ""


def _signature(text: str) -> str:
    return hmac.new(SECRET, text.encode(), hashlib.sha256).hexdigest()[:32]


def visitor_of(cookies: Mapping[str, str], host: str, session: str = "") -> Visitor:
    """Returns who sends a request; without a cookie of ours a browser tab is a visitor."""
    return Visitor(known(cookies.get(COOKIE)) or session, network_of(host))


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
    cookies = request.cookies if hasattr(request, "cookies") else {}
    host = request.client.host if getattr(request, "client", None) else ""
    return visitor_of(cookies, host or "", request.session_hash or "")


class Window:
    """Counts what each key did within the last minute, or another time; safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, seconds: float = WINDOW_SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._lock = threading.Lock()
        self._times: dict[str, deque[tuple[float, int]]] = {}
        self._sums: dict[str, int] = {}

    def take(self, limits: dict[str, int], amount: int = 1) -> float:
        """Counts for every key and returns 0.0; over a limit counts nothing and returns the seconds to wait."""
        now = self._clock()
        with self._lock:
            self._forget(now)
            waits = [self._wait(key, limit - amount, now) for key, limit in limits.items()]
            if any(waits):
                return max(waits)
            for key in limits:
                self._times.setdefault(key, deque()).append((now, amount))
                self._sums[key] = self._sums.get(key, 0) + amount
            return 0.0

    def _wait(self, key: str, room: int, now: float) -> float:
        """Returns the seconds until no more than `room` is counted for a key."""
        times = self._times.get(key) or deque()
        while times and times[0][0] <= now - self._seconds:
            self._sums[key] -= times.popleft()[1]
        over = self._sums.get(key, 0) - room
        if over <= 0:
            return 0.0
        for began, amount in times:
            over -= amount
            if over <= 0:
                return began + self._seconds - now
        return self._seconds  # more at once than is ever allowed

    def _forget(self, now: float) -> None:
        if len(self._times) < KEYS_AT_MOST:
            return
        kept = {key for key, times in self._times.items() if times and times[-1][0] > now - self._seconds}
        if len(kept) >= KEYS_AT_MOST:
            kept = set()  # nobody has this many real visitors: rather forget than grow
        self._times = {key: self._times[key] for key in kept}
        self._sums = {key: self._sums[key] for key in kept}


class Visitors:
    """Admits requests, one visitor's at a time, and remembers whose runs are whose."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._window = Window(clock)
        self._stored = Window(clock, 60 * settings.public_keep_minutes)
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
        return self._hold({f"v {visitor.id}": most, f"a {visitor.address}": most * ADDRESS_SHARE}, most)

    def _hold(self, limits: dict[str, int], told: int) -> Callable[[], None]:
        with self._lock:
            if any(self._busy.get(key, 0) >= limit for key, limit in limits.items()):
                raise InputError("visitor_busy", limit=told)
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

    @contextmanager
    def reading(self, pictures: int = 1) -> Iterator[None]:
        """Counts pictures that are decoded for the current visitor, and holds a place for it while it lasts.

        Raises:
            InputError: too many within the last minute, or too many at a time.
        """
        visitor = current_visitor() if self._settings.public else None
        if visitor is None:
            yield
            return
        limits = {f"pv {visitor.id}": READ_PER_MINUTE, f"pa {visitor.address}": READ_PER_MINUTE * ADDRESS_SHARE}
        if seconds := self._window.take(limits, max(1, pictures)):
            raise InputError("pictures_rate", limit=READ_PER_MINUTE, seconds=max(1, round(seconds)))
        most = {f"rv {visitor.id}": READ_AT_ONCE, f"ra {visitor.address}": READ_AT_ONCE_OF_ADDRESS}
        give_back = self._hold(most, READ_AT_ONCE)
        try:
            yield
        finally:
            give_back()

    def store(self, size: int, visitor: Visitor | None = None) -> None:
        """Counts bytes that are kept as a file for a visitor, the current one if none is named, until they are deleted.

        Raises:
            InputError: the visitors, or those behind this address, have filled what there is.
        """
        visitor = visitor or current_visitor()
        if not self._settings.public or visitor is None:
            return
        most = self._settings.public_max_stored_bytes
        if self._stored.take({"all": most, f"a {visitor.address}": most // ADDRESS_SHARE}, size):
            raise InputError("storage_full")

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
