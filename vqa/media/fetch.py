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
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""Where networks without IPv4 put the rest of the world; the last 32 bits are who is meant."""
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32",
            "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
        ),
    )
)  # fmt: skip
"""Of IANA's registries of special-purpose addresses, those that Python's `is_global` takes for public, or that carry
another address inside; and a cloud's metadata service on an address that looks like any other."""


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
    data, name = await fetch_file(address, limits, allow_local=allow_local, seconds=seconds)
    return await asyncio.to_thread(load_image, data, limits, name=name)


async def fetch_file(
    address: str, limits: ImageLimits | None = None, *, allow_local: bool = False, seconds: float = SECONDS_IN_ALL
) -> tuple[bytes, str]:
    """Returns what lies at a web address, and its name.

    Raises:
        InputError: no such address, too large, too slow, words, or it points into the local network.
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
    return data, name[:120]


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
    headers = {
        "Host": netloc.rpartition("@")[2],
        "User-Agent": f"vqa-lab/{__version__}",
        "Accept": "image/*",
        "Accept-Encoding": "identity",
    }
    return url.copy_with(host=hosts[0]), headers, {"sni_hostname": url.host}


def _is_public(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64:
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        elif address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address not in GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in NOT_PUBLIC)


async def _body(reply: httpx.Response, address: str, limits: ImageLimits) -> bytes:
    """Returns the bytes as they come: a compressed answer could unfold to anything before it is measured."""
    if not reply.is_success:
        raise InputError("fetch_failed", address=address, reason=f"HTTP {reply.status_code}")
    if reply.headers.get("content-type", "").startswith("text/"):
        raise InputError("fetch_not_a_picture", address=address, type=reply.headers["content-type"])
    encoding = reply.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise InputError("fetch_failed", address=address, reason=f"Content-Encoding: {encoding[:40]}")
    body = bytearray()
    announced = reply.headers.get("content-length", "")
    if announced.isdecimal():
        _check_size(int(announced), address, limits)
    async for piece in reply.aiter_raw():
        body += piece
        _check_size(len(body), address, limits)
    return bytes(body)


def _check_size(size: int, address: str, limits: ImageLimits) -> None:
    if size > limits.max_bytes:
        raise InputError(
            "image_too_large", name=address, size=f">{size / 1e6:.1f}", limit=f"{limits.max_bytes / 1e6:.1f}"
        )
