"""Starts of the app that cost a test little: everything is imported already, and the recorded runs are in the store.

What a start itself does is seen where `python app.py` is run as users run it: the session's app with the real engine,
`tests/lifecycle/test_app_process.py` and `tests/cli/test_page_command.py`.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

from vqa.lab.run.recorded import add_recorded
from vqa.store import Store

ROOT = Path(__file__).resolve().parent.parent


class App:
    """A started app, to be used as its `subprocess.Popen` would be."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        """Starts it in the environment; what it says goes into the log."""
        self.pid: int = _nursery().ask({"start": {"environment": environment, "log": str(log)}})
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        if self.returncode is None:
            self.returncode = _nursery().ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float = 300.0) -> int:
        """The exit status once it has ended.

        Raises:
            subprocess.TimeoutExpired: it still runs after so many seconds.
        """
        end = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("app.py", timeout)
            time.sleep(0.05)
        return status

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it as a crash would."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that all apps of this one are copies of."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.nursery"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, question: dict[str, Any]) -> Any:
        """Sends a line and returns the answer."""
        assert self._process.stdin and self._process.stdout
        with self._lock:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        """Ends the process, whose apps have been ended before."""
        self._process.communicate()


@cache
def _nursery() -> Nursery:
    made = Nursery()
    atexit.register(made.end)
    return made


@cache
def _recorded() -> Path:
    """A store that holds the recorded runs and nothing else."""
    folder = Path(tempfile.mkdtemp(prefix="vqa-recorded-"))
    atexit.register(shutil.rmtree, folder)
    store = Store(f"sqlite:///{folder / 'vqa.db'}")
    add_recorded(store)
    store.close()
    return folder / "vqa.db"


def with_recorded_runs(data_dir: Path) -> Path:
    """Makes a data folder as it is from the second start of an app on; returns it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_recorded(), data_dir / "vqa.db")
    return data_dir
