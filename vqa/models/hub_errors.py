"""Puts what the hubs' clients raise into the codes of our error texts; needs neither of the clients to be imported.

Input: an exception, and where it happened (`Situation`). Output: a `HubError` with the values that its text names.
"""

import errno
import os
import re
import ssl
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

_FULL = {errno.ENOSPC, errno.EDQUOT}
_UNWRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM}
_CA_SETTINGS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_NETWORK = {
    "NetworkError",
    "RequestException",
    "TransportError",
    "LocalEntryNotFoundError",
    "MaxRetryError",
    "ConnectionError",
    "TimeoutError",
    "_IncompleteBodyError",
}
_SIZES = re.compile(r"announced (\d+) bytes for (.+?) but the repository lists (\d+) bytes")
"""How ModelScope's client says that a file is not of the size that is listed."""
_PROXY_WORDS = (
    (r"Missing dependencies for SOCKS|'socksio' package", "hub_proxy_socks"),
    (r"Unknown scheme for proxy|Unable to determine SOCKS version|Proxy URL had no scheme", "hub_proxy_unknown"),
    (r"407 Proxy Authentication", "hub_proxy_login"),
)


@dataclass(frozen=True)
class HubError:
    """What went wrong: the code of an error text, with the values that only the hub's client knew."""

    code: str
    values: dict[str, object]


class HubFailedError(Exception):
    """A download cannot go on for a reason that is known already."""

    def __init__(self, code: str, **values: object) -> None:
        self.error = HubError(code, values)
        super().__init__(code)


@dataclass(frozen=True)
class Situation:
    """Where a failure happened.

    Attributes:
        endpoint: the hub's address.
        stage: "listing" before the files are known, "fetching" after.
        token: whether one was sent along.
    """

    endpoint: str
    stage: Literal["listing", "fetching"] = "listing"
    token: bool = False


def check_ca_files() -> None:
    """Refuses a certificate file of the environment that is not there: the clients say so each in its own odd way.

    Raises:
        HubFailedError: there is one.
    """
    for name in _CA_SETTINGS:
        if (path := os.environ.get(name)) and not Path(path).exists():
            raise HubFailedError("hub_ca_missing", name=name, path=path)


def hub_error_of(problem: BaseException, at: Situation) -> HubError:
    """Returns what an exception of either client means; `model_download_failed` with its text when nothing is known."""
    chain = list(causes(problem))
    for each in chain:
        if isinstance(each, HubFailedError):
            return each.error
    address = _address(chain) or at.endpoint
    if found := _of_this_machine(chain) or _of_the_way(chain, address):
        return found
    names = [kind.__name__ for each in chain for kind in type(each).__mro__]
    status = next((code for code in map(_status, chain) if code), None)
    if status == 429:
        return HubError("hub_busy", {"address": address, "seconds": _retry_after(chain)})
    if status and status >= 500:
        return HubError("hub_failed", {"status": status, "address": address})
    if found := _of_access(chain, names, status, address, at):
        return found
    if mismatch := next((match for each in chain if (match := _SIZES.search(str(each)))), None):
        size, file, listed = mismatch.groups()
        return HubError("model_page_instead", {"file": file, "size": size, "listed": listed})
    if "FileIntegrityError" in names or "Consistency check failed" in str(problem):
        return HubError("model_corrupt", {"files": sorted(_failed_files(chain))})
    if any(name in _NETWORK for name in names):
        if proxy := proxy_for(address):
            return HubError("hub_proxy_unreachable", {"proxy": proxy, "address": address, "reason": _short(chain)})
        return HubError("hub_unreachable", {"address": address, "reason": _short(chain)})
    return HubError("model_download_failed", {"reason": f"{type(problem).__name__}: {first_line(problem)}"})


def _of_this_machine(chain: list[BaseException]) -> HubError | None:
    for each in chain:
        # A failed TLS handshake is an OSError too, and its errno 1 would read as EPERM.
        if not isinstance(each, OSError) or isinstance(each, ssl.SSLError | ConnectionError):
            continue
        if each.errno in _FULL:
            return HubError("model_disk_full", {})
        if each.errno in _UNWRITABLE:
            return HubError("model_target_invalid", {"reason": each.strerror or str(each)})
    return None


def _of_the_way(chain: list[BaseException], address: str) -> HubError | None:
    """Returns what stands between here and the hub: a certificate, a proxy, a page of somebody else's."""
    words = " ".join(str(each) for each in chain)
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in chain) or "CERTIFICATE_VERIFY_FAILED" in words:
        why = re.search(r"certificate verify failed: ([^()\"']*)", words)
        return HubError("hub_certificate", {"address": address, "reason": why[1].strip() if why else "-"})
    proxy = proxy_for(address) or "-"
    for pattern, code in _PROXY_WORDS:
        if re.search(pattern, words):
            return HubError(code, {"address": address, "proxy": proxy})
    if any(_status(each) == 407 for each in chain):
        return HubError("hub_proxy_login", {"address": address, "proxy": proxy})
    if any(type(each).__name__ in {"JSONDecodeError", "FileMetadataError"} for each in chain):
        return HubError("hub_other_answer", {"address": address})
    return None


