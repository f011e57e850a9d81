"""Somebody else's server is watched like our own, but never started, stopped or asked without need."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lifecycle.conftest import QUICK, RUN
from tests.ports import free_port
from vqa.engine.attach import AttachedEngine
from vqa.engine.opening import open_engine
from vqa.engine.spec import EngineSpec
from vqa.engine.state import Engine, EngineState
from vqa.errors import EngineError
from vqa.settings import Settings


@pytest.fixture
def server(python: Path, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes], Path]]:
    """A server that is not ours: its address, its process, and the file that says how it answers."""
    port, switch = free_port(), tmp_path / "switch"
    spec = EngineSpec("m", served_model_name="theirs", port=port)
    environment = dict(os.environ) | {"FAKE_SWITCH": str(switch), RUN: "theirs"}
    child = subprocess.Popen(spec.argv(str(python)), env=environment, stdout=subprocess.DEVNULL)
    yield spec.base_url, child, switch
    child.kill()
    child.wait()


@pytest.fixture
def engine(server: tuple[str, subprocess.Popen[bytes], Path]) -> Iterator[AttachedEngine]:
    attached = AttachedEngine(server[0], "EMPTY", limits=QUICK)
    yield attached
    attached.close()


def test_a_server_of_others_is_recognised_watched_and_left_alone(
    engine: AttachedEngine, server: tuple[str, subprocess.Popen[bytes], Path]
) -> None:
    assert isinstance(engine, Engine)
    now = engine.wait(lambda now: now.state is EngineState.READY, 30)
    assert (now.model_id, now.max_model_len, now.takes_images, now.attached) == ("theirs", 1024, True, True)
    assert now.vllm_version == "0.0.fake"
    for forbidden in (engine.stop, engine.restart, lambda: engine.start(EngineSpec("m"))):
        with pytest.raises(EngineError) as refused:
            forbidden()
        assert server[0] in refused.value.message("zh")
    end = time.monotonic() + 30
    while len(engine.metrics_history()) < 5 and time.monotonic() < end:
        time.sleep(0.05)
    figures = engine.metrics()
    assert figures is not None
    assert figures.generation_tokens == 1  # one question when it attached, none since
    assert engine.log_tail() == ()


def test_its_end_and_its_return_are_noticed(
    engine: AttachedEngine, server: tuple[str, subprocess.Popen[bytes], Path]
) -> None:
    engine.wait(lambda now: now.state is EngineState.READY, 30)
    server[2].write_text("sick")
    now = engine.wait(lambda now: now.state is EngineState.UNHEALTHY, 30)
    assert now.failure is not None
    assert now.failure.code == "health_status"
    server[2].write_text("other_model")
    assert (
        engine.wait(lambda now: now.model_id == "somebody-else" and now.state is EngineState.READY, 30).failure is None
    )
    server[1].kill()
    assert engine.wait(lambda now: now.state is EngineState.UNHEALTHY, 30).state is EngineState.UNHEALTHY


def test_settings_with_an_address_attach(server: tuple[str, subprocess.Popen[bytes], Path], tmp_path: Path) -> None:
    attached = open_engine(Settings(data_dir=tmp_path, base_url=server[0]))
    try:
        assert isinstance(attached, AttachedEngine)
    finally:
        attached.close()
    assert server[1].poll() is None
