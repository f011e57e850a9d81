"""The real vLLM outlives its app and comes back after its EngineCore was killed; a stand-in shows the other parts."""

import subprocess
import sys
import time
from pathlib import Path

import httpx2 as httpx
import psutil
import pytest

from tests.conftest import base_environment
from tests.ports import free_port
from vqa.engine.access import peek
from vqa.engine.opening import Supervisor
from vqa.engine.ports import port_free
from vqa.engine.state import EngineState, Limits, Snapshot
from vqa.settings import DEMO_MODEL, PROJECT, Settings

START_SECONDS = 600.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.engine,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(not (DEMO_MODEL / "config.json").exists(), reason="the demo model is not in this checkout"),
]


def test_the_app_and_the_engine_core_may_be_killed(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, engine_port=free_port(), engine_restarts=2)
    app = start_app(settings)
    try:
        first = wait_until_ready(settings, app)
    finally:
        app.kill()
        app.wait()
    with Supervisor(settings, limits=Limits(backoff=(0.5, 1.0, 2.0))) as engine:  # its end takes the engine along
        assert first.state is EngineState.READY, engine.log_tail(50)
        now = engine.snapshot()
        assert (now.state, now.adopted, now.pid) == (EngineState.READY, True, first.pid)
        seen = {*now.pids}

        kill_part_named(now, "EngineCore")
        engine.wait(lambda now: now.state is EngineState.BACKOFF, 60)
        assert gone(seen)
        now = ready_again(engine, 1)
        assert answers(now)
        seen = {*now.pids}

        began = time.monotonic()
        engine.stop()
        assert engine.wait(timeout=60).state is EngineState.STOPPED
        assert time.monotonic() - began < 30
    assert gone(seen)
    assert port_free("127.0.0.1", settings.engine_port)


def start_app(settings: Settings) -> subprocess.Popen[bytes]:
    """Runs `python -m vqa serve` with the demo model."""
    environment = base_environment(data_dir=settings.data_dir, engine_port=settings.engine_port)
    return subprocess.Popen([sys.executable, "-m", "vqa", "serve", str(DEMO_MODEL)], cwd=PROJECT, env=environment)


def wait_until_ready(settings: Settings, app: subprocess.Popen[bytes]) -> Snapshot:
    """Looks at the engine from outside until it is ready, its app has ended, or time is up; returns what was seen."""
    end = time.monotonic() + START_SECONDS
    while (now := peek(settings)).state is not EngineState.READY and app.poll() is None and time.monotonic() < end:
        time.sleep(0.5)
    return now


def kill_part_named(now: Snapshot, name: str) -> None:
    """Kills the process of the engine that calls itself so."""
    parts = [process for pid in now.pids if name in " ".join((process := psutil.Process(pid)).cmdline())]
    assert parts, [psutil.Process(pid).cmdline() for pid in now.pids]
    parts[0].kill()


def ready_again(engine: Supervisor, restarts: int) -> Snapshot:
    """Waits until the engine has come back by itself."""
    now = engine.wait(lambda now: now.state in (EngineState.READY, EngineState.FAILED), START_SECONDS)
    assert (now.state, now.restarts) == (EngineState.READY, restarts), now.failure
    return now


def answers(now: Snapshot) -> bool:
    """Whether the engine answers a question."""
    body = {"model": now.model_id, "messages": [{"role": "user", "content": "?"}], "max_tokens": 1}
    response = httpx.post(f"{now.base_url}/chat/completions", json=body, timeout=60, trust_env=False)
    return response.status_code == httpx.codes.OK


def gone(pids: set[int]) -> bool:
    """Whether none of these processes lives any more."""
    left = [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
    return not left
