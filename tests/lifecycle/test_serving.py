"""An engine that was ready and then misbehaves: found out, explained, swept, and restarted where that is wanted."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lifecycle.conftest import Make, test_processes
from vqa.engine.ending import Ending
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState
from vqa.errors import EngineError
from vqa.settings import Settings


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Sets how the child answers from now on."""
    path = tmp_path / "switch"
    monkeypatch.setenv("FAKE_SWITCH", str(path))

    def write(mode: str) -> None:
        path.with_suffix(".new").write_text(mode)
        path.with_suffix(".new").replace(path)

    return write


@pytest.mark.parametrize(
    ("mode", "code"), [("hang", "chat_timeout"), ("error", "chat_status"), ("sick", "health_status")]
)
def test_a_server_that_stops_answering_is_unhealthy_until_it_answers_again(
    make: Make, spec: EngineSpec, switch: Callable[[str], None], mode: str, code: str
) -> None:
    engine = make()
    engine.start(spec)
    assert engine.wait(timeout=30).state is EngineState.READY
    switch(mode)
    began = time.monotonic()
    now = engine.wait(lambda now: now.state is EngineState.UNHEALTHY, 30)
    assert now.state is EngineState.UNHEALTHY
    assert time.monotonic() - began < 15
    assert now.failure is not None
    assert now.failure.code == code
    assert now.failure.message("en") != now.failure.message("zh")
    switch("ok")
    assert engine.wait(lambda now: now.state is EngineState.READY, 30).failure is None
    assert engine.history.states[-3:] == [EngineState.READY, EngineState.UNHEALTHY, EngineState.READY]


@pytest.mark.parametrize("mode", ["hang", "error"])
def test_a_server_that_is_healthy_but_never_answers_is_not_ready(
    make: Make, spec: EngineSpec, switch: Callable[[str], None], mode: str
) -> None:
    switch(mode)
    engine = make(limits={"stall": 30.0, "start": 30.0})
    engine.start(spec)
    now = engine.wait(timeout=30)
    assert now.state is EngineState.UNHEALTHY
    assert EngineState.READY not in engine.history.states
    assert now.failure is not None
    assert now.failure.message()


def test_a_model_that_takes_no_image_is_asked_in_words(
    make: Make, spec: EngineSpec, switch: Callable[[str], None]
) -> None:
    switch("text_only")
    engine = make()
    engine.start(spec)
    now = engine.wait(timeout=30)
    assert (now.state, now.takes_images) == (EngineState.READY, False)


def test_quiet_holds_back_the_questions(make: Make, spec: EngineSpec) -> None:
    engine = make(limits={"chat_every": 0.1})
    engine.start(spec)
    engine.wait(timeout=30)
    engine.quiet(60)

    def asked() -> int:
        now = engine.metrics()
        return now.generation_tokens if now else 0

    before = 0  # before it was READY it was asked at least once, which the first figures may not show yet
    while asked() != before or before == 0:  # what was under way ends first
        before = asked()
        time.sleep(0.7)
    time.sleep(1.0)
    assert asked() == before
    engine.quiet(0)
    end = time.monotonic() + 10
    while asked() <= before and time.monotonic() < end:
        time.sleep(0.05)
    assert asked() > before


def test_a_killed_leader_fails_and_its_grandchildren_are_swept(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, run_id: str
) -> None:
    monkeypatch.setenv("FAKE_CHILDREN", "stubborn,detached")
    engine = make()
    engine.start(spec)
    now = engine.wait(lambda now: now.state is EngineState.READY and len(now.pids) == 3, 30)
    assert len(test_processes(run_id)) == 3
    assert now.pid is not None
    os.kill(now.pid, signal.SIGKILL)
    now = engine.wait(lambda now: now.state is EngineState.FAILED, 30)
    assert now.failure is not None
    assert (now.failure.code, now.failure.exit_code) == ("killed", -9)
    assert test_processes(run_id) == []
    engine.start(spec)
    assert engine.wait(lambda now: now.generation == 2 and now.settled, 30).state is EngineState.READY


def test_an_engine_that_dies_later_says_so(make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_DIE_AFTER", "1")
    engine = make()
    engine.start(spec)
    now = engine.wait(lambda now: now.state is EngineState.FAILED, 30)
    assert EngineState.READY in engine.history.states
    assert now.failure is not None
    assert (now.failure.code, now.failure.exit_code) == ("died", 1)


def test_a_crash_loop_waits_longer_each_time_and_then_fails(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setenv("FAKE_DIE_AFTER", "1")
    engine = make(settings.model_copy(update={"engine_restarts": 3}), limits={"stall": 20.0, "start": 30.0})
    engine.start(spec)
    now = engine.wait(lambda now: now.state is EngineState.FAILED, 40)
    assert now.state is EngineState.FAILED
    states, S = engine.history.states, EngineState
    assert states == [S.STOPPED, *[S.STARTING, S.READY, S.BACKOFF] * 3, S.STARTING, S.READY, S.FAILED]
    waits = [now.retry_at - now.since for now in engine.history if now.state is S.BACKOFF and now.retry_at]
    assert waits == sorted(waits)
    assert waits[-1] > 2 * waits[0]
    assert now.restarts == 3


def test_a_start_asked_for_while_a_crashed_engine_is_swept_follows(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    engine = make(settings.model_copy(update={"engine_restarts": 1}), limits={"backoff": (60.0,)})
    engine.start(spec)
    pid = engine.wait(timeout=30).pid
    assert pid is not None
    swept, plain = threading.Event(), Ending.tick
    monkeypatch.setattr(Ending, "tick", lambda ending, now: swept.is_set() and plain(ending, now))
    os.kill(pid, signal.SIGKILL)
    other = replace(spec, max_model_len=1024)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:  # until the crash is noticed, an engine with another spec is running
            assert engine.start(other) == 2
            break
        except EngineError:
            time.sleep(0.02)
    swept.set()
    now = engine.wait(lambda now: now.generation == 2 and now.settled, 30)
    assert (now.state, now.spec) == (EngineState.READY, other)


def test_stop_ends_the_wait_for_a_restart(make: Make, spec: EngineSpec, settings: Settings) -> None:
    engine = make(settings.model_copy(update={"engine_restarts": 1}), limits={"backoff": (60.0,)})
    engine.start(spec)
    pid = engine.wait(timeout=30).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert engine.wait(lambda now: now.state is EngineState.BACKOFF, 30).state is EngineState.BACKOFF
    engine.stop()
    assert engine.snapshot().state is EngineState.STOPPED


def test_figures_are_read_while_it_serves(make: Make, spec: EngineSpec) -> None:
    engine = make()
    engine.start(spec)
    engine.wait(timeout=30)
    end = time.monotonic() + 10
    while len(engine.metrics_history()) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    now = engine.metrics()
    assert now is not None
    assert (now.running, now.waiting) == (0, 0)
    assert now.generation_tokens >= 1
    assert now.generation_tokens_per_second is not None
    assert now.ram_total
    assert now.engine_memory
