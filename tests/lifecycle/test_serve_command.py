"""`vqa serve` itself: it tells its address, Ctrl-C takes its engine along, and an engine that dies ends it in words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT
from tests.lifecycle.conftest import Make, test_processes
from vqa.engine.access import peek
from vqa.engine.state import EngineState, Snapshot
from vqa.settings import Settings

Serve = Callable[[], tuple[subprocess.Popen[bytes], Path]]


@pytest.fixture
def serve(settings: Settings, model: Path, run_id: str, tmp_path: Path) -> Iterator[Serve]:
    """Runs the command, whose vLLM is the misbehaving child; the second value is what it says."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> tuple[subprocess.Popen[bytes], Path]:
        given = {
            "data_dir": settings.data_dir,
            "vllm_python": settings.vllm_python,
            "engine_port": settings.engine_port,
            "engine_restarts": 0,
        }
        environment = dict(os.environ) | {f"VQA_{name.upper()}": str(value) for name, value in given.items()}
        said = tmp_path / "said.txt"
        with said.open("wb") as out:
            command = [sys.executable, "-m", "vqa", "serve", str(model)]
            started.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out))
        return started[-1], said

    yield start
    for each in started:
        each.kill()
        each.wait()


def ready(settings: Settings, command: subprocess.Popen[bytes], said: Path) -> Snapshot:
    """Waits until the command has told the address; returns what can be seen of the engine then."""
    end = time.monotonic() + 90
    while f"http://127.0.0.1:{settings.engine_port}/v1" not in said.read_text():
        assert command.poll() is None and time.monotonic() < end, said.read_text()
        time.sleep(0.1)
    now = peek(settings)
    assert now.state is EngineState.READY
    return now


def test_it_serves_until_ctrl_c_and_leaves_nothing(make: Make, settings: Settings, serve: Serve, run_id: str) -> None:
    command, said = serve()
    ready(settings, command, said)
    command.send_signal(signal.SIGINT)
    assert command.wait(60) in {0, 130}, said.read_text()
    assert test_processes(run_id) == []
    make()  # and nothing is left: no port, no record, no lock


def test_killed_itself_it_leaves_an_engine_that_the_next_one_takes_over(
    make: Make, settings: Settings, serve: Serve
) -> None:
    command, said = serve()
    first = ready(settings, command, said)
    command.kill()
    command.wait(10)
    engine = make()
    now = engine.snapshot()
    assert (now.state, now.adopted, now.pid) == (EngineState.READY, True, first.pid)


def test_it_ends_with_the_cause_when_its_engine_dies(make: Make, settings: Settings, serve: Serve, run_id: str) -> None:
    command, said = serve()
    now = ready(settings, command, said)
    assert now.pid is not None
    psutil.Process(now.pid).kill()
    assert command.wait(60) == 1, said.read_text()
    assert "killed" in said.read_text()
    assert test_processes(run_id) == []
    make()
