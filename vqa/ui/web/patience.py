"""How long a client may take to say what it wants: a request that is never finished must not hold a place."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from types import SimpleNamespace
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEADER_SECONDS = 10.0
BODY_PAUSE_SECONDS = 10.0
BODY_BYTES_PER_SECOND = 4_000
"""Slower than any line that a picture would be sent over; counted after the first pause."""
START_SECONDS = 60.0
PEER = "vqa-peer"
"""Where a request's scope says who is really at the other end, whatever its headers say."""

_Protocol: Any = AutoHTTPProtocol
"""One of two classes without a common base, by what is installed."""


class PatientProtocol(_Protocol):  # type: ignore[misc]
    """Uvicorn's protocol, which has no limit for headers, with one."""

    _late: asyncio.TimerHandle | None = None
    app_state: dict[str, Any]

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begins to wait for the first request."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, PEER: self.client}
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Takes bytes, and goes on waiting unless the request is complete up to its body."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no longer."""
        self._calm()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._calm()
        elif self._late is None:
            self._late = asyncio.get_running_loop().call_later(HEADER_SECONDS, self._give_up)

    def _calm(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class SlowBodyError(Exception):
    """A request's body takes too long to come."""


def in_time(receive: Any) -> Any:
    """Returns a `receive` that raises SlowBodyError when a request's body pauses or trickles."""
    began, taken, complete = time.monotonic(), 0, False

    async def receiving() -> Any:
        nonlocal taken, complete
        if complete:
            return await receive()  # what comes now is that the client has gone
        try:
            message = await asyncio.wait_for(receive(), BODY_PAUSE_SECONDS)
        except TimeoutError as problem:
            raise SlowBodyError from problem
        if message["type"] != "http.request":
            return message
        taken += len(message.get("body", b""))
        complete = not message.get("more_body", False)
        late = time.monotonic() - began - BODY_PAUSE_SECONDS
        if not complete and late > 0 and taken < late * BODY_BYTES_PER_SECOND:
            raise SlowBodyError
        return message

    return receiving


def be_patient() -> None:
    """Lets Gradio's server, which takes no such options, speak HTTP by the protocol above and start slowly.

    Gradio gives its server five seconds, then looks for three whether it answers; with an engine starting on the same
    cores it may take longer. That it answers is known by then: Gradio has asked it for the page's first events.
    """
    import gradio.http_server
    import gradio.networking
    from gradio.exceptions import ServerFailedToStartError

    class Server(gradio.http_server.Server):
        def run_in_thread(self) -> None:
            self.thread = threading.Thread(target=self.run, daemon=True)
            self.thread.start()
            end = time.monotonic() + START_SECONDS
            while not self.started and self.thread.is_alive():
                if time.monotonic() > end:
                    raise ServerFailedToStartError
                time.sleep(0.005)
            if not self.started:
                raise OSError("the server ended before it had started")

    config = partial(uvicorn.Config, http=PatientProtocol)
    vars(gradio.http_server)["uvicorn"] = SimpleNamespace(**{**vars(uvicorn), "Config": config})
    vars(gradio.http_server)["Server"] = Server
    vars(gradio.networking)["url_ok"] = lambda _: True
