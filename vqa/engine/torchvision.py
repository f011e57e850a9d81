"""Which torchvision the engine's Python has, and its plain-Python part where the compiled one does not load.

PyPI's torchvision is built for CUDA. Beside a torch for CPUs its compiled part does not load, and the package does not
even import: it registers how its operators behave without data, and two of them (`nms`, `qnms`) are then unknown to
torch. The transforms, all that vision-language models use of it, are plain Python on top of torch. So the two names are
declared before the package runs, in every process of that Python, by a hook that a .pth file brings in. Where the
compiled part does load, the hook does nothing.

Set-up calls `mend`; only the standard library is imported here, so that it can. Nothing is written outside the
site-packages of the Python that is given.
"""

from __future__ import annotations

import json
import subprocess
from enum import StrEnum
from pathlib import Path

HOOK, PTH = "vqa_torchvision_hook.py", "vqa_torchvision.pth"
_PROBE = """
import importlib.util, json, sys, sysconfig
found = {"site": sysconfig.get_paths()["purelib"], "kind": "missing"}
if importlib.util.find_spec("torchvision"):
    try:
        import torchvision
        from torchvision.transforms.v2 import functional
        found["kind"] = "whole" if torchvision.extension._has_ops() else "plain"
    except Exception as problem:
        found["kind"], found["problem"] = "broken", f"{type(problem).__name__}: {problem}"
print(json.dumps(found))
"""
HOOK_SOURCE = '''"""Lets torchvision import where its compiled part does not load; written by VQA Lab's set-up."""

import sys


def _declare():
    import torch

    try:
        from importlib.machinery import PathFinder
        from pathlib import Path

        for folder in PathFinder.find_spec("torchvision").submodule_search_locations:
            for library in Path(folder).glob("_C*.so"):
                torch.ops.load_library(str(library))
    except OSError:
        # It was built for another torch. Declared without code: only calling one of them fails.
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library  # the declarations end with it


class _Loader:
    """Declares the operators, then lets the package's own loader go on."""

    def __init__(self, own):
        self._own = own

    def __getattr__(self, name):
        return getattr(self._own, name)

    def create_module(self, spec):
        return self._own.create_module(spec)

    def exec_module(self, module):
        module.__vqa_declared__ = _declare()
        self._own.exec_module(module)


class _Finder:
    """Looking for torchvision costs nothing, only importing it does."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "torchvision":
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


sys.meta_path.insert(0, _Finder)
'''


class Kind(StrEnum):
    """What a Python's torchvision is good for."""

    WHOLE = "whole"
    """It imports with its compiled operators."""
    PLAIN = "plain"
    """Its plain-Python part imports: the transforms work, `torchvision.ops.nms` and the like do not."""
    BROKEN = "broken"
    """It is installed and does not import: worse than none, as transformers trusts its metadata."""
    MISSING = "missing"


def kind_of(python: Path | str) -> Kind:
    """Returns which torchvision that Python has; imports it there, which takes some seconds.

    Raises:
        OSError: the Python cannot be run, or answers nothing.
    """
    return Kind(_ask(python)["kind"])


def mend(python: Path | str) -> Kind:
    """Makes torchvision import in that Python where it is installed and does not; returns what it then is.

    A hook that does not help is taken away again, so `Kind.BROKEN` says that nothing was changed.

    Raises:
        OSError: the Python cannot be run, or its site-packages cannot be written.
    """
    before = _ask(python)
    if before["kind"] != Kind.BROKEN:
        return Kind(before["kind"])
    site = Path(before["site"])
    (site / HOOK).write_text(HOOK_SOURCE, encoding="utf-8")
    (site / PTH).write_text(f"import {HOOK.removesuffix('.py')}\n", encoding="utf-8")
    after = kind_of(python)
    if after is Kind.BROKEN:
        (site / PTH).unlink()
        (site / HOOK).unlink()
    return after


def _ask(python: Path | str) -> dict[str, str]:
    done = subprocess.run([str(python), "-c", _PROBE], capture_output=True, text=True, check=False)
    try:
        answer: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError) as problem:
        raise OSError(f"{python} does not answer: {done.stderr.strip()[-300:]}") from problem
    return answer
