"""`python app.py` itself: it leaves its engine when told to, the next one adopts it, and a second one keeps away."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.apps import with_recorded_runs
from tests.conftest import ROOT, wait_for_url
from tests.lifecycle.conftest import Make, test_processes
from tests.ports import free_port
from vqa.engine.access import peek
from vqa.engine.state import EngineState, Snapshot
from vqa.settings import Settings

App = subprocess.Popen[bytes]
Start = Callable[..., tuple[App, int, Path]]


@pytest.fixture
def app(settings: Settings, model: Path, run_id: str, tmp_path: Path) -> Iterator[Start]:
    """Runs apps on one data folder whose vLLM is the misbehaving child."""
    apps: list[App] = []
    with_recorded_runs(settings.data_dir)

    def start(**own: object) -> tuple[App, int, Path]:
        port, log = free_port(), tmp_path / f"app{len(apps)}.log"
        given = {
            "data_dir": settings.data_dir,
            "vllm_python": settings.vllm_python,
            "engine_port": settings.engine_port,
            "model": model,
            "port": port,
            **own,
        }
        environment = dict(os.environ) | {f"VQA_{name.upper()}": str(value) for name, value in given.items()}
        with log.open("wb") as out:
            apps.append(subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=out, stderr=out))
        return apps[-1], port, log

    yield start
    for each in apps:
        each.kill()
        each.wait()


def serving(settings: Settings, app: App, log: Path) -> Snapshot:
    end = time.monotonic() + 90
    while (now := peek(settings)).state is not EngineState.READY:
        assert app.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    return now


@pytest.mark.slow
def test_an_engine_that_is_to_be_left_outlives_its_app_and_is_adopted_by_the_next(
    make: Make, settings: Settings, app: Start, run_id: str
) -> None:
    first, _, log = app(leave_engine=True)
    pid = serving(settings, first, log).pid
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0, log.read_text()
    left = peek(settings)
    assert (left.state, left.pid, left.holder) == (EngineState.READY, pid, None)

    second, _, log = app()  # which does not leave it
    end = time.monotonic() + 90
    while (now := peek(settings)).holder is None or now.state is not EngineState.READY:
        assert second.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    assert (now.pid, now.adopted) == (pid, True)
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0, log.read_text()
    assert test_processes(run_id) == []
    assert peek(settings).state is EngineState.STOPPED
    make()  # and nothing is left: no port, no record, no lock


@pytest.mark.slow
def test_a_second_app_on_the_same_folder_ends_names_the_first_and_touches_nothing(
    make: Make, settings: Settings, app: Start
) -> None:
    first, port, log = app()
    wait_for_url(f"http://127.0.0.1:{port}", first, log, 90)
    pid = serving(settings, first, log).pid
    second, _, told = app()
    assert second.wait(90) == 2, told.read_text()
    assert f"PID {first.pid}" in told.read_text()
    assert "Traceback" not in told.read_text()
    now = peek(settings)
    assert (now.state, now.pid) == (EngineState.READY, pid)
    assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=30).status_code == 200
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0, log.read_text()
    assert peek(settings).state is EngineState.STOPPED
    make()
