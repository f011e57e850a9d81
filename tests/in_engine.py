"""Runs checks in the Python that has torch and vLLM: the tests' own has neither.

Importing torch takes longer than most checks, so one process answers all of them.
"""

from __future__ import annotations

import atexit
import json
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from vqa.engine.environments import engine_python
from vqa.settings import load_settings

ROOT = Path(__file__).resolve().parents[1]
InEngine = Callable[..., None]


@cache
def _process(python: str) -> subprocess.Popen[str]:
    command = [python, "-m", "tests.with_torch"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.communicate, timeout=60)
    return process


@pytest.fixture
def in_engine() -> InEngine:
    """Takes a function of `tests.with_torch` and what it is called with; fails as it fails there."""
    process = _process(engine_python(load_settings()))

    def run(check: Callable[..., None], *arguments: object) -> None:
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps([check.__name__, *map(str, arguments)]) + "\n")
        process.stdin.flush()
        told = process.stdout.readline()
        assert told, f"{check.__name__} ended its process with {process.wait(60)}"
        assert json.loads(told) == ""

    return run
