"""`python -m vqa ask` and `doctor` against the real engine, as a user types them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, RunningApp
from vqa.answers import Question, Turn
from vqa.client import Client
from vqa.media.images import load_image

pytestmark = pytest.mark.engine


def vqa(app: RunningApp, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vqa", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=app.environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_question_is_answered_by_the_running_engine(app: RunningApp, red_circle: Path) -> None:
    done = vqa(app, "ask", str(red_circle), "What shape is this?")
    assert (done.returncode, done.stdout) == (0, "circle\n"), done.stderr


def test_the_whole_answer_comes_as_json_with_what_the_model_received(app: RunningApp, red_circle: Path) -> None:
    done = vqa(app, "ask", str(red_circle), "图中有几个形状？", "--json", "--max-tokens", "16")
    answer = json.loads(done.stdout)
    assert (answer["text"], answer["finish_reason"]) == ("1", "stop")
    assert 0 < answer["image_tokens"] < answer["prompt_tokens"]
    assert answer["cached_tokens"] is not None
    assert len(answer["token_ids"]) == answer["completion_tokens"] == len(answer["tokens"])


async def test_the_tokens_counted_before_are_those_that_the_engine_then_takes(
    app: RunningApp, red_circle: Path
) -> None:
    question = Question("图中有几个形状？", (load_image(red_circle),) * 2, (Turn("user", "Hello."),), "Be brief.")
    async with Client(app.base_url) as client:
        counted = await client.prompt_tokens(question)
        answer = await client.ask(question)
    assert counted == answer.prompt_tokens
    assert counted is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["PICTURE", " "], "The question is empty"),
        (["PICTURE", "x" * 30_000], "30000 characters"),
        (["absent.png", "What?"], "no file absent.png"),
        (["TEXT", "What?"], "not a picture"),
        (["What?"], "no picture"),
        (["PICTURE"], "The question is empty"),
        (["http://127.0.0.1:9/x.png", "What?"], "local network"),
        (["PICTURE", "What?", "--max-tokens", "999999"], "context"),
        (["PICTURE", "What?", "--temperature", "-1"], "--temperature"),
        (["PICTURE", "What?", "--base-url", "http://127.0.0.1:9"], "No server answers"),
        (["PICTURE", "What?", "--base-url", "ftp://x"], "not an address"),
    ],
)
def test_bad_input_gets_a_sentence_and_status_2(
    app: RunningApp, red_circle: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    text = tmp_path / "letter.jpg"
    text.write_text("Dear sir or madam")
    filled = [{"PICTURE": str(red_circle), "TEXT": str(text)}.get(word, word) for word in arguments]
    done = vqa(app, "ask", *filled)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_finds_nothing_wrong_and_shows_the_command(app: RunningApp) -> None:
    done = vqa(app, "doctor", "--json")
    findings = json.loads(done.stdout)
    assert done.returncode == 0
    assert "problem" not in {finding["level"] for finding in findings}
    assert any("vllm serve" in finding["found"] for finding in findings)
