"""Speaks to the two hubs through their own clients: lists a model's files, fetches them, puts failures into our words.

Imported only by the child process that downloads: the clients take seconds to import and keep threads of their own.
"""

import errno
import glob
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vqa.models.ids import Source
from vqa.models.listing import NOTES, HubFile, Listing
from vqa.models.verify import partial_of

_RESUMABLE = 8 * 1024 * 1024
"""Bytes from which on we keep a partial copy of a Hugging Face file ourselves."""
_PIECE = 512 * 1024
_FULL = {errno.ENOSPC, errno.EDQUOT}
_UNWRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True)
class Trouble:
    """What went wrong: the code of an error text, with the values that only the hub's client knew."""

    code: str
    values: dict[str, object]


class Hub(Protocol):
    """One hub behind its client."""

    def list(self) -> tuple[str | None, list[HubFile]]:
        """Returns the commit (None where the hub has no name for it) and the files of the model."""

    def fetch(self, folder: Path, listing: Listing, workers: int) -> None:
        """Brings the files of `listing` into `folder`, several at once, resuming those that are there in part."""


@dataclass(frozen=True)
class Request:
    """Which model is wanted from where; the token never leaves this object but in the client's requests."""

    model_id: str
    revision: str | None
    endpoint: str | None
    token: str | None


def open_hub(source: Source, request: Request) -> Hub:
    """Returns the hub; imports its client."""
    return _ModelScope(request) if source == "modelscope" else _HuggingFace(request)


class _ModelScope:
    def __init__(self, request: Request) -> None:
        from modelscope_hub import HubApi
        from modelscope_hub.config import HubConfig

        self._request = request
        # Somebody who ran `modelscope login` need not repeat the token here; another hub never gets to see it.
        self._token = request.token or (None if request.endpoint else HubConfig().token) or ""
        # From here on the client has a home of its own: the identifier of this installation that it sends along is
        # then a new one for each model.
        os.environ["MODELSCOPE_HOME"] = str(Path(os.environ["MODELSCOPE_CACHE"]) / "home")
        self._api = HubApi(token=self._token, endpoint=request.endpoint)

    def list(self) -> tuple[str | None, list[HubFile]]:
        files = self._api.list_repo_files(self._request.model_id, "model", revision=self._request.revision)
        found = [HubFile(each.path, each.size or 0, each.sha256 or None) for each in files if each.type != "tree"]
        return None, found

    def fetch(self, folder: Path, listing: Listing, workers: int) -> None:
        from modelscope import snapshot_download

        snapshot_download(
            listing.model_id,
            revision=listing.revision,
            local_dir=str(folder),
            ignore_patterns=[glob.escape(path) for path in listing.left_out],
            max_workers=workers,
            token=self._token,
            endpoint=self._request.endpoint,
        )


class _HuggingFace:
    def __init__(self, request: Request) -> None:
        from huggingface_hub import HfApi, constants

        # Its 10 MiB pieces reach the disk only when whole: on a slow line nothing would move, and much be lost.
        constants.DOWNLOAD_CHUNK_SIZE = _PIECE
        self._request = request
        # None lets the client use what `hf auth login` stored; another hub never gets to see that.
        self._token = request.token or (False if request.endpoint else None)
        self._api = HfApi(endpoint=request.endpoint, token=self._token)

    def list(self) -> tuple[str | None, list[HubFile]]:
        from huggingface_hub.hf_api import RepoFile

        commit = self._api.model_info(self._request.model_id, revision=self._request.revision).sha
        tree = self._api.list_repo_tree(self._request.model_id, recursive=True, revision=commit)
        files = [each for each in tree if isinstance(each, RepoFile)]
        return commit, [
            HubFile(each.path, each.size, each.lfs.sha256 if each.lfs else None, None if each.lfs else each.blob_id)
            for each in files
        ]

    def fetch(self, folder: Path, listing: Listing, workers: int) -> None:
        from huggingface_hub import snapshot_download

        large = [file for file in listing.files if file.sha256 and file.size >= _RESUMABLE]
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda file: self._fetch_large(folder, listing, file), large))
        snapshot_download(
            listing.model_id,
            revision=listing.commit,
            local_dir=folder,
            ignore_patterns=[glob.escape(path) for path in listing.left_out],
            max_workers=workers,
            token=self._token,
            endpoint=self._request.endpoint,
        )

    def _fetch_large(self, folder: Path, listing: Listing, file: HubFile) -> None:
        """Fetches one large file so that it can be resumed by a later process.

        huggingface_hub since 2.0 throws a partial file away with its process (huggingface/huggingface_hub#4228); its
        own `http_get` still resumes when it is given one. snapshot_download then finds the file by its hash.
        """
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        target, partial = folder / file.path, partial_of(folder, file)
        if target.is_file() and target.stat().st_size == file.size:
            return
        url = hf_hub_url(listing.model_id, file.path, revision=listing.commit, endpoint=self._request.endpoint)
        found = get_hf_file_metadata(url, token=self._token, endpoint=self._request.endpoint)
        headers = build_hf_headers(token=self._token)
        if _host(found.location) != _host(url):
            headers.pop("authorization", None)  # The token is for the hub, not for whoever stores its files.
        partial.parent.mkdir(parents=True, exist_ok=True)
        if partial.is_file() and partial.stat().st_size > file.size:
            partial.unlink()
        with partial.open("ab") as out:
            http_get(found.location, out, resume_size=out.tell(), headers=headers, expected_size=file.size)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(target)


