"""Other processes of the same user see and control the engine that one process manages."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lifecycle.conftest import Make
from vqa import cli
from vqa.engine.access import peek
from vqa.engine.control import RemoteEngine, socket_path
from vqa.engine.opening import engine_folder, open_engine
from vqa.engine.presets import save_preset
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState
from vqa.errors import EngineError, InputError
from vqa.settings import Settings


def test_another_process_sees_and_controls_the_same_engine(make: Make, spec: EngineSpec, settings: Settings) -> None:
    engine = make()
    remote = open_engine(settings)
    assert isinstance(remote, RemoteEngine)
    assert remote.start(spec) == 1
    now = remote.wait(timeout=30)
    assert (now.state, now.pid) == (EngineState.READY, engine.snapshot().pid)
    assert now.spec == spec
    assert f"PID {os.getpid()}" in (now.holder or "")
    assert [mark.phase for mark in now.phases][-1] == "ready"
    assert remote.log_tail(3) == engine.log_tail(3)
    engine.wait(lambda _: engine.metrics() is not None, 30)
    assert remote.metrics() is not None
    assert remote.metrics_history()
    remote.quiet(1)
    assert remote.restart() == 2
    assert remote.wait(lambda now: now.generation == 2 and now.settled, 15).state is EngineState.READY
    remote.stop()
    assert remote.wait(lambda now: now.state is EngineState.STOPPED, 30).state is EngineState.STOPPED
    remote.close()
    assert engine.snapshot().state is EngineState.STOPPED


def test_a_failure_and_a_refusal_cross_the_socket(
    make: Make, spec: EngineSpec, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_EXIT", "torch.OutOfMemoryError: CUDA out of memory.")
    make()
    remote = open_engine(settings)
    with pytest.raises(InputError) as refused:
        remote.start(replace(spec, port=-1))
    assert refused.value.code == "port_out_of_range"
    remote.start(spec)
    now = remote.wait(timeout=30)
    assert now.failure is not None
    assert now.failure.code == "out_of_memory"
    assert now.failure.message("zh")


def test_two_pages_on_one_folder_are_refused_but_a_command_is_not(make: Make, settings: Settings) -> None:
    make()
    with pytest.raises(EngineError, match="engine"):
        open_engine(settings, kind="page")
    assert open_engine(settings, kind="cli").snapshot().state is EngineState.STOPPED


def test_the_socket_is_for_this_user_only(make: Make, settings: Settings) -> None:
    make()
    path = socket_path(engine_folder(settings))
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def test_a_data_folder_with_a_very_long_path_works(make: Make, settings: Settings, tmp_path: Path) -> None:
    long = settings.model_copy(update={"data_dir": tmp_path / ("x" * 120)})
    engine = make(long)
    assert open_engine(long).snapshot().state is EngineState.STOPPED
    address = socket_path(engine_folder(long))
    assert len(os.fsencode(address)) < 108
    engine.close()
    assert not address.exists()


def test_looking_takes_over_nothing(make: Make, spec: EngineSpec, settings: Settings) -> None:
    assert peek(settings).state is EngineState.STOPPED
    first = make()
    first.start(spec)
    pid = first.wait(timeout=30).pid
    first.close(leave_running=True)
    now = peek(settings)
    assert (now.state, now.pid, now.model_id) == (EngineState.READY, pid, "fake")
    assert make().snapshot().adopted


def test_the_command_line_starts_leaves_shows_and_stops_the_engine(
    make: Make, settings: Settings, model: Path, run_id: str
) -> None:
    environment = dict(os.environ) | {
        "VQA_DATA_DIR": str(settings.data_dir),
        "VQA_VLLM_PYTHON": str(settings.vllm_python),
        "VQA_ENGINE_PORT": str(settings.engine_port),
        "VQA_LANGUAGE": "zh",
    }

    def vqa(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "vqa", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )

    started = vqa("start", str(model), "--max-model-len", "1k")
    assert started.returncode == 0, started.stderr
    shown = vqa("status", "--json")
    assert shown.returncode == 0
    told = json.loads(shown.stdout)
    assert (told["state"], told["spec"]["max_model_len"]) == ("ready", 1000)
    assert "--max-model-len 1000" in told["command"]
    assert "Starting to load model" in vqa("logs", "-n", "50").stdout
    engine = make()  # a page that comes later adopts it, and the commands now speak to the page
    assert engine.snapshot().adopted
    wrong = vqa("serve", str(model), "--port", "-1")
    assert wrong.returncode != 0
    assert engine.snapshot().state is EngineState.READY, "a wrong flag ends nobody's engine"
    stopped = vqa("stop")
    assert (stopped.returncode, stopped.stdout.strip()) == (0, "引擎已停止。")
    assert engine.snapshot().state is EngineState.STOPPED
    assert vqa("status").returncode == 1


def test_a_start_from_outside_is_fetched_by_the_process_that_manages_the_engine(
    make: Make, spec: EngineSpec, settings: Settings
) -> None:
    asked: list[str] = []

    def fetch(wanted: EngineSpec, *_: object) -> EngineSpec:
        asked.append(wanted.model)
        return replace(wanted, model=spec.model)

    make(preparer=fetch)
    remote = open_engine(settings)
    remote.start(replace(spec, model=str(settings.models_path / "some" / "model")))
    now = remote.wait(timeout=30)
    assert now.state is EngineState.READY
    assert asked == [str(settings.models_path / "some" / "model")]
    assert now.phases[0].phase == "downloading"


def test_a_preset_is_started_with_the_operators_flags_of_today(
    settings: Settings, model: Path, python: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # a command's own handlers are not for the tests
    then = settings.model_copy(update={"engine_args": "--max-logprobs 7"})
    spec = EngineSpec(str(model), "other", max_num_seqs=3, extra_args=("--max-logprobs", "7", "--block-size=32"))
    save_preset(then, "mine", spec)
    for name, value in {"DATA_DIR": settings.data_dir, "VLLM_PYTHON": python, "ENGINE_ARGS": "--seed 5"}.items():
        monkeypatch.setenv(f"VQA_{name}", str(value))
    saw: list[EngineSpec] = []
    monkeypatch.setattr("vqa.cli.engine.check_with_vllm", lambda spec, _: saw.append(spec))
    monkeypatch.setattr("vqa.cli.planning.learn", lambda _: None)
    assert cli.main(["check", "--preset", "mine", "--max-num-seqs", "4"]) == 0, capsys.readouterr().err
    (wanted,) = saw
    assert (wanted.model, wanted.served_model_name, wanted.max_num_seqs) == (str(model), "other", 4)
    assert wanted.extra_args == ("--seed", "5", "--no-enable-chunked-prefill", "--block-size=32")
