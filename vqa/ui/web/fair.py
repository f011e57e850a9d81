"""What one visitor of a public demo may take from the others: places in the queue, remembered tabs, room, files."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from starlette.responses import PlainTextResponse

from vqa.answers import Json
from vqa.errors import InputError
from vqa.ui.web.asgi import App, Message, Receive, Scope, Send, body_of, path_of, sender
from vqa.ui.web.folder import PageFolder, owned
from vqa.ui.web.visitors import ADDRESS_SHARE, Visitor, Visitors, network_of, visitor_of

WAITING_EACH = 8
"""Events of one visitor that may wait in the queue; those behind one address together five times that."""
SESSIONS = 100
"""Browser tabs whose state is kept; every reload is a new one, and Gradio keeps about 1.8 MB of settings for each."""
EVENTS = re.compile(r"/gradio_api/(queue/join|run/[^/]+)/?")
UPLOADS = re.compile(r"/gradio_api/(upload|component_server)/?")
FILES = "/gradio_api/file="
HERE = "/gradio_api/heartbeat/"
"""A stream that is open as long as a tab is."""
LEFT_SECONDS = 600.0
"""After a visitor's last tab is closed what they left is deleted; a phone that is put away for a while comes back."""
ANSWER_AT_MOST = 100_000


class Sessions:
    """Remembers whose tabs the server keeps; when there are too many, whoever has most loses their oldest."""

    def __init__(self, most: int = SESSIONS) -> None:
        self._most = most
        self._owners: OrderedDict[str, str] = OrderedDict()

    def seen(self, session: str, address: str) -> str | None:
        """Notes that a tab is in use; returns one that is to be forgotten, or None."""
        self._owners.setdefault(session, address)
        self._owners.move_to_end(session)
        if len(self._owners) <= self._most:
            return None
        crowd = Counter(self._owners.values()).most_common(1)[0][0]
        oldest = next(each for each, owner in self._owners.items() if owner == crowd)
        del self._owners[oldest]
        return oldest


class Fair:
    """Refuses what would be taken from other visitors, before Gradio keeps any of it."""

    def __init__(self, app: App, *, visitors: Visitors, most: int, folder: Callable[[], PageFolder] = owned) -> None:
        """`most` is the largest body of an event, in bytes."""
        self._app, self._visitors, self._most, self._folder = app, visitors, most, folder
        self._sessions = Sessions()
        self._present: Counter[Visitor] = Counter()
        self._leaving: dict[Visitor, asyncio.TimerHandle] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it with a refusal."""
        path = path_of(scope) if scope["type"] == "http" else ""
        if path.startswith(FILES):
            await self._file(scope, receive, send, unquote(path.removeprefix(FILES)))
        elif UPLOADS.fullmatch(path) and scope["method"] == "POST":
            await self._upload(scope, receive, send)
        elif EVENTS.fullmatch(path) and scope["method"] == "POST":
            await self._event(scope, receive, send)
        elif path.startswith(HERE):
            await self._here(scope, receive, send, path.removeprefix(HERE).strip("/"))
        else:
            await self._app(scope, receive, send)

    async def _here(self, scope: Scope, receive: Receive, send: Send, session: str) -> None:
        guest = sender(scope, session)
        if handle := self._leaving.pop(guest, None):
            handle.cancel()
        self._present[guest] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._present[guest] -= 1
            if not self._present[guest]:
                del self._present[guest]
                loop = asyncio.get_running_loop()
                self._leaving[guest] = loop.call_later(LEFT_SECONDS, self._left, loop, guest)

    def _left(self, loop: asyncio.AbstractEventLoop, guest: Visitor) -> None:
        del self._leaving[guest]
        for visitor in {guest, Visitor("", guest.address)} if not self._others_at(guest) else {guest}:
            loop.run_in_executor(None, self._folder().forget, visitor)

    def _others_at(self, guest: Visitor) -> bool:
        return any(other.address == guest.address for other in self._present)

    async def _file(self, scope: Scope, receive: Receive, send: Send, wanted: str) -> None:
        if self._folder().may_open(wanted.strip(), sender(scope)):
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse("Forbidden", 403)(scope, receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        guest, folder = sender(scope), self._folder()
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        try:
            self._visitors.store(int(announced), guest)
        except InputError as problem:
            words = f"{problem.message()} {problem.hint()}"
            await PlainTextResponse(words, 413, {"Retry-After": "300"})(scope, receive, send)
            return
        answer = bytearray()

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.body" and len(answer) < ANSWER_AT_MOST:
                answer.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    folder.note_uploads(_paths_in(bytes(answer)), guest)
            await send(message)

        # As it was, not compressed: who uploaded what is read from it.
        headers = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        await self._app({**scope, "headers": headers}, receive, noting)

    async def _event(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = await body_of(receive, self._most)
        if found is None:
            await PlainTextResponse(f"At most {self._most} bytes are accepted.", 413)(scope, receive, send)
            return
        body, again = found
        try:
            event = json.loads(body)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            await PlainTextResponse("Bad Request", 400)(scope, receive, send)
            return
        session = str(event.get("session_hash") or "")
        guest, folder = sender(scope, session), self._folder()
        owner = sender(scope)  # an upload knows no tab
        if not all(folder.may_open(path, owner) for path in _files_of(event.get("data"))):
            await PlainTextResponse("Forbidden", 403)(scope, receive, send)
            return
        app = scope.get("app")
        if "queue/join" in path_of(scope) and _waits_too_often(app, guest):
            await PlainTextResponse("Too much of yours is waiting; try again in a minute.", 429)(scope, receive, send)
            return
        forgotten = self._sessions.seen(session, guest.address) if session else None
        if forgotten is not None and app is not None:
            with app.state_holder.lock:
                app.state_holder.session_data.pop(forgotten, None)
                app.state_holder.time_last_used.pop(forgotten, None)
        await self._app(scope, again, send)


def _waits_too_often(app: Any, guest: Visitor) -> bool:
    """Returns whether as much of a visitor's is waiting in Gradio's queue as may."""
    waiting: Counter[str] = Counter()
    for queue in app.get_blocks()._queue.event_queue_per_concurrency_id.values():
        for event in queue.queue:
            host = event.request.client.host if event.request.client else ""
            other = visitor_of(event.request.cookies, host, event.session_hash)
            waiting.update((f"v {other.id}", f"a {network_of(host)}"))
    return waiting[f"v {guest.id}"] >= WAITING_EACH or waiting[f"a {guest.address}"] >= WAITING_EACH * ADDRESS_SHARE


def _paths_in(answer: bytes) -> list[str]:
    try:
        found = json.loads(answer)
    except ValueError:
        return []
    return [path for path in found if isinstance(path, str)] if isinstance(found, list) else []


def _files_of(data: Json) -> Iterator[str]:
    """Yields the path of every file that an event's data names, however deep."""
    below = [data]
    while below:
        value = below.pop()
        if isinstance(value, dict):
            if isinstance(value.get("path"), str):
                yield value["path"]
            below.extend(value.values())
        elif isinstance(value, list):
            below.extend(value)
