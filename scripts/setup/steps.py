"""What every step of the set-up uses: places, a step that tells how long it takes, commands, virtual environments."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST, NEWEST = (3, 11), (3, 14)
"""What vLLM supports."""
HEARTBEAT = 20.0
"""Seconds after which a step says that it still goes on."""


class SetupFailed(Exception):  # noqa: N818 - it is printed, not handled
    """A step did not work; the text says what to do."""


@contextmanager
def step(what: str) -> Iterator[None]:
    """Prints what is being done, that it still goes on, and how long it took."""
    print(f"- {what} …", flush=True)
    began, done = time.monotonic(), threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT):
            print(f"  still at it after {time.monotonic() - began:.0f} s", flush=True)

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        done.set()
        print(f"  {time.monotonic() - began:.1f} s", flush=True)


def run(*command: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end in the project's folder, its output kept."""
    return subprocess.run(
        [str(part) for part in command], text=True, capture_output=True, check=False, env=env, cwd=ROOT
    )


def pip(python: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs the pip of a virtual environment."""
    return run(python, "-m", "pip", "--disable-pip-version-check", *arguments)


def tail(done: subprocess.CompletedProcess[str]) -> str:
    """Returns the last lines that a command wrote."""
    return "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])


def check_python() -> None:
    """Refuses a Python that vLLM does not support."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        span = " to ".join(f"{major}.{minor}" for major, minor in (OLDEST, NEWEST))
        raise SetupFailed(f"Python {span} is needed; this is {platform.python_version()}. Try PYTHON=python3.12")


def make_venv(folder: Path) -> None:
    """Creates a virtual environment with this interpreter unless it is there and starts."""
    python = folder / "bin" / "python"
    if python.exists() and run(python, "-m", "pip", "--version").returncode == 0:
        return
    with step(f"Creating {folder.relative_to(ROOT)} with Python {platform.python_version()}"):
        shutil.rmtree(folder, ignore_errors=True)
        made = run(sys.executable, "-m", "venv", folder)
    if made.returncode:
        raise SetupFailed(
            f"python3 -m venv did not work. On Debian and Ubuntu: apt-get install python3-venv\n{tail(made)}"
        )


def find_device() -> str:
    """Returns `gpu` when an NVIDIA GPU is there, else `cpu`."""
    wanted = os.environ.get("DEVICE", "")
    if wanted not in {"", "cpu", "gpu"}:
        raise SetupFailed(f"DEVICE is cpu or gpu, not {wanted!r}.")
    if wanted:
        return wanted
    smi = shutil.which("nvidia-smi")
    return "gpu" if smi and "GPU 0" in run(smi, "-L").stdout else "cpu"
