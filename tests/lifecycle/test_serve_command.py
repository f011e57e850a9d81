"""What `vqa serve` says: its address once it is ready, and the cause when its engine dies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.conftest import ROOT
from tests.lifecycle.conftest import Make, test_processes
from vqa.engine.access import peek
from vqa.settings import Settings


def test_it_tells_its_address_and_ends_with_the_cause_when_its_engine_dies(
    make: Make, settings: Settings, model: Path, run_id: str, tmp_path: Path
) -> None:
    given = {"DATA_DIR": settings.data_dir, "VLLM_PYTHON": settings.vllm_python, "ENGINE_PORT": settings.engine_port}
    environment = dict(os.environ) | {f"VQA_{name}": str(value) for name, value in given.items()}
    said = tmp_path / "said.txt"
    with said.open("wb") as out:
        words = [sys.executable, "-m", "vqa", "serve", str(model)]
        command = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=out, stderr=out)
    try:
        end = time.monotonic() + 90
        while f"http://127.0.0.1:{settings.engine_port}/v1" not in said.read_text():
            assert command.poll() is None and time.monotonic() < end, said.read_text()
            time.sleep(0.1)
        now = peek(settings)
        assert now.pid is not None
        psutil.Process(now.pid).kill()
        assert command.wait(60) == 1, said.read_text()
    finally:
        command.kill()
        command.wait()
    assert "killed" in said.read_text()
    assert test_processes(run_id) == []
    make()  # and nothing is left: no port, no record, no lock
