"""Small JSON files of the data folder: read whole, changed by one process at a time, never seen half written."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock


def read_value(path: Path) -> Any:
    """Returns the JSON value in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds no JSON; something nested deeper than anybody writes it counts as none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as problem:
        raise ValueError("nested too deep") from problem


class JsonFile:
    """One JSON value in a file; a file that is missing, damaged or not ours counts as None."""

    def __init__(self, path: Path, *, patience: float = -1.0) -> None:
        """Names the file; `patience` is how many seconds a change may wait for another one, forever when negative."""
        self._path, self._patience = path, patience

    def read(self) -> Any:
        """Returns the value, or None."""
        try:
            return read_value(self._path)
        except (OSError, ValueError):
            return None

    def change(self, changed: Callable[[Any], Any]) -> None:
        """Writes what `changed` makes of the value that stands there.

        Raises:
            OSError: the folder cannot be written; `filelock.Timeout` is one when another change lasts longer.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(self._path.with_suffix(".lock"), timeout=self._patience):
            write_json(self._path, changed(self.read()))


def write_json(path: Path, value: Any) -> None:
    """Writes `value` so that a reader sees the old file or the new one, never a part; readable by the user alone.

    Raises:
        OSError: the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