def _of_access(
    chain: list[BaseException], names: list[str], status: int | None, address: str, at: Situation
) -> HubError | None:
    """Returns what the hub does not have, or does not give to us."""
    if status == 401 and re.search("Invalid (credentials|user token|username)", " ".join(map(str, chain))):
        return HubError("hub_token_invalid", {"address": address})
    # Hugging Face answers 401 for a model that does not exist, so its own name for the failure comes first.
    if "GatedRepoError" in names:
        return HubError("model_gated_account" if at.token else "model_gated", {"status": status or 403})
    if "RevisionNotFoundError" in names:
        return HubError("model_revision_missing", {})
    if status in {401, 403} and _host(address) != _host(at.endpoint):
        return HubError("hub_storage_refused", {"status": status, "address": address})
    missing = status == 404 or {"NotExistError", "RepositoryNotFoundError", "EntryNotFoundError"} & set(names)
    if missing and at.stage == "fetching":
        return HubError("model_file_missing", {"files": sorted(_failed_files(chain)), "address": address})
    if missing:
        return HubError("model_not_found_token" if at.token else "model_not_found", {})
    if status in {401, 403} or "AuthenticationError" in names:
        return HubError("model_gated_account" if at.token else "model_gated", {"status": status or 401})
    return None


def causes(problem: BaseException) -> Iterator[BaseException]:
    """Yields the exception, what it names as failed files, and all its causes, each once."""
    seen: set[int] = set()
    waiting: list[BaseException] = [problem]
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        failed: Any = getattr(each, "failed_files", None)
        if isinstance(failed, dict):
            waiting += [cause for cause in failed.values() if isinstance(cause, BaseException)]
        waiting += [cause for cause in (each.__cause__, each.__context__) if cause is not None]


def proxy_for(address: str) -> str | None:
    """Returns the proxy of the environment through which `address` is asked, without its password; None without one."""
    parts = urlsplit(address)
    found = urllib.request.getproxies()
    proxy = found.get(parts.scheme) or found.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return None
    return re.sub(r"//[^@/]*@", "//", proxy)


def first_line(problem: BaseException) -> str:
    """Returns the first line of what an exception says, without what may be a secret; at most 300 characters."""
    lines = str(problem).strip().splitlines()
    return re.sub(r"(?i)(token|signature|authorization)=[^&\s]+", r"\1=…", lines[0])[:300] if lines else "-"


def _failed_files(chain: Iterable[BaseException]) -> set[str]:
    """Returns the paths of files that the client names, or that stand in the address that was asked."""
    found: set[str] = set()
    for each in chain:
        found |= {str(path) for path in getattr(each, "failed_files", None) or ()}
        parts = urlsplit(_url(each) or "")
        if match := re.search(r"/resolve/[^/]+/(.+)$", parts.path):
            found.add(unquote(match[1]))
        found |= set(parse_qs(parts.query).get("FilePath", ()))
    return found


def _status(problem: BaseException) -> int | None:
    for holder in (problem, getattr(problem, "response", None)):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _url(problem: BaseException) -> str | None:
    """Returns the address that was asked when the exception came up."""
    for name in ("response", "request"):
        try:
            url = getattr(getattr(problem, name, None), "url", None)
        except RuntimeError:  # httpx2's way to say that there is none
            continue
        if url:
            return str(url)
    return None


def _address(chain: Iterable[BaseException]) -> str | None:
    """Returns scheme and host of the first address that an exception of the chain carries."""
    for each in chain:
        parts = urlsplit(_url(each) or "")
        if parts.scheme and parts.netloc:
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return None


def _retry_after(chain: Iterable[BaseException]) -> str:
    """Returns the seconds after which the hub wants to be asked again; "-" where it does not say."""
    for each in chain:
        headers = getattr(getattr(each, "response", None), "headers", None) or {}
        if str(value := headers.get("Retry-After", "")).isdigit():
            return str(value)
    return "-"


def _host(url: str) -> str:
    return urlsplit(url).netloc.lower()


def _short(chain: list[BaseException]) -> str:
    """Returns the innermost reason without addresses of objects: 'Connection refused', 'timed out'."""
    words = " ".join(str(each) for each in chain)
    for pattern in (
        r"Connection refused",
        r"Name or service not known|Temporary failure in name resolution|getaddrinfo failed|NameResolutionError",
        r"Network is unreachable",
        r"timed? ?out",
        r"Connection reset by peer",
        r"connection closed|broken|IncompleteRead|peer closed",
    ):
        if match := re.search(pattern, words, re.IGNORECASE):
            return match[0]
    return first_line(chain[-1])
