"""Time from start to ready under the app, beside the bare `python -m vllm…` command with the same flags."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import httpx2 as httpx

from benchmarks import Row
from vqa.engine.environments import engine_python
from vqa.engine.opening import Supervisor
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState
from vqa.models.serve import plan_start
from vqa.settings import Settings, load_settings

PAIRS = 2
BOUND = 5.0  # seconds
LIMIT = 600.0


def run() -> list[Row]:
    """Returns the median seconds to ready of both, started in turns, one at a time; ours includes a first answer."""
    ours: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(data_dir=Path(folder), engine_port=free_port(), base_url=None)
        spec, prepare = plan_start(settings, "demo")
        bare_seconds(spec, settings)  # fills the disk cache and compiles Python files for both
        for _ in range(PAIRS):
            bare.append(bare_seconds(spec, settings))
            with Supervisor(settings) as engine:
                began = time.monotonic()
                engine.start(spec, prepare)
                now = engine.wait(timeout=LIMIT)
                ours.append(time.monotonic() - began)
            if now.state is not EngineState.READY:
                raise SystemExit(now.failure.message() if now.failure else f"the engine is {now.state}")
    extra = median(ours) - median(bare)
    note = f"{extra:+.1f} s"
    return [Row("start to ready", median(ours), median(bare), "s", "at most 5 s more", extra <= BOUND, note)]


def bare_seconds(spec: EngineSpec, settings: Settings) -> float:
    """Returns the seconds until /health answers 200."""
    began = time.monotonic()
    argv = spec.argv(engine_python(settings))
    server = subprocess.Popen(
        argv,
        env=spec.env(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while time.monotonic() - began < LIMIT and server.poll() is None:
            try:
                url = spec.base_url.removesuffix("/v1") + "/health"
                if httpx.get(url, timeout=2, trust_env=False).status_code == httpx.codes.OK:
                    return time.monotonic() - began
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise SystemExit("the bare server did not become healthy")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def free_port() -> int:
    """Returns a port of this machine that nobody has."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
