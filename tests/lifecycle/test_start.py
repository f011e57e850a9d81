"""Starts that fail: each ends in FAILED with its cause, in time, and with nothing left."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from tests.lifecycle.conftest import Make, test_processes
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState
from vqa.errors import EngineError, InputError
from vqa.settings import Settings

OUT_OF_MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
UNKNOWN_FLAG = "api_server.py: error: unrecognized arguments: --no-such-flag=1"


PART_KILLED = "RuntimeError: Engine core initialization failed. Failed core proc(s): {'EngineCore': -9}"


@pytest.mark.parametrize(
    ("text", "code"),
    [(OUT_OF_MEMORY, "out_of_memory"), (UNKNOWN_FLAG, "unknown_flag"), (PART_KILLED, "part_killed")],
)
def test_exit_with_a_known_text_fails_within_two_seconds_without_retry(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, code: str
) -> None:
    monkeypatch.setenv("FAKE_EXIT", text)
    monkeypatch.setenv("FAKE_STAMP", str(tmp_path / "exited"))
    engine = make(limits={"stall": 30.0})
    engine.start(spec)
    now = engine.wait(lambda now: now.state is EngineState.FAILED, 20)
    assert now.since - float((tmp_path / "exited").read_text()) < 2
    assert now.failure is not None
    assert (now.failure.code, now.failure.log_line) == (code, text)
    assert len(now.failure.log_tail) == 50
    assert now.failure.log_tail[-1] == text
    for language in ("en", "zh"):
        assert now.failure.message(language)
        assert now.failure.hint(language)
    assert engine.history.states == [EngineState.STOPPED, EngineState.STARTING, EngineState.FAILED]


def test_a_start_that_the_kernel_kills_for_memory_says_killed_and_sweeps_the_rest(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, run_id: str
) -> None:
    monkeypatch.setenv("FAKE_LOG", "chatty")
    monkeypatch.setenv("FAKE_CHILDREN", "stubborn,detached")
    engine = make()
    engine.start(spec)
    now = engine.wait(lambda now: len(now.pids) == 3, 30)
    assert now.pid is not None
    os.kill(now.pid, signal.SIGKILL)  # as the out-of-memory killer does, which spares the others
    now = engine.wait(timeout=30)
    assert now.failure is not None
    assert (now.state, now.failure.code, now.failure.exit_code) == (EngineState.FAILED, "killed", -9)
    assert "memory" in now.failure.message("en")
    assert test_processes(run_id) == []


def test_ready_comes_after_the_first_question_with_candidates(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_COMPILES", "2")
    engine = make(limits={"warm": 60.0})
    engine.start(spec)
    assert engine.wait(timeout=60).state is EngineState.READY
    assert any(line.startswith("compiled for") for line in engine.log_tail(200))


def test_a_question_that_takes_too_long_holds_no_start_back(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_COMPILES", "600")
    engine = make(limits={"warm": 0.3})
    engine.start(spec)
    assert engine.wait(timeout=60).state is EngineState.READY


def test_a_silent_start_fails_at_the_stall_limit(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, run_id: str
) -> None:
    monkeypatch.setenv("FAKE_LOG", "silent")
    engine = make(limits={"stall": 2.5})
    began = time.monotonic()
    engine.start(spec)
    now = engine.wait(lambda now: now.state is EngineState.FAILED, 30)
    assert now.failure is not None
    assert now.failure.code == "stalled"
    assert 2.5 < time.monotonic() - began < 15
    assert test_processes(run_id) == []


def test_a_start_that_goes_on_logging_fails_only_at_the_hard_limit(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_LOG", "chatty")
    engine = make(limits={"stall": 4.0, "start": 5.0})
    began = time.monotonic()
    engine.start(spec)
    now = engine.wait(lambda now: now.state is EngineState.FAILED, 30)
    assert now.failure is not None
    assert now.failure.code == "too_long"
    assert 5.0 <= time.monotonic() - began < 15


@pytest.fixture(params=[False, True], ids=["plain", "reuseport"])
def occupied(request: pytest.FixtureRequest, settings: Settings) -> Iterator[int]:
    with socket.socket() as holder:
        if request.param:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", settings.engine_port))
        holder.listen()
        yield settings.engine_port


def test_a_taken_port_fails_before_anything_is_spawned(
    make: Make, spec: EngineSpec, occupied: int, run_id: str
) -> None:
    engine = make()
    engine.start(spec)
    now = engine.wait(timeout=30)
    assert now.state is EngineState.FAILED
    assert now.failure is not None
    assert now.failure.code == "port_taken"
    assert f"PID {os.getpid()}" in now.failure.message()
    offered = int(str(now.failure.values["free"]))
    assert offered > occupied
    assert engine.history.states == [EngineState.STOPPED, EngineState.FAILED]
    assert test_processes(run_id) == []


def test_a_port_that_is_bound_but_not_listening_is_taken(make: Make, spec: EngineSpec, settings: Settings) -> None:
    with socket.socket() as holder:  # a vLLM that still loads its weights looks like this
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", settings.engine_port))
        engine = make()
        engine.start(spec)
        now = engine.wait(timeout=30)
        assert now.failure is not None
        assert now.failure.code == "port_taken"


class Stranger(BaseHTTPRequestHandler):
    """Answers 200 to everything, and even names the right model."""

    def do_GET(self) -> None:
        body = b'{"data": [{"id": "fake"}]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_request(self, *_: object) -> None:
        pass


def test_a_stranger_that_answers_on_the_port_never_makes_it_ready(
    make: Make, spec: EngineSpec, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_LOG", "chatty")
    engine = make(limits={"start": 30.0})
    engine.start(spec)
    engine.wait(lambda now: now.pid is not None, 30)
    with ThreadingHTTPServer(("127.0.0.1", settings.engine_port), Stranger) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        now = engine.wait(timeout=30)
        stranger.shutdown()
    assert EngineState.READY not in engine.history.states
    assert now.failure is not None
    assert now.failure.code == "port_taken"
    assert f"PID {os.getpid()}" in now.failure.message()


def test_another_model_on_the_port_never_makes_it_ready(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "switch").write_text("other_model")
    monkeypatch.setenv("FAKE_SWITCH", str(tmp_path / "switch"))
    engine = make(limits={"start": 5.0})
    engine.start(spec)
    assert engine.wait(lambda now: now.state in (EngineState.READY, EngineState.FAILED), 30).state is EngineState.FAILED


def test_twenty_starts_at_once_are_one_process(make: Make, spec: EngineSpec, run_id: str) -> None:
    engine = make()
    generations: list[int] = []
    callers = [threading.Thread(target=lambda: generations.append(engine.start(spec))) for _ in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    now = engine.wait(timeout=30)
    assert now.state is EngineState.READY
    assert generations == [1] * 20
    assert len(test_processes(run_id)) == 1


def test_a_start_with_other_settings_while_one_runs_is_refused(make: Make, spec: EngineSpec) -> None:
    engine = make()
    engine.start(spec)
    with pytest.raises(EngineError) as refused:
        engine.start(spec.with_profile("serial"))
    assert refused.value.code == "engine_busy"


def test_phases_and_time_are_told_while_it_starts(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_DELAY", "0.3")
    engine = make()
    engine.start(spec)
    loading = engine.wait(lambda now: now.phase == "loading", 30)
    assert loading.state is EngineState.STARTING
    assert loading.elapsed > 0
    assert loading.seconds_without_output is not None
    ready = engine.wait(timeout=30)
    assert [mark.phase for mark in ready.phases] == ["importing", "loading", "kv_cache", "warming_up", "ready"] or [
        mark.phase for mark in ready.phases
    ] == ["importing", "loading", "warming_up", "ready"]
    assert (ready.model_id, ready.max_model_len, ready.takes_images, ready.vllm_version) == (
        "fake",
        1024,
        True,
        "0.0.fake",
    )


def test_a_hundred_megabytes_of_log_block_nothing_and_stay_bounded(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setenv("FAKE_LOG", "flood")
    engine = make(limits={"log_bytes": 2_000_000, "log_keep": 200_000, "stall": 60.0, "start": 60.0})
    before = psutil.Process().memory_info().rss
    began = time.monotonic()
    engine.start(spec)
    now = engine.wait(timeout=60)
    assert now.state is EngineState.READY
    assert time.monotonic() - began < 30
    folder = settings.data_dir / "engine"
    engine.wait(lambda _: sum(path.stat().st_size for path in folder.glob("engine.log*")) < 3_000_000, 30)
    assert sum(path.stat().st_size for path in folder.glob("engine.log*")) < 3_000_000
    assert psutil.Process().memory_info().rss - before < 60_000_000
    assert len(engine.log_tail(50)) == 50


BAD = {
    "negative port": ({"port": -1}, "port_out_of_range"),
    "port over 65535": ({"port": 65536}, "port_out_of_range"),
    "tensor parallel without a GPU": ({"tensor_parallel_size": 8}, None),
    "an id like a flag": ({"model": "--evil"}, "model_folder_missing"),
    "an id that climbs": ({"model": "../../x"}, "model_folder_missing"),
    "no share of memory": ({"gpu_memory_utilization": 1.5}, "flag_share"),
    "a host like a flag": ({"host": "--evil"}, "flag_value"),
    "unknown dtype": ({"dtype": "float7"}, "flag_choice"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_input_is_refused_and_starts_nothing(make: Make, spec: EngineSpec, run_id: str, name: str) -> None:
    changes, code = BAD[name]
    engine = make()
    with pytest.raises(InputError) as refused:
        engine.start(replace(spec, **changes))
    assert code in (None, refused.value.code)
    assert refused.value.message("zh") != refused.value.message("en")
    assert engine.snapshot().state is EngineState.STOPPED
    assert test_processes(run_id) == []


def test_a_folder_that_holds_no_model_is_refused(make: Make, spec: EngineSpec, tmp_path: Path) -> None:
    engine = make()
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="empty"):
        engine.start(replace(spec, model=str(empty)))
    (empty / "config.json").write_text("{}")
    with pytest.raises(InputError, match="no weights"):
        engine.start(replace(spec, model=str(empty)))
    (empty / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}'
    )
    (empty / "one.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="two.safetensors"):
        engine.start(replace(spec, model=str(empty)))


def test_a_path_with_spaces_and_chinese_characters_is_served(make: Make, spec: EngineSpec, model: Path) -> None:
    folder = model.rename(model.parent / "我的 模型 $(x) ' \"")
    engine = make()
    engine.start(replace(spec, model=str(folder), served_model_name=None))
    now = engine.wait(timeout=30)
    assert now.state is EngineState.READY
    assert now.model_id == str(folder)


def test_an_interpreter_without_vllm_is_named(make: Make, spec: EngineSpec, settings: Settings) -> None:
    engine = make(settings.model_copy(update={"vllm_python": Path("/bin/false")}))
    with pytest.raises(EngineError) as refused:
        engine.start(spec)
    assert refused.value.code == "engine_not_installed"
