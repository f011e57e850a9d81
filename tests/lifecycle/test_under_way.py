"""What is asked ends at once, with the reason, when its engine is stopped or swapped, whoever manages the engine."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lifecycle.conftest import Make
from vqa.answers import Question
from vqa.cli import main
from vqa.client import Client
from vqa.engine.access import peek
from vqa.engine.opening import Supervisor
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState
from vqa.errors import EngineError, ModelError
from vqa.settings import Settings
from vqa.ui.ask.asking import Piece, answer_pieces
from vqa.ui.server.server_views import state_html

ROOT = Path(__file__).resolve().parents[2]
REASON = "The engine was stopped or restarted"


@pytest.fixture(params=["1"])
def stalling(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> Supervisor:
    """An engine that begins every streamed answer and never goes on, and does not heed SIGTERM, as vLLM may not."""
    switch = tmp_path / "switch"
    monkeypatch.setenv("FAKE_SWITCH", str(switch))
    monkeypatch.setenv("FAKE_IGNORE_TERM", request.param)
    engine = make()
    engine.start(spec)
    assert engine.wait(timeout=30).state is EngineState.READY
    switch.write_text("stall")
    return engine


async def asked_until(engine: Supervisor, begun: asyncio.Event) -> Piece:
    """The last piece of a question on the page; `begun` is set by its first one."""
    async with Client(engine.snapshot().base_url or "") as client:
        async for piece in answer_pieces(client, Question("What?"), asyncio.Event(), seconds=600, engine=engine):
            begun.set()
            last = piece
    return last


@pytest.mark.parametrize("way", ["stop", "restart"])
async def test_a_question_on_the_page_ends_with_the_reason_and_keeps_what_had_arrived(
    stalling: Supervisor, way: str
) -> None:
    begun = asyncio.Event()
    asking = asyncio.create_task(asked_until(stalling, begun))
    await asyncio.wait_for(begun.wait(), 30)
    await asyncio.to_thread(getattr(stalling, way))
    last = await asyncio.wait_for(asking, 30)
    assert isinstance(last.problem, EngineError)
    assert (last.problem.code, last.text) == ("engine_stopped_meanwhile", "One ")
    assert last.answer is not None and last.answer.finish_reason is None


async def test_another_model_that_cannot_be_fetched_ends_no_question(stalling: Supervisor, spec: EngineSpec) -> None:
    def nowhere(*_: object) -> EngineSpec:
        raise ModelError("model_not_found", model="other", source="hub")

    begun, before = asyncio.Event(), stalling.snapshot().generation
    asking = asyncio.create_task(asked_until(stalling, begun))
    await asyncio.wait_for(begun.wait(), 30)
    other = EngineSpec("other", served_model_name="other", port=spec.port)
    await asyncio.to_thread(stalling._ask, lambda: stalling._owner.restart(other, nowhere))
    await asyncio.to_thread(stalling.wait, lambda now: now.generation > before, 30)
    await asyncio.sleep(1.2)  # several looks
    assert not asking.done()
    await asyncio.to_thread(stalling.stop)
    assert (await asyncio.wait_for(asking, 30)).problem is not None


@contextmanager
def command(settings: Settings, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m vqa` under these settings, beside this process."""
    given = {"data_dir": settings.data_dir, "vllm_python": settings.vllm_python, "engine_port": settings.engine_port}
    environment = os.environ | {f"VQA_{name.upper()}": str(value) for name, value in given.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "vqa", *words], cwd=ROOT, env=environment, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def under_settings(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Lets a command in this process see the same engine."""
    for name in ("data_dir", "vllm_python", "engine_port"):
        monkeypatch.setenv(f"VQA_{name.upper()}", str(getattr(settings, name)))


@pytest.fixture
def rows(red_circle: Path, tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    row = {"image": str(red_circle), "question": "What?", "answer": "One"}
    path.write_text("".join(json.dumps(row) + "\n" for _ in range(3)), encoding="utf-8")
    return path


def test_a_stop_that_had_to_kill_says_so(
    stalling: Supervisor, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    under_settings(monkeypatch, settings)
    assert main(["stop"]) == 0
    assert "did not end when it was asked to and was killed after 1 s" in capsys.readouterr().out
    now = stalling.snapshot()
    assert now.killed is not None and now.killed >= 1.0
    assert "was killed after 1 s" in state_html(now, "en")


@pytest.mark.parametrize("stalling", [""], indirect=True)
def test_one_that_ended_by_itself_was_not_killed(stalling: Supervisor) -> None:
    stalling.stop()
    assert stalling.wait(timeout=30).killed is None


def test_ask_in_a_terminal_ends_with_the_reason(stalling: Supervisor, settings: Settings, red_circle: Path) -> None:
    with command(settings, "ask", str(red_circle), "What?") as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == "One "
        stalling.stop()
        _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert REASON in told


@pytest.mark.parametrize("stalling", [""], indirect=True)  # the budget of a command's own stop is long
def test_stop_during_evaluate_ends_it_with_the_reason_and_is_done_itself(
    stalling: Supervisor,
    settings: Settings,
    rows: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stalled = settings.data_dir / "engine" / "engine.log"
    under_settings(monkeypatch, settings)
    stalling.close(leave_running=True)
    with command(settings, "evaluate", str(rows)) as process:  # which manages the engine meanwhile
        asked = 0
        while asked < 3:  # all rows are under way
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
            asked = stalled.read_text().count("stalls") if stalled.exists() else 0
        assert main(["stop"]) == 0
        told = capsys.readouterr()
        assert ("The engine is stopped." in told.out, told.err) == (True, "")
        rest = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert REASON in rest
    assert peek(settings).state is EngineState.STOPPED
