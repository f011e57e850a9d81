"""Runs a check in the Python that has torch and vLLM: the tests' own has neither."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from vqa.engine.environments import engine_python
from vqa.settings import load_settings

ROOT = Path(__file__).resolve().parents[1]


def in_engine(check: Callable[..., None], *arguments: object) -> None:
    """Runs a function of `tests.with_torch` in the engine's Python; fails as it fails."""
    program = f"import sys; from tests.with_torch import {check.__name__} as check; check(*sys.argv[1:])"
    command = [engine_python(load_settings()), "-c", program, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
