"""The one folder of uploads and of files to hand out: closed to others, with a life time and a limit, gone at the end.

Whatever the page writes lies below it: `made/<a visitor's own name>/…` what is written here, the rest what Gradio keeps
of uploads. Nothing is written twice, and what a visitor has left goes with the visitor.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vqa.ui.web.visitors import Visitor, Visitors, current_visitor

VARIABLE = "GRADIO_TEMP_DIR"
MADE = "made"
EVERYBODY = "page"
"""Whose files those are that no visitor's event made, and all where the page has one user."""
KEEP_SECONDS = 6 * 3600.0
"""As long as the page remembers what stands in a tab."""
MAX_BYTES = 4_000_000_000
SWEEP_SECONDS = 60.0


class PageFolder:
    """Writes, finds and deletes the page's files; safe to use from several threads."""

    def __init__(self, path: Path, visitors: Visitors | None = None) -> None:
        self.path = path.resolve()
        self._visitors = visitors
        self._lock = threading.Lock()
        self._uploads: dict[str, set[str]] = {}

    def write(self, name: str, data: bytes | str, *, visitor: Visitor | None = None) -> Path:
        """Returns the path of a file of the current visitor with these bytes; written unless it is there already.

        Raises:
            InputError: there is no room for it.
        """
        content = data.encode() if isinstance(data, str) else data
        return self.made(name, hashlib.sha256(content).hexdigest(), lambda: content, visitor=visitor)

    def made(self, name: str, key: str, make: Callable[[], bytes], *, visitor: Visitor | None = None) -> Path:
        """Returns the path of a file of the current visitor; unless `key` names one that is there, it is made.

        Raises:
            InputError: there is no room for it.
        """
        visitor = visitor or current_visitor()
        owner = visitor.token if visitor is not None and self._visitors is not None else EVERYBODY
        path = self.path / MADE / owner / key[:16] / plain(name)
        with suppress(OSError):
            os.utime(path)
            return path
        data = make()
        with self._lock:
            if self._visitors is not None:
                self._visitors.store(len(data), visitor)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = path.with_name(f".{path.name[:80]}.part")
            part.write_bytes(data)
            part.replace(path)
        return path

    def note_uploads(self, paths: Iterable[str], visitor: Visitor) -> None:
        """Remembers whose uploads these are; equal files of several visitors are one."""
        with self._lock:
            for path in paths:
                self._uploads.setdefault(str(Path(path).resolve()), set()).add(visitor.token)

    def may_open(self, path: str, visitor: Visitor) -> bool:
        """Returns whether a file is nobody else's upload; files that were made here are found by their owner alone."""
        try:
            owners = self._uploads.get(str(Path(path).resolve()))
        except (OSError, ValueError, RuntimeError):
            return False
        return owners is None or visitor.token in owners

    def forget(self, visitor: Visitor) -> None:
        """Deletes what a visitor has left."""
        shutil.rmtree(self.path / MADE / visitor.token, ignore_errors=True)
        with self._lock:
            for path, owners in list(self._uploads.items()):
                owners.discard(visitor.token)
                if not owners:
                    del self._uploads[path]
                    with suppress(OSError):
                        Path(path).unlink()

    def sweep(self, seconds: float, most: int) -> int:
        """Deletes files that are older than `seconds`, then the oldest while all take more than `most` bytes."""
        gone = sweep(self.path, seconds)
        found = [(stat.st_mtime, stat.st_size, path) for path in self.path.rglob("*") if (stat := _file(path))]
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found, key=lambda each: each[0]):
            if total <= most:
                break
            with suppress(OSError):
                path.unlink()
                total, gone = total - size, gone + 1
        with self._lock:
            self._uploads = {path: owners for path, owners in self._uploads.items() if Path(path).exists()}
        return gone


def plain(name: str) -> str:
    """Returns a file's name without any folder, and no longer than file systems take."""
    found = re.sub(r"[\x00-\x1f<>:\"/\\|?*]", "_", name.replace("\\", "/").rpartition("/")[2]).strip(". ")
    stem, dot, suffix = found.rpartition(".")
    return f"{stem[:60]}{dot}{suffix[:12]}" if stem else found[:60] or "file"


def _file(path: Path) -> os.stat_result | None:
    try:
        return path.lstat() if path.is_file() else None
    except OSError:
        return None


_current: list[PageFolder] = []


def owned() -> PageFolder:
    """Returns the folder of the page that is shown; where none is, one that goes with the process."""
    if not _current:
        place = tempfile.mkdtemp(prefix="vqa-page-")
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        _current.append(PageFolder(Path(place)))
    return _current[-1]


@contextmanager
def page_folder(visitors: Visitors | None = None, *, seconds: float = KEEP_SECONDS) -> Iterator[PageFolder]:
    """Yields the folder in which the page and Gradio keep files; it and all in it are deleted at the end.

    Meanwhile files are deleted that are older than `seconds`, and the oldest of more than MAX_BYTES. `visitors` has
    its limits counted; without one, all files are everybody's.
    """
    before = os.environ.get(VARIABLE)
    with tempfile.TemporaryDirectory(prefix="vqa-page-", dir=before, ignore_cleanup_errors=True) as name:
        os.environ[VARIABLE] = name
        folder, ended = PageFolder(Path(name), visitors), threading.Event()
        _current.append(folder)

        def tidy() -> None:
            while not ended.wait(min(SWEEP_SECONDS, seconds / 2)):
                folder.sweep(seconds, MAX_BYTES)

        thread = threading.Thread(target=tidy, name="tidy the page's folder", daemon=True)
        thread.start()
        try:
            yield folder
        finally:
            ended.set()
            thread.join(10.0)
            _current.remove(folder)
            os.environ.pop(VARIABLE)
            if before is not None:
                os.environ[VARIABLE] = before


def sweep(folder: Path, seconds: float) -> int:
    """Deletes the files of a folder, however deep, that are older than `seconds`; returns how many."""
    oldest, gone = time.time() - seconds, 0
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                if path.stat().st_mtime < oldest:
                    path.rmdir()
            elif path.lstat().st_mtime < oldest:
                path.unlink()
                gone += 1
    return gone
