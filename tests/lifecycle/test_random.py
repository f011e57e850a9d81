"""Two hundred random pairs of start and stop: no deadlock, only legal transitions, nothing left."""

import random

import pytest

from tests.lifecycle.conftest import Make, test_processes
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState


@pytest.mark.slow
def test_two_hundred_random_pairs_of_start_and_stop(make: Make, spec: EngineSpec, run_id: str) -> None:
    engine = make(limits={"stall": 60.0, "start": 60.0, "tick": 0.01})
    chance = random.Random(20)
    generation = 0
    for _ in range(200):
        started = engine.start(spec)
        assert started >= generation
        generation = started
        if chance.random() < 0.1:
            now = engine.wait(lambda now: now.state in (EngineState.READY, EngineState.FAILED), 60)
            assert now.state is EngineState.READY, now.failure
        else:
            engine.wait(lambda _: False, chance.choice([0.0, 0.0, 0.01, 0.05, 0.1]))
        engine.stop(force=chance.random() < 0.3)
        if chance.random() < 0.5:
            assert engine.wait(lambda now: now.state is EngineState.STOPPED, 60).state is EngineState.STOPPED
            assert test_processes(run_id) == []
    assert engine.wait(lambda now: now.state is EngineState.STOPPED, 60).state is EngineState.STOPPED
    engine.history.check()
    assert EngineState.FAILED not in engine.history.states
