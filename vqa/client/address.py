"""Addresses of OpenAI-compatible servers: what a user writes, made whole; how they are reached."""

from __future__ import annotations

import os
import re
import ssl
from functools import lru_cache
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import certifi

from vqa.errors import InputError
from vqa.loopback import is_loopback

VERSIONED = re.compile(r"/v\d+\w*(/openai)?$")
"""Paths that name the interface's version already: /v1, /api/v3, /api/paas/v4, /v1beta/openai."""
ENDPOINTS = ("/chat/completions", "/completions", "/models")
HTTP_PROXIES = frozenset({"http", "https"})


def normalize_base_url(address: str) -> str:
    """Returns an address as clients want it: a scheme, a host, and a path that ends in the interface's version.

    `/v1` is added where the path names no version of its own.

    Raises:
        InputError: it is not an http(s) address.
    """
    address = address.strip()
    if "://" not in address:
        address = f"http://{address}"
    try:
        parts = urlsplit(address)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        valid = valid and not re.search(r"[\s\x00-\x1f]", address)
    except ValueError:
        valid = False
    if not valid:
        raise InputError("address_invalid", address=address)
    path = parts.path.rstrip("/")
    for ending in ENDPOINTS:
        path = path.removesuffix(ending)
    return urlunsplit((parts.scheme, parts.netloc, path if VERSIONED.search(path) else f"{path}/v1", "", ""))


def server_root(base_url: str) -> str:
    """Returns the server's root: where /health, /metrics, /version and /docs are."""
    return VERSIONED.sub("", base_url.removesuffix("/"))


def is_here(base_url: str) -> bool:
    """Returns whether an address is one of this machine's own."""
    return is_loopback(urlsplit(base_url).hostname or "")


def proxy_for(base_url: str) -> str | None:
    """Returns the proxy of the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY) for an address, or None.

    What goes to this machine is never shown to a proxy.

    Raises:
        InputError: it is of a kind that is not spoken here, such as SOCKS.
    """
    parts = urlsplit(base_url)
    if is_here(base_url) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    found = getproxies()
    name = parts.scheme if found.get(parts.scheme) else "all"
    proxy = found.get(name)
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        shown = urlsplit(proxy)
        usable = shown.scheme in HTTP_PROXIES and bool(shown.hostname) and (shown.port is None or shown.port > 0)
    except ValueError:
        usable, shown = False, urlsplit("")
    if not usable:
        raise InputError("proxy_unusable", name=f"{name.upper()}_PROXY", kind=shown.scheme or "?")
    return proxy


@lru_cache(maxsize=4)
def _context(file: str | None, folder: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not (file or folder):
        context.load_verify_locations(certifi.where())
    return context


def tls_context() -> ssl.SSLContext:
    """Returns what a server's certificate is checked against: SSL_CERT_FILE and SSL_CERT_DIR, else the usual roots."""
    return _context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
