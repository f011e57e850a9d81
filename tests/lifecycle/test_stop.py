"""Stops: polite first, then the whole group, in any state, twice, and before anything new is started."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lifecycle.conftest import Make, test_processes
from vqa.engine import process
from vqa.engine.spec import EngineSpec
from vqa.engine.state import DownloadBytes, EngineState
from vqa.errors import ModelError


def stopped_after(engine, seconds: float) -> float:
    """Stops `engine`; fails when that takes longer than `seconds`; returns how long it took."""
    began = time.monotonic()
    engine.stop()
    assert engine.wait(timeout=seconds + 5).state is EngineState.STOPPED
    took = time.monotonic() - began
    assert took < seconds
    return took


@pytest.mark.parametrize(
    ("ignores", "children"),
    [
        ("", ""),
        ("1", ""),
        ("", "stubborn"),
        ("1", "stubborn,stubborn"),
        ("", "detached"),
        ("1", "stubborn,detached"),
        ("", "late"),
    ],
    ids=["polite", "leader", "grandchild", "both", "detached", "all", "late"],
)
def test_what_ignores_sigterm_is_gone_within_the_budget(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, run_id: str, ignores: str, children: str
) -> None:
    monkeypatch.setenv("FAKE_IGNORE_TERM", ignores)
    monkeypatch.setenv("FAKE_CHILDREN", children)
    engine = make()
    engine.start(spec)
    assert engine.wait(timeout=30).state is EngineState.READY
    expected = 1 + len([kind for kind in children.split(",") if kind in ("stubborn", "detached")])
    assert len(test_processes(run_id)) == expected
    engine.wait(lambda now: len(now.pids) == expected, 30)
    stopped_after(engine, 6)
    assert test_processes(run_id) == []


@pytest.fixture
def undying(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[int]]:
    """PIDs that no signal reaches, as if they hung in the kernel; a real process cannot be made so on demand."""
    pids: set[int] = set()
    send = process._send
    monkeypatch.setattr(process, "_send", lambda to, number: None if to.pid in pids else send(to, number))
    yield pids
    pids.clear()


def test_what_not_even_sigkill_ends_is_named_and_nothing_starts_beside_it(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, run_id: str, undying: set[int]
) -> None:
    monkeypatch.setenv("FAKE_CHILDREN", "detached")
    engine = make(limits={"term": 0.3, "kill": 3.0})
    engine.start(spec)
    now = engine.wait(lambda now: now.state is EngineState.READY and len(now.pids) == 2, 30)
    (grandchild,) = set(now.pids) - {now.pid}
    undying.add(grandchild)
    engine.stop()
    now = engine.wait(timeout=30)
    assert (now.state, now.survivors) == (EngineState.FAILED, (grandchild,))
    assert now.failure is not None
    assert now.failure.code == "survivors"
    assert str(grandchild) in now.failure.message("zh")

    engine.start(spec)
    now = engine.wait(timeout=30)
    assert (now.state, now.failure and now.failure.code) == (EngineState.FAILED, "survivors")
    assert [each.pid for each in test_processes(run_id)] == [grandchild]

    undying.clear()
    end = time.monotonic() + 10
    while engine.snapshot().state is EngineState.FAILED and time.monotonic() < end:
        engine.start(spec)  # it may still be dying when it is looked for
        engine.wait(timeout=30)
    assert engine.wait(lambda now: len(now.pids) == 2, 30).state is EngineState.READY
    assert grandchild not in {each.pid for each in test_processes(run_id)}
    stopped_after(engine, 6)


def test_stop_while_starting_and_twice(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, run_id: str
) -> None:
    monkeypatch.setenv("FAKE_LOG", "chatty")
    engine = make()
    engine.start(spec)
    assert engine.snapshot().state is EngineState.STARTING
    engine.stop()
    stopped_after(engine, 6)
    stopped_after(engine, 1)
    assert test_processes(run_id) == []


def test_stop_while_stopping_is_harmless(make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_IGNORE_TERM", "1")
    engine = make()
    engine.start(spec)
    engine.wait(timeout=30)
    engine.stop()
    assert engine.snapshot().state is EngineState.STOPPING
    stopped_after(engine, 6)


def test_a_forced_stop_does_not_wait_for_politeness(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_IGNORE_TERM", "1")
    engine = make(limits={"term": 60.0})
    engine.start(spec)
    engine.wait(timeout=30)
    engine.stop()
    began = time.monotonic()
    engine.stop(force=True)
    assert engine.wait(timeout=30).state is EngineState.STOPPED
    assert time.monotonic() - began < 30  # politeness would wait 60 s


def test_start_while_stopping_waits_until_the_old_one_is_gone(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, run_id: str
) -> None:
    monkeypatch.setenv("FAKE_IGNORE_TERM", "1")
    engine = make()
    engine.start(spec)
    old = engine.wait(timeout=30).pid
    engine.stop()
    second = engine.start(spec.with_profile("serial"))
    assert second == 2
    now = engine.wait(lambda now: now.generation == 2 and now.settled, 15)
    assert now.state is EngineState.READY
    assert now.pid != old
    assert [process.pid for process in test_processes(run_id)] == [now.pid]
    states = engine.history.states
    assert states[-3:] == [EngineState.STOPPING, EngineState.STARTING, EngineState.READY]


def test_stop_takes_back_a_start_that_waits(make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_IGNORE_TERM", "1")
    engine = make()
    engine.start(spec)
    engine.wait(timeout=30)
    engine.stop()
    engine.start(spec)
    stopped_after(engine, 6)


def test_restart_is_a_stop_and_a_start(make: Make, spec: EngineSpec) -> None:
    engine = make()
    engine.start(spec)
    old = engine.wait(timeout=30).pid
    assert engine.restart() == 2
    now = engine.wait(lambda now: now.generation == 2 and now.settled, 15)
    assert (now.state, now.spec) == (EngineState.READY, spec)
    assert now.pid != old


def test_stop_while_downloading_cancels_it(make: Make, spec: EngineSpec) -> None:
    cancelled_at: list[float] = []

    def prepare(wanted, report, cancelled) -> EngineSpec:
        report(DownloadBytes(10, 100))
        while not cancelled():
            time.sleep(0.01)
        cancelled_at.append(time.monotonic())
        return wanted

    engine = make()
    engine.start(spec, prepare)
    now = engine.wait(lambda now: now.progress is not None and now.progress.done_bytes == 10, 30)
    assert (now.state, now.phase) == (EngineState.DOWNLOADING, "downloading")
    stopped_after(engine, 3)
    assert cancelled_at


def test_a_download_that_does_not_heed_the_stop_is_left_behind_and_its_result_dropped(
    make: Make, spec: EngineSpec
) -> None:
    go_on = threading.Event()

    def prepare(wanted, report, cancelled) -> EngineSpec:
        go_on.wait(20)
        return wanted

    engine = make()
    engine.start(spec, prepare)
    stopped_after(engine, 4)
    go_on.set()
    engine.start(spec)
    assert engine.wait(timeout=30).generation == 2


def test_a_finished_download_is_served(make: Make, spec: EngineSpec) -> None:
    engine = make()
    engine.start(replace(spec, model="some/model"), lambda wanted, *_: replace(wanted, model=spec.model))
    now = engine.wait(timeout=30)
    assert now.state is EngineState.READY
    assert now.spec is not None
    assert now.spec.model == spec.model
    assert [mark.phase for mark in now.phases][:2] == ["downloading", "importing"]


def test_a_failed_download_is_a_card(make: Make, spec: EngineSpec) -> None:
    def prepare(wanted, report, cancelled) -> EngineSpec:
        raise ModelError("model_folder_missing", path="some/model")

    engine = make()
    engine.start(spec, prepare)
    now = engine.wait(timeout=30)
    assert now.state is EngineState.FAILED
    assert now.failure is not None
    assert "some/model" in now.failure.message("zh")
    engine.stop()
    assert engine.snapshot().state is EngineState.STOPPED


def test_the_log_of_a_stopped_engine_can_still_be_read(make: Make, spec: EngineSpec, tmp_path: Path) -> None:
    engine = make()
    engine.start(spec)
    engine.wait(timeout=30)
    stopped_after(engine, 6)
    assert any("Starting to load model" in line for line in engine.log_tail())
