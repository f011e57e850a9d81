"""The app dies, comes back, or comes twice: the engine is found again, told from strangers, and managed by one only."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.lifecycle.conftest import QUICK, Make, test_processes
from vqa.engine import record
from vqa.engine.access import peek
from vqa.engine.opening import Supervisor, engine_folder, open_engine
from vqa.engine.process import Identity
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState, Snapshot
from vqa.errors import EngineError
from vqa.settings import Settings

Serve = Callable[[], subprocess.Popen[bytes]]


def until(settings: Settings, wanted: Callable[[Snapshot], bool], seconds: float = 40) -> Snapshot:
    """Looks at the engine from outside until `wanted` holds."""
    end = time.monotonic() + seconds
    while not wanted(now := peek(settings)):
        assert time.monotonic() < end, f"still {now.state}"
        time.sleep(0.05)
    return now


def heed_ctrl_c() -> None:
    """A shell that runs the tests in the background makes everything below it ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def serve(settings: Settings, model: Path, run_id: str) -> Iterator[Serve]:
    """Runs `python -m vqa serve` on the misbehaving child."""
    apps: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        environment = dict(os.environ) | {
            "VQA_DATA_DIR": str(settings.data_dir),
            "VQA_VLLM_PYTHON": str(settings.vllm_python),
            "VQA_ENGINE_PORT": str(settings.engine_port),
        }
        app = subprocess.Popen(
            [sys.executable, "-m", "vqa", "serve", str(model)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=heed_ctrl_c,  # noqa: PLW1509
        )
        apps.append(app)
        return app

    yield start
    for app in apps:
        app.kill()
        app.wait()


def ready(settings: Settings) -> Snapshot:
    return until(settings, lambda now: now.state is EngineState.READY)


def test_a_killed_app_leaves_an_engine_that_the_next_one_adopts(settings: Settings, serve: Serve, make: Make) -> None:
    app = serve()
    first = ready(settings)
    app.kill()
    app.wait()
    engine = make()
    now = engine.snapshot()
    assert (now.state, now.adopted, now.pid, now.generation) == (EngineState.READY, True, first.pid, first.generation)
    assert now.model_id == first.model_id
    before = len(engine.log_tail(1000))
    assert before
    engine.wait(lambda now: False, 0.5)
    assert any("POST /v1/chat/completions" in line for line in engine.log_tail(1000)[before - 1 :])
    engine.stop()
    assert engine.wait(timeout=30).state is EngineState.STOPPED
    assert engine.history.states == [EngineState.READY, EngineState.STOPPING, EngineState.STOPPED]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_page_manages_the_engine_itself_when_the_command_that_did_is_gone(
    settings: Settings, spec: EngineSpec, serve: Serve, sent: signal.Signals
) -> None:
    app = serve()
    first = ready(settings)
    engine = open_engine(settings, kind="page", limits=QUICK)
    try:
        now = engine.snapshot()
        assert (now.state, now.pid, f"PID {app.pid}" in (now.holder or "")) == (EngineState.READY, first.pid, True)
        app.send_signal(sent)
        app.wait()
        now = engine.snapshot()
        if sent is signal.SIGKILL:  # what is left running is adopted; else the command took it along
            assert (now.state, now.pid, now.holder) == (EngineState.READY, first.pid, None)
            engine.stop()
        assert engine.wait(lambda now: now.state is EngineState.STOPPED, 30).state is EngineState.STOPPED
        engine.start(spec)
        assert engine.wait(timeout=30).state is EngineState.READY
    finally:
        engine.close()
    assert peek(settings).state is EngineState.STOPPED


def test_a_second_ctrl_c_forces_an_engine_that_came_down_to_the_page(
    settings: Settings, spec: EngineSpec, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_IGNORE_TERM", "1")
    app = serve()
    ready(settings)
    engine = open_engine(settings, kind="page", limits=replace(QUICK, term=60.0))
    app.kill()
    app.wait()
    assert engine.snapshot().holder is None
    before = signal.signal(signal.SIGALRM, lambda *_: engine.stop(force=True))  # as the app's handler, on this thread
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        began = time.monotonic()
        engine.close()
        assert time.monotonic() - began < 30, "the polite stop would have waited 60 s"
    finally:
        signal.signal(signal.SIGALRM, before)
    assert peek(settings).state is EngineState.STOPPED


def test_an_engine_that_was_still_starting_is_adopted_as_such(
    settings: Settings, serve: Serve, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_DELAY", "6")
    app = serve()
    until(settings, lambda now: now.pid is not None)
    app.kill()
    app.wait()
    engine = make(limits={"stall": 30.0, "start": 60.0})
    assert (engine.snapshot().state, engine.snapshot().adopted) == (EngineState.STARTING, True)
    assert engine.wait(timeout=20).state is EngineState.READY


def test_an_adopted_engine_that_does_not_answer_is_unhealthy(
    settings: Settings, make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    switch = tmp_path / "switch"
    switch.write_text("ok")
    monkeypatch.setenv("FAKE_SWITCH", str(switch))
    first = make()
    first.start(spec)
    first.wait(timeout=30)
    first.close(leave_running=True)
    switch.write_text("error")
    engine = make()
    now = engine.snapshot()
    assert (now.state, now.adopted) == (EngineState.UNHEALTHY, True)
    assert now.failure is not None
    switch.write_text("ok")
    assert engine.wait(lambda now: now.state is EngineState.READY, 30).state is EngineState.READY


def test_an_adopted_engine_that_dies_is_noticed(
    make: Make, spec: EngineSpec, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CHILDREN", "stubborn,detached")
    first = make()
    first.start(spec)
    first.wait(lambda now: now.state is EngineState.READY and len(now.pids) == 3, 30)
    first.close(leave_running=True)
    engine = make()
    assert len(test_processes(run_id)) == 3
    os.kill(engine.snapshot().pid or 0, signal.SIGKILL)
    assert engine.wait(lambda now: now.state is EngineState.FAILED, 30).state is EngineState.FAILED
    assert test_processes(run_id) == []


def test_what_a_dead_engine_left_is_swept_by_the_next_app(
    settings: Settings, make: Make, spec: EngineSpec, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CHILDREN", "stubborn,detached")
    first = make()
    first.start(spec)
    now = first.wait(lambda now: now.state is EngineState.READY and len(now.pids) == 3, 30)
    first.close(leave_running=True)
    os.kill(now.pid or 0, signal.SIGKILL)
    os.waitpid(now.pid or 0, 0)
    assert len(test_processes(run_id)) == 2
    engine = make()
    assert engine.snapshot().state is EngineState.STOPPED
    engine.start(spec)
    assert engine.wait(timeout=30).state is EngineState.READY
    assert now.pid not in {process.pid for process in test_processes(run_id)}
    assert len(test_processes(run_id)) == 3


def test_an_engine_whose_pid_was_never_written_down_is_found_by_its_marker(
    make: Make, spec: EngineSpec, settings: Settings
) -> None:
    first = make()
    first.start(spec)
    pid = first.wait(timeout=30).pid
    first.close(leave_running=True)
    path = engine_folder(settings) / "engine.json"
    written = record.load(path)
    assert written is not None
    record.save(path, replace(written, identity=Identity(0, 0.0, 0, written.identity.marker)))
    engine = make()
    assert (engine.snapshot().state, engine.snapshot().pid) == (EngineState.READY, pid)


@pytest.fixture
def stranger() -> Iterator[psutil.Process]:
    """A process of the same user that has nothing to do with us, in a group of its own."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield psutil.Process(child.pid)
    child.kill()
    child.wait()


@pytest.mark.parametrize("wrong", ["created", "marker", "pgid", "all"])
def test_a_reused_pid_is_never_signalled(
    make: Make, spec: EngineSpec, settings: Settings, stranger: psutil.Process, wrong: str
) -> None:
    created = stranger.create_time() - (100 if wrong in ("created", "all") else 0)
    pgid = stranger.pid + (1 if wrong in ("pgid", "all") else 0)
    identity = Identity(stranger.pid, created, pgid, "0" * 32)
    folder = engine_folder(settings)
    members = (replace_member(stranger),) if wrong == "all" else ()
    record.save(folder / "engine.json", record.Record(7, spec, identity, time.time(), members, ready_at=time.time()))
    assert peek(settings).state is EngineState.STOPPED
    engine = make()
    assert engine.snapshot().state is EngineState.STOPPED
    engine.stop()
    engine.start(spec)
    now = engine.wait(timeout=30)
    assert (now.state, now.generation) == (EngineState.READY, 8)
    engine.stop()
    engine.wait(timeout=30)
    assert stranger.status() != psutil.STATUS_ZOMBIE
    assert stranger.is_running()


def replace_member(process: psutil.Process) -> object:
    from vqa.engine.process import Member

    return Member(process.pid, process.create_time() - 50)


def test_a_damaged_record_counts_as_none(make: Make, settings: Settings) -> None:
    path = engine_folder(settings) / "engine.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"version": 1, "identity": {"pid": "x"')
    assert make().snapshot().state is EngineState.STOPPED
    path.unlink()


def test_a_second_app_on_the_same_folder_refuses_and_names_the_first(make: Make, settings: Settings) -> None:
    make()
    with pytest.raises(EngineError) as refused:
        Supervisor(settings, limits=None)
    assert refused.value.code == "engine_locked"
    assert f"PID {os.getpid()}" in refused.value.message("zh")


def test_sigterm_to_the_app_takes_the_engine_along(
    settings: Settings, serve: Serve, make: Make, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CHILDREN", "stubborn")
    app = serve()
    ready(settings)
    assert len(test_processes(run_id)) == 3
    app.terminate()
    assert app.wait(20) == 143
    assert test_processes(run_id) == []
    assert peek(settings).state is EngineState.STOPPED


def test_a_second_ctrl_c_forces_the_end(
    settings: Settings, serve: Serve, make: Make, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_IGNORE_TERM", "1")
    app = serve()
    ready(settings)
    app.send_signal(signal.SIGINT)
    until(settings, lambda now: now.state is EngineState.STOPPING)
    time.sleep(0.3)
    began = time.monotonic()
    app.send_signal(signal.SIGINT)
    app.wait(20)
    assert time.monotonic() - began < 8  # the polite stop would have waited 15 s
    assert test_processes(run_id) == []
