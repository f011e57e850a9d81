"""Nobody manages a running engine: a look says what it answers, not what was once written down, and changes nothing."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.lifecycle.conftest import Make
from vqa import cli
from vqa.engine.access import in_use, peek
from vqa.engine.opening import engine_folder
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState
from vqa.settings import Settings

Switch = Callable[[str], None]


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Switch:
    """Sets how the child answers from now on."""
    path = tmp_path / "switch"
    monkeypatch.setenv("FAKE_SWITCH", str(path))
    return lambda mode: path.write_text(mode) and None


@pytest.fixture
def left(make: Make, spec: EngineSpec, switch: Switch) -> Iterator[int]:
    """The PID of an engine that was ready when it was left running; it is taken over and stopped afterwards."""
    first = make()
    first.start(spec)
    pid = first.wait(timeout=30).pid
    first.close(leave_running=True)
    assert pid is not None
    yield pid
    switch("ok")
    make()


@pytest.mark.parametrize(
    ("mode", "code"), [("error", "chat_status"), ("sick", "health_status"), ("other_model", "other_model")]
)
def test_an_engine_that_was_ready_and_no_longer_answers_is_not_called_ready(
    left: int, switch: Switch, settings: Settings, mode: str, code: str
) -> None:
    switch(mode)
    now = peek(settings)
    assert (now.state, now.pid, now.model_id) == (EngineState.UNHEALTHY, left, None)
    assert now.failure is not None
    assert now.failure.code == code
    assert now.failure.log_tail
    assert now.failure.message("en") != now.failure.message("zh")
    switch("ok")
    now = peek(settings)
    assert (now.state, now.pid, now.model_id) == (EngineState.READY, left, "fake")
    assert (now.max_model_len, now.takes_images, now.failure) == (1024, True, None)


def test_the_status_command_tells_it_by_its_words_and_its_exit_status(
    left: int, switch: Switch, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # a command's own handlers are not for the tests
    monkeypatch.setenv("VQA_DATA_DIR", str(settings.data_dir))
    before = {path.name: path.read_bytes() for path in engine_folder(settings).glob("*.json")}
    assert cli.main(["status"]) == 0
    assert "Ready" in capsys.readouterr().out
    switch("error")
    assert cli.main(["status"]) == 1
    told = capsys.readouterr().out
    assert "Not answering" in told
    assert "status 500" in told
    assert {path.name: path.read_bytes() for path in engine_folder(settings).glob("*.json")} == before


def test_an_engine_that_still_loads_is_called_starting_with_its_phase(
    make: Make, spec: EngineSpec, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_DELAY", "8")
    first = make()
    first.start(spec)
    first.wait(lambda now: now.phase == "loading", 30)
    first.close(leave_running=True)
    now = peek(settings)
    assert (now.state, now.phase, now.failure, now.model_id) == (EngineState.STARTING, "loading", None, None)
    make()


def test_an_engine_that_became_ready_while_nobody_looked_is_ready(
    make: Make, spec: EngineSpec, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_DELAY", "1.5")
    first = make()
    first.start(spec)
    first.close(leave_running=True)
    assert peek(settings).state is EngineState.STARTING
    end = time.monotonic() + 30
    while (now := peek(settings)).state is not EngineState.READY and time.monotonic() < end:
        time.sleep(0.05)
    assert (now.state, now.ready_at, now.model_id) == (EngineState.READY, None, "fake")
    make()


def test_what_an_engine_left_that_was_killed_is_named_and_ended_by_whoever_looks(
    make: Make, spec: EngineSpec, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CHILDREN", "stubborn")
    first = make()
    first.start(spec)
    now = first.wait(timeout=30)
    assert now.pid is not None
    (worker,) = set(now.pids) - {now.pid}
    first.close(leave_running=True)
    leader, process = psutil.Process(now.pid), psutil.Process(worker)
    leader.kill()
    psutil.wait_procs([leader], timeout=20)
    told = peek(settings)
    assert told.state is EngineState.FAILED
    assert told.failure is not None
    assert (told.failure.code, told.failure.values) == ("left_behind", {"pids": f"{worker}"})
    assert str(worker) in told.failure.message("zh")
    assert not process.is_running()
    assert told.survivors == ()
    assert peek(settings).state is EngineState.STOPPED
    make()


def test_what_is_in_use_is_told_without_a_question_and_only_while_it_lives(
    make: Make, spec: EngineSpec, settings: Settings
) -> None:
    assert in_use(settings) is None
    engine = make()
    assert in_use(settings) is None
    engine.start(spec)
    pid = engine.wait(timeout=30).pid
    held = in_use(settings)
    assert held is not None
    assert (held.spec, held.pid) == (spec, pid)
    engine.close(leave_running=True)
    recorded = in_use(settings)
    assert recorded is not None
    assert (recorded.spec, recorded.pid) == (spec, pid)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert in_use(settings) is None
    assert peek(settings).state is EngineState.STOPPED
    make()
