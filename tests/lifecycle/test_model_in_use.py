"""A model that an engine works with is not deleted under it: from the page, from a command, held or left running."""

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lifecycle.conftest import Make
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState
from vqa.engine.supervisor import settings_beside
from vqa.models.removal import InUseError, delete
from vqa.settings import Settings


@pytest.fixture
def kept(settings: Settings, model: Path) -> Path:
    """A checkpoint in the models folder, and another one beside it."""
    for name in ("mine", "other"):
        shutil.copytree(model, settings.models_path / name)
    return settings.models_path / "mine"


def test_a_served_model_is_kept_and_its_engine_named(
    make: Make, spec: EngineSpec, settings: Settings, kept: Path
) -> None:
    engine = make()
    engine.start(replace(spec, model=str(kept)))
    with pytest.raises(InUseError):  # while it starts, too
        delete(settings, "mine")
    now = engine.wait(timeout=30)
    assert now.state is EngineState.READY
    with pytest.raises(InUseError) as refused:
        delete(settings, "mine")
    assert str(now.base_url) in refused.value.message("en")
    assert f"PID {now.pid}" in refused.value.message("zh")
    assert refused.value.hint("en") != refused.value.hint("zh")
    assert (kept / "model.safetensors").is_file()
    assert delete(settings, "other") > 0
    engine.close(leave_running=True)
    with pytest.raises(InUseError):
        delete(settings, str(kept))
    engine = make()
    engine.stop()
    engine.wait(timeout=30)
    assert delete(settings, "mine") > 0
    assert not kept.exists()


def test_a_model_that_waits_for_its_restart_is_kept(
    make: Make, spec: EngineSpec, settings: Settings, kept: Path
) -> None:
    engine = make(settings.model_copy(update={"engine_restarts": 1}), limits={"backoff": (60.0,)})
    engine.start(replace(spec, model=str(kept)))
    pid = engine.wait(timeout=120).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert engine.wait(lambda now: now.state is EngineState.BACKOFF, 120).state is EngineState.BACKOFF
    with pytest.raises(InUseError):
        delete(settings, "mine")
    engine.stop()
    assert delete(settings, "mine") > 0


def test_a_model_that_the_lab_serves_beside_the_engine_is_kept(
    make: Make, spec: EngineSpec, settings: Settings, kept: Path
) -> None:
    engine = make(settings_beside(settings, "float32"))
    engine.start(replace(spec, model=str(kept)))
    assert engine.wait(timeout=30).state is EngineState.READY
    with pytest.raises(InUseError):
        delete(settings, "mine")
    engine.stop()
    engine.wait(timeout=30)
    assert delete(settings, "mine") > 0
