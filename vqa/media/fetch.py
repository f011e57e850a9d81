"""Fetches a picture from a web address without letting anybody reach into the local network through us.

Every address of every hop is resolved here, checked, and connected to as checked: a name that resolves to something
else a moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import unquote, urljoin, urlsplit

import httpx2 as httpx

from vqa import __version__
from vqa.errors import InputError
from vqa.media.images import ImageLimits, ImagePayload, load_image

MAX_REDIRECTS = 5
SECONDS_IN_ALL = 30.0


def is_web_address(source: str) -> bool:
    """Returns whether the text looks like an http(s) address rather than a file."""
    return source.strip().lower().startswith(("http://", "https://"))


async def fetch_image(
    address: str, limits: ImageLimits | None = None, *, allow_local: bool = False, seconds: float = SECONDS_IN_ALL
) -> ImagePayload:
    """Returns the picture at a web address.

    Raises:
        InputError: no such address, not a picture, too large, too slow, or it points into the local network.
    """
    limits = limits or ImageLimits()
    try:
        async with asyncio.timeout(seconds):
            data = await _follow(address.strip(), limits, allow_local=allow_local)
    except TimeoutError as problem:
        raise InputError("fetch_timeout", address=address, seconds=round(seconds)) from problem
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as problem:
        raise InputError("fetch_failed", address=address, reason=str(problem) or type(problem).__name__) from problem
    name = unquote(urlsplit(address).path.rsplit("/", 1)[-1]) or urlsplit(address).hostname or "image"
    return load_image(data, limits, name=name[:120])


async def _follow(address: str, limits: ImageLimits, *, allow_local: bool) -> bytes:
    for _ in range(MAX_REDIRECTS + 1):
        target, headers, extensions = await _pinned(address, allow_local=allow_local)
        async with httpx.AsyncClient(trust_env=False, timeout=10.0) as client:
            request = client.build_request("GET", target, headers=headers, extensions=extensions)
            reply = await client.send(request, stream=True)
            try:
                if not reply.has_redirect_location:
                    return await _body(reply, address, limits)
                address = urljoin(address, reply.headers["location"])
            finally:
                await reply.aclose()
    raise InputError("fetch_failed", address=address, reason=f"more than {MAX_REDIRECTS} redirects")


async def _pinned(address: str, *, allow_local: bool) -> tuple[httpx.URL, dict[str, str], dict[str, str]]:
    """Returns the address with its host replaced by a checked IP, and what keeps Host and TLS as they were."""
    url = httpx.URL(address)
    if url.scheme not in {"http", "https"} or not url.host:
        raise InputError("fetch_failed", address=address, reason="not an http(s) address")
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except OSError as problem:
        raise InputError("fetch_unresolved", address=address, host=url.host) from problem
    hosts = [str(entry[4][0]) for entry in found]
    if not allow_local and not all(_is_public(host) for host in hosts):
        raise InputError("fetch_local", address=address)
    netloc = url.netloc.decode("ascii")
    headers = {"Host": netloc.rpartition("@")[2], "User-Agent": f"vqa-lab/{__version__}", "Accept": "image/*"}
    return url.copy_with(host=hosts[0]), headers, {"sni_hostname": url.host}


def _is_public(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    return all(one.is_global and not one.is_multicast for one in (address, mapped) if one is not None)


async def _body(reply: httpx.Response, address: str, limits: ImageLimits) -> bytes:
    if not reply.is_success:
        raise InputError("fetch_failed", address=address, reason=f"HTTP {reply.status_code}")
    if reply.headers.get("content-type", "").startswith("text/"):
        raise InputError("fetch_not_a_picture", address=address, type=reply.headers["content-type"])
    body = bytearray()
    async for piece in reply.aiter_bytes():
        body += piece
        if len(body) > limits.max_bytes:
            raise InputError(
                "image_too_large", name=address, size=f">{len(body) / 1e6:.1f}", limit=f"{limits.max_bytes / 1e6:.1f}"
            )
    return bytes(body)