def remove_stale_locks(folder: Path) -> None:
    """Removes lock files that the clients' dead processes left; call it only while holding the model's own lock."""
    for place in (folder / NOTES / "hub", folder / ".cache" / "huggingface"):
        for lock in place.rglob("*.lock") if place.is_dir() else ():
            if not lock.is_dir():  # ModelScope's locks lie in a folder called `.lock`.
                lock.unlink(missing_ok=True)


def trouble_of(problem: BaseException) -> Trouble:
    """Returns what an exception of either client means; `model_download_failed` with its text when nothing is known."""
    chain = list(_causes(problem))
    for each in chain:
        if isinstance(each, OSError) and each.errno in _FULL:
            return Trouble("model_disk_full", {})
        if isinstance(each, OSError) and each.errno in _UNWRITABLE:
            return Trouble("model_target_invalid", {"reason": each.strerror or str(each)})
    names = [kind.__name__ for each in chain for kind in type(each).__mro__]
    status = next((code for code in map(_status, chain) if code), None)
    # Hugging Face answers 401 for a model that does not exist, so its own name for the failure comes first.
    if "GatedRepoError" in names:
        return Trouble("model_gated", {"status": status or 403})
    if "RevisionNotFoundError" in names:
        return Trouble("model_revision_missing", {})
    if status == 404 or "NotExistError" in names or "RepositoryNotFoundError" in names:
        return Trouble("model_not_found", {})
    if status in {401, 403} or "AuthenticationError" in names:
        return Trouble("model_gated", {"status": status or 401})
    if "FileIntegrityError" in names or "Consistency check failed" in str(problem):
        return Trouble("model_corrupt", {"files": sorted(_failed_files(chain))})
    if status and (status >= 500 or status == 429):
        return Trouble("hub_failed", {"status": status})
    if any(name in _NETWORK for name in names):
        return Trouble("hub_unreachable", {"reason": _short(chain)})
    return Trouble("model_download_failed", {"reason": f"{type(problem).__name__}: {_first_line(problem)}"})


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


def _causes(problem: BaseException) -> Iterator[BaseException]:
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


def _failed_files(chain: Iterable[BaseException]) -> set[str]:
    return {str(path) for each in chain for path in getattr(each, "failed_files", None) or ()}


def _status(problem: BaseException) -> int | None:
    for holder in (problem, getattr(problem, "response", None)):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _host(url: str) -> str:
    return url.split("//", 1)[-1].split("/", 1)[0].lower()


def _short(chain: list[BaseException]) -> str:
    """Returns the innermost reason without addresses of objects: 'Connection refused', 'timed out'."""
    words = " ".join(str(each) for each in chain)
    for pattern in (
        r"Connection refused",
        r"Name or service not known|Temporary failure in name resolution|getaddrinfo failed|NameResolutionError",
        r"Network is unreachable",
        r"certificate verify failed",
        r"timed? ?out",
        r"Connection reset by peer",
        r"connection closed|broken|IncompleteRead|peer closed",
    ):
        if match := re.search(pattern, words, re.IGNORECASE):
            return match[0]
    return _first_line(chain[-1])


def _first_line(problem: BaseException) -> str:
    lines = str(problem).strip().splitlines()
    return re.sub(r"(?i)(token|signature|authorization)=[^&\s]+", r"\1=…", lines[0])[:300] if lines else "-"
