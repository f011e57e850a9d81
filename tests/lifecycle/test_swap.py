"""A restart with another model: the one that serves goes on until the other is there, and comes back if it fails."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lifecycle.conftest import Make
from vqa.engine.spec import EngineSpec
from vqa.engine.state import DownloadBytes, EngineState
from vqa.engine.supervisor import Supervisor
from vqa.errors import ModelError


@pytest.fixture
def other(spec: EngineSpec, model: Path, tmp_path: Path) -> EngineSpec:
    """The same with another model."""
    shutil.copytree(model, tmp_path / "other")
    return replace(spec, model=str(tmp_path / "other"))


def serving(make: Make, spec: EngineSpec) -> Supervisor:
    engine = make()
    engine.start(spec)
    assert engine.wait(timeout=30).state is EngineState.READY
    return engine


def test_another_model_is_fetched_while_the_first_goes_on_serving(
    make: Make, spec: EngineSpec, other: EngineSpec
) -> None:
    engine, fetched = serving(make, spec), threading.Event()
    first = engine.snapshot().pid

    def prepare(wanted, report, _) -> EngineSpec:
        report(DownloadBytes(10, 100))
        assert fetched.wait(20)
        return wanted

    generation = engine.restart(other, prepare)
    now = engine.wait(lambda now: now.progress is not None, 10)
    assert (now.state, now.pid, now.spec) == (EngineState.READY, first, spec)
    fetched.set()
    now = engine.wait(lambda now: now.generation == generation and now.settled, 30)
    assert (now.state, now.spec, now.failure, now.progress) == (EngineState.READY, other, None, None)
    assert now.pid != first


def test_a_model_that_cannot_be_fetched_or_used_costs_nothing(make: Make, spec: EngineSpec, other: EngineSpec) -> None:
    engine = serving(make, spec)
    first = engine.snapshot().pid

    def prepare(*_: object) -> EngineSpec:
        raise ModelError("model_unknown", model="other", known="")

    generation = engine.restart(other, prepare)
    now = engine.wait(lambda now: now.generation == generation, 10)
    assert (now.state, now.pid, now.spec) == (EngineState.READY, first, spec)
    assert now.failure is not None
    (Path(other.model) / "model.safetensors").unlink()
    generation = engine.restart(other, lambda wanted, *_: wanted)
    now = engine.wait(lambda now: now.generation == generation, 10)
    assert (now.state, now.pid, now.spec) == (EngineState.READY, first, spec)
    assert now.failure is not None
    assert now.failure.code == "errors.model_folder_without_weights"


def test_a_model_that_does_not_start_gives_way_to_the_former_one(
    make: Make, spec: EngineSpec, other: EngineSpec
) -> None:
    engine = serving(make, spec)
    first = engine.snapshot().pid
    (Path(other.model) / "refuses").touch()
    generation = engine.restart(other)
    now = engine.wait(lambda now: now.generation == generation and now.settled, 30)
    assert (now.state, now.spec) == (EngineState.READY, spec)
    assert now.pid != first
    assert now.failure is not None
    assert "cannot be loaded" in "".join(now.failure.log_tail)
    assert EngineState.FAILED not in engine.history.states


def test_a_stop_takes_back_a_model_that_is_still_being_fetched(make: Make, spec: EngineSpec, other: EngineSpec) -> None:
    engine, given_up = serving(make, spec), threading.Event()

    def prepare(wanted, _, cancelled) -> EngineSpec:
        while not cancelled():
            threading.Event().wait(0.01)
        given_up.set()
        return wanted

    engine.restart(other, prepare)
    engine.stop()
    assert engine.wait(timeout=20).state is EngineState.STOPPED
    assert given_up.wait(5)
    assert engine.snapshot().spec == spec
