"""Runs checks in the Python that has torch and vLLM: the tests' own has neither.

Importing torch takes longer than most checks, so one process answers all of a module's.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vqa.engine.environments import engine_python
from vqa.settings import load_settings

ROOT = Path(__file__).resolve().parents[1]
InEngine = Callable[..., None]


@pytest.fixture(scope="module")
def in_engine() -> Iterator[InEngine]:
    """Takes a function of `tests.with_torch` and what it is called with; fails as it fails there."""
    command = [engine_python(load_settings()), "-m", "tests.with_torch"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(check: Callable[..., None], *arguments: object) -> None:
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps([check.__name__, *map(str, arguments)]) + "\n")
        process.stdin.flush()
        told = process.stdout.readline()
        assert told, f"{check.__name__} ended its process with {process.wait(60)}"
        assert json.loads(told) == ""

    yield run
    process.communicate(timeout=60)
