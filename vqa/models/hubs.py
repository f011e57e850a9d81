"""Speaks to the two hubs through their own clients: lists a model's files and fetches them.

Imported only by the child process that downloads: the clients take seconds to import and keep threads of their own.
"""

import contextlib
import glob
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from vqa.models.hub_errors import HubFailedError, check_ca_files
from vqa.models.ids import Source
from vqa.models.listing import NOTES, HubFile, Listing
from vqa.models.verify import partial_of

_PIECE = 512 * 1024
_ADDRESSES = 3
"""How many signed addresses of one file may be refused one after the other without a byte having come."""


class Hub(Protocol):
    """One hub behind its client."""

    endpoint: str
    """The hub's address as the client uses it: that of the request, of the client's environment, or the official."""
    token: bool
    """Whether a token is sent along."""

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
    """Returns the hub; imports its client.

    Raises:
        HubFailedError: a file of certificates that the environment names is not there.
    """
    check_ca_files()
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
        self.endpoint = str(HubConfig(endpoint=request.endpoint).endpoint)
        self.token = bool(self._token)

    def list(self) -> tuple[str | None, list[HubFile]]:
        files = list(self._api.list_repo_files(self._request.model_id, "model", revision=self._request.revision))
        if not files:
            self._check_revision()
        found = [HubFile(each.path, each.size or 0, each.sha256 or None) for each in files if each.type != "tree"]
        return None, found

    def _check_revision(self) -> None:
        """Refuses a revision that the hub does not have: it lists it as an empty one, with success."""
        known = self._api.list_repo_revisions(self._request.model_id, "model")
        names = [str(each["Revision"]) for each in known if each.get("Revision")]
        if names and self._request.revision and self._request.revision not in names:
            raise HubFailedError("model_revision_missing", known=", ".join(names))

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
        from huggingface_hub import HfApi, constants, get_token

        # Its 10 MiB pieces reach the disk only when whole: on a slow line nothing would move, and much be lost.
        constants.DOWNLOAD_CHUNK_SIZE = _PIECE
        self._request = request
        # None lets the client use what `hf auth login` stored; another hub never gets to see that.
        self._token = request.token or (False if request.endpoint else None)
        self._api = HfApi(endpoint=request.endpoint, token=self._token)
        self.endpoint = str(self._api.endpoint)
        self.token = bool(request.token) or (self._token is None and get_token() is not None)

    def list(self) -> tuple[str | None, list[HubFile]]:
        from huggingface_hub.errors import RevisionNotFoundError
        from huggingface_hub.hf_api import RepoFile

        try:
            commit = self._api.model_info(self._request.model_id, revision=self._request.revision).sha
        except RevisionNotFoundError as problem:
            refs = None
            with contextlib.suppress(Exception):
                refs = self._api.list_repo_refs(self._request.model_id)
            names = [each.name for each in (*refs.branches, *refs.tags)] if refs else []
            raise HubFailedError("model_revision_missing", known=", ".join(names) or "-") from problem
        tree = self._api.list_repo_tree(self._request.model_id, recursive=True, revision=commit)
        files = [each for each in tree if isinstance(each, RepoFile)]
        return commit, [
            HubFile(each.path, each.size, each.lfs.sha256 if each.lfs else None, None if each.lfs else each.blob_id)
            for each in files
        ]

    def fetch(self, folder: Path, listing: Listing, workers: int) -> None:
        from huggingface_hub import snapshot_download

        signed = [file for file in listing.files if file.sha256]
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda file: self._fetch_signed(folder, listing, file), signed))
        snapshot_download(
            listing.model_id,
            revision=listing.commit,
            local_dir=folder,
            ignore_patterns=[glob.escape(path) for path in listing.left_out],
            max_workers=workers,
            token=self._token,
            endpoint=self._request.endpoint,
        )

    def _fetch_signed(self, folder: Path, listing: Listing, file: HubFile) -> None:
        """Fetches one file of the hub's large-file store so that it can be resumed by a later process.

        huggingface_hub since 2.0 throws a partial file away with its process (huggingface/huggingface_hub#4228); its
        own `http_get` still resumes when it is given one. snapshot_download then finds the file by its hash. A signed
        address is good for a while only: where it is refused, a new one is asked for.
        """
        from huggingface_hub.errors import HfHubHTTPError

        target, partial = folder / file.path, partial_of(folder, file)
        if target.is_file() and target.stat().st_size == file.size:
            return
        partial.parent.mkdir(parents=True, exist_ok=True)
        if partial.is_file() and partial.stat().st_size > file.size:
            partial.unlink()
        refused, before = 0, -1
        while True:
            try:
                self._go_on(listing, file, partial)
                break
            except HfHubHTTPError as problem:
                elsewhere = _host(str(problem.response.url)) != _host(self.endpoint)
                now = partial.stat().st_size
                refused, before = (0 if now > before else refused + 1), now
                if problem.response.status_code != 403 or not elsewhere or refused + 1 >= _ADDRESSES:
                    raise
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(target)

    def _go_on(self, listing: Listing, file: HubFile, partial: Path) -> None:
        """Fetches what a partial file lacks, from an address asked for anew."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        url = hf_hub_url(listing.model_id, file.path, revision=listing.commit, endpoint=self._request.endpoint)
        found = get_hf_file_metadata(url, token=self._token, endpoint=self._request.endpoint)
        if found.size not in {None, file.size}:
            raise HubFailedError("model_page_instead", file=file.path, size=found.size, listed=file.size)
        headers = build_hf_headers(token=self._token)
        if _host(found.location) != _host(url):
            headers.pop("authorization", None)  # The token is for the hub, not for whoever stores its files.
        with partial.open("ab") as out:
            begun = out.tell()
            try:
                http_get(found.location, out, resume_size=begun, headers=headers, expected_size=file.size)
            except OSError as problem:
                if "Consistency check failed" not in str(problem):
                    raise
                # What came is no part of the file: kept, it would be the beginning of all later attempts.
                size = out.tell()
                out.truncate(begun)
                raise HubFailedError("model_page_instead", file=file.path, size=size, listed=file.size) from problem


def _host(url: str) -> str:
    return urlsplit(url).netloc.lower()


def remove_stale_locks(folder: Path) -> None:
    """Removes lock files that the clients' dead processes left; call it only while holding the model's own lock."""
    for place in (folder / NOTES / "hub", folder / ".cache" / "huggingface"):
        for lock in place.rglob("*.lock") if place.is_dir() else ():
            if not lock.is_dir():  # ModelScope's locks lie in a folder called `.lock`.
                lock.unlink(missing_ok=True)
