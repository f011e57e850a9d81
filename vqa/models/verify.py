"""Compares a folder with a listing: is every file there, with its size and hash?"""

import glob
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vqa.models.listing import NOTES, HubFile, Listing

_BLOCK = 4 * 1024 * 1024


@dataclass(frozen=True)
class Differences:
    """Paths of files that are missing, have the wrong size, or hold other bytes than the hub's."""

    missing: tuple[str, ...] = ()
    corrupt: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.corrupt)


@dataclass(frozen=True)
class Measured:
    """How much of a listing lies on disk: whole files, bytes in all, and the files that are there in part."""

    files: int
    bytes: int
    partial: tuple[str, ...]


def verify(folder: Path, listing: Listing, on_bytes: Callable[[int], None] = lambda _: None) -> Differences:
    """Returns where `folder` differs from `listing`; calls `on_bytes` with the bytes looked at so far."""
    missing, corrupt, seen = [], [], 0
    for file in listing.files:
        path = folder / file.path
        if not path.is_file():
            missing.append(file.path)
        elif path.stat().st_size != file.size:
            corrupt.append(file.path)
        else:
            before = seen
            if not _same_bytes(path, file, lambda read, before=before: on_bytes(before + read)):  # type: ignore[misc]
                corrupt.append(file.path)
        seen += file.size
        on_bytes(seen)
    return Differences(tuple(missing), tuple(corrupt))


def measure(folder: Path, listing: Listing) -> Measured:
    """Returns how much of `listing` is on disk, whole and partial files together; looks at sizes only.

    Partial files are ModelScope's `<file>.incomplete` beside the file or its ranges, and ours and Hugging Face's in
    their folders.
    """
    whole, total, partial = 0, 0, []
    for file in listing.files:
        path = folder / file.path
        if (size := _size(path)) == file.size and size is not None:
            whole += 1
            total += size
            continue
        begun = max((_size(each) or 0 for each in _partials(folder, file)), default=0)
        begun = max(begun, _in_ranges(folder, file))
        if begun:
            partial.append(file.path)
            total += min(begun, file.size)
    return Measured(whole, total, tuple(partial))


def partial_of(folder: Path, file: HubFile) -> Path:
    """Returns where our own partial copy of a large Hugging Face file lies."""
    return folder / NOTES / "partial" / (file.sha256 or hashlib.sha256(file.path.encode()).hexdigest())


def range_parts(folder: Path, file: HubFile) -> list[Path]:
    """Returns the parts that ModelScope's client fetches side by side: `<file>_<first byte>_<last byte>`."""
    path = folder / file.path
    pattern = re.compile(rf"{re.escape(path.name)}_\d+_\d+")
    return [each for each in path.parent.glob(f"{glob.escape(path.name)}_*") if pattern.fullmatch(each.name)]


def merged_of(folder: Path, file: HubFile) -> Path:
    """Returns where ModelScope's client puts those parts together, each removed as soon as it is copied."""
    path = folder / file.path
    return path.with_name(path.name + ".parallel_tmp")


def _in_ranges(folder: Path, file: HubFile) -> int:
    """Returns the bytes that lie in parts or are put together already; a part that is being copied counts once."""
    parts = range_parts(folder, file)
    begins = [int(each.name.rsplit("_", 2)[1]) for each in parts]
    merged = min([_size(merged_of(folder, file)) or 0, *begins])
    return merged + sum(_size(each) or 0 for each in parts)


def _partials(folder: Path, file: HubFile) -> list[Path]:
    path = folder / file.path
    theirs = folder / ".cache" / "huggingface" / "download" / Path(file.path).parent
    etag = file.sha256 or file.git_sha1
    found = list(theirs.glob(f"*{etag}*.incomplete")) if etag and theirs.is_dir() else []
    return [path.with_name(path.name + ".incomplete"), partial_of(folder, file), *found]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _same_bytes(path: Path, file: HubFile, on_read: Callable[[int], None]) -> bool:
    if file.sha256:
        digest, wanted = hashlib.sha256(), file.sha256
    elif file.git_sha1:
        digest, wanted = hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False), file.git_sha1
    else:
        return True
    read = 0
    with path.open("rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
            read += len(block)
            on_read(read)
    return digest.hexdigest() == wanted.lower()
