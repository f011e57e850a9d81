"""The folder of uploads and of files to hand out: this process's own, closed to others, gone at the end."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

VARIABLE = "GRADIO_TEMP_DIR"


@contextmanager
def page_folder() -> Iterator[Path]:
    """Yields the folder in which Gradio keeps what was uploaded; it and all in it are deleted at the end."""
    before = os.environ.get(VARIABLE)
    with tempfile.TemporaryDirectory(prefix="vqa-page-", dir=before, ignore_cleanup_errors=True) as name:
        os.environ[VARIABLE] = name
        try:
            yield Path(name)
        finally:
            os.environ.pop(VARIABLE)
            if before is not None:
                os.environ[VARIABLE] = before


def sweep(folder: Path, seconds: float) -> int:
    """Deletes the files of a folder, however deep, that are older than `seconds`; returns how many."""
    oldest, gone = time.time() - seconds, 0
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            elif path.lstat().st_mtime < oldest:
                path.unlink()
                gone += 1
    return gone
