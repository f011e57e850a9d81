"""Sends a request and hands over its reply in blocks; every fault of the way is a `WayError`.

aiohttp and not the OpenAI client's own httpx: sixty-four streams at a time, each of small pieces, cost it a fifth of
the processor time, which on a small machine is taken from the engine.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Coroutine, Mapping
from http import HTTPStatus

import aiohttp

import vqa
from vqa.client.address import proxy_for, tls_context

IDLE_SECONDS = 2.0
"""After which a connection is not used again: vLLM closes one after five, and a request sent just then is lost."""
MAX_CONNECTIONS = 512
PLAIN = {"Accept-Encoding": "identity"}
WITH_JSON = PLAIN | {"Content-Type": "application/json"}
CONNECT_SECONDS = 10.0
END_SECONDS = 1.0
MAX_BODY = 16 << 20
"""Bytes of a reply that is read as a whole."""


class WayError(Exception):
    """The way to the server failed; `code` names the sentence of `vqa.errors`, `reason` is the system's own word."""

    def __init__(self, code: str, reason: str = "") -> None:
        self.code = code
        self.reason = reason
        super().__init__(code, reason)


class Reply:
    """The head of a reply; its body comes in blocks, once."""

    def __init__(self, status: int, headers: Mapping[str, str], content: aiohttp.StreamReader) -> None:
        self.status = status
        self.headers = headers
        self._content = content
        self._lost = False

    async def block(self) -> bytes:
        """Returns what has arrived of the body since the last block, waiting for it; empty at its end.

        Raises:
            WayError: the connection failed, or was silent for too long.
        """
        try:
            block = await self._content.readany()
        except (aiohttp.ClientError, OSError, TimeoutError) as problem:
            raise fault_of(problem, begun=True) from problem
        if not block and self._lost:
            raise WayError("server_broke_off", "the body is broken")
        return block

    def lost(self, *_: object) -> None:
        """Ends the wait for a body whose connection is closed: after a broken chunk aiohttp closes it, and waits on."""
        if not self._content.is_eof() and self._content.exception() is None:
            self._lost = True
            self._content.feed_eof()

    async def body(self, limit: int = MAX_BODY) -> bytes:
        """Returns the whole body, cut after `limit` bytes; raises WayError."""
        read, size = [], 0
        while size <= limit and (block := await self.block()):
            read.append(block)
            size += len(block)
        return b"".join(read)[:limit]

    async def finish(self) -> None:
        """Reads what is left, for a second at most: a connection is used again only after a reply read to its end."""
        if self._content.at_eof():
            return
        try:
            async with asyncio.timeout(END_SECONDS):
                while await self._content.readany():
                    pass
        except (aiohttp.ClientError, OSError, TimeoutError):
            return


class Sending:
    """One request on its way, as a context: a class, since a generator costs a short answer a twentieth of its time."""

    def __init__(self, request: Coroutine[object, object, aiohttp.ClientResponse]) -> None:
        self._request = request
        self._reply: aiohttp.ClientResponse
        self._handed: Reply
        self._closed: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Reply:
        reply = self._reply = await self._request
        handed = self._handed = Reply(reply.status, reply.headers, reply.content)
        protocol = reply.connection.protocol if reply.connection is not None else None
        self._closed = protocol.closed if protocol is not None else None
        if self._closed is not None:
            self._closed.add_done_callback(handed.lost)
        elif protocol is not None:
            handed.lost()
        return handed

    async def __aexit__(self, *_: object) -> None:
        if self._closed is not None:
            self._closed.remove_done_callback(self._handed.lost)
        self._reply.close() if not self._reply.content.at_eof() else self._reply.release()


class Transport:
    """The connections to one server; use it within one event loop, and close it."""

    def __init__(self, base_url: str, api_key: str, timeout: float) -> None:
        """Takes the address (…/v1) and the seconds of silence after which a reply is given up."""
        self._base_url = base_url
        self._headers = {"Authorization": f"Bearer {api_key}", "User-Agent": f"vqa-lab/{vqa.__version__}"}
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._proxy = proxy_for(self._base_url)
            https = self._base_url.startswith("https:")
            connector = aiohttp.TCPConnector(
                limit=MAX_CONNECTIONS, keepalive_timeout=IDLE_SECONDS, ssl=tls_context() if https else True
            )
            self._session = aiohttp.ClientSession(
                connector=connector, headers=self._headers, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            )
        return self._session

    def send(self, method: str, url: str, *, json: bytes | None = None, seconds: float | None = None) -> Sending:
        """Returns a request to be entered, which yields its reply; leaving early closes the connection.

        No redirect is followed. Entering raises WayError where no reply came, InputError where the environment names a
        proxy that cannot be used.
        """
        return Sending(self._request(method, url, json, self._timeout if seconds is None else seconds))

    async def _request(self, method: str, url: str, json: bytes | None, seconds: float) -> aiohttp.ClientResponse:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=seconds)
        session = self._open()
        try:
            return await session.request(
                method, url, data=json, headers=PLAIN if json is None else WITH_JSON, proxy=self._proxy,
                timeout=timeout, allow_redirects=False,
            )  # fmt: skip
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as problem:
            raise fault_of(problem, begun=False) from problem

    async def close(self) -> None:
        """Closes the connections; what is under way is ended."""
        if self._session is not None:
            await self._session.close()


def fault_of(problem: BaseException, *, begun: bool) -> WayError:
    """Returns what an error of the connection means; `begun` says whether the reply had begun."""
    words = _words(problem)
    if isinstance(problem, aiohttp.ClientConnectorDNSError | socket.gaierror):
        return WayError("server_name_unknown", words)
    if isinstance(problem, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        return WayError("proxy_failed", words)
    if isinstance(problem, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return WayError("server_certificate", words)
    if isinstance(problem, aiohttp.ClientSSLError | ssl.SSLError):
        plain = any(mark in words.upper() for mark in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"))
        return WayError("server_speaks_http" if plain else "server_tls", words)
    if isinstance(problem, aiohttp.ConnectionTimeoutError):
        return WayError("server_connect_timeout", words)
    if isinstance(problem, TimeoutError):
        return WayError("server_timeout", words)
    if isinstance(problem, aiohttp.ClientConnectorError):
        refused = problem.os_error.errno == errno.ECONNREFUSED
        return WayError("server_unreachable" if refused else "server_unroutable", words)
    if isinstance(problem, aiohttp.ClientResponseError):
        return WayError("server_not_http", words)
    return WayError(
        "server_broke_off"
        if begun or isinstance(problem, aiohttp.ServerDisconnectedError | OSError)
        else "server_not_http",
        words,
    )


def _words(problem: BaseException) -> str:
    """Returns the innermost reason in words: the system's, not the library's sentence around it."""
    if isinstance(problem, aiohttp.ClientConnectorCertificateError):
        return str(getattr(problem.certificate_error, "verify_message", "")) or str(problem.certificate_error)
    inner = getattr(problem, "os_error", None) or problem.__cause__ or problem
    words = getattr(inner, "strerror", None) or getattr(inner, "message", None) or str(inner)
    return str(words) or type(problem).__name__


def status_phrase(status: int) -> str:
    """Returns a status with its name: `502 Bad Gateway`."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
