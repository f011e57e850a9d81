"""Why nothing could be told is said wherever a run is told; no command shows a traceback or half a character."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from tests.client.raw import delta, http, raw_thread, sse
from tests.evaluate import made
from tests.fakes.openai_server import FakeServer
from vqa.answers import Answer
from vqa.cli import main
from vqa.cli.ask import harmless
from vqa.client import Client
from vqa.text import t

WHY = {
    "reasoning": "Only reasoning arrived",
    "empty": "without a word",
    "abort": "abort",
    "content_filter": "content_filter",
    "error": "finish_reason error",
}


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VQA_TRACEBACK", raising=False)


@pytest.mark.parametrize("ending", WHY)
def test_repeat_says_in_a_pipe_why_there_is_no_verdict(
    ending: str, red_circle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeServer(ends_as=ending) as server:
        assert main(["repeat", str(red_circle), "What?", "-n", "2", "--base-url", server.base_url]) == 2
    told = capsys.readouterr().out
    assert ("identical" in told, told.count(WHY[ending])) == (False, 1)


def test_diagnose_says_it_too(red_circle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer(ends_as="reasoning", vllm=False) as server:
        assert main(["diagnose", str(red_circle), "What?", "--base-url", server.base_url]) == 2
    assert WHY["reasoning"] in capsys.readouterr().out


def test_reasoning_that_differs_is_no_agreement_whatever_token_ids_are_shown(
    red_circle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeServer(thinks=True) as server:
        assert main(["diagnose", str(red_circle), "What?", "--base-url", server.base_url]) == 1
    told = capsys.readouterr().out
    assert ("identical" in told, "different answers" in told) == (False, True)


def test_evaluate_says_it_in_every_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made.put(tmp_path, "a.png")
    path = made.lines(tmp_path / "set.jsonl", [{"image": "a.png", "question": "What?", "answer": "x"}])
    files = ["--csv", "out.csv", "--json", "out.json", "--html", "out.html", "--junit", "out.xml"]
    with FakeServer(ends_as="content_filter") as server:
        assert main(["evaluate", str(path), "--base-url", server.base_url, *files]) == 2
    why = WHY["content_filter"]
    assert why in capsys.readouterr().out
    assert why in json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["error_example"]
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        assert [why in row["reason"] for row in csv.DictReader(file)] == [True]
    for name in ("out.html", "out.xml"):
        assert why in (tmp_path / name).read_text(encoding="utf-8")


def test_a_refusal_is_shown_among_the_answers(tmp_path: Path) -> None:
    made.put(tmp_path, "a.png")
    path = made.lines(tmp_path / "set.jsonl", [{"image": "a.png", "question": "What?", "answer": "x"}])
    with raw_thread(sse(delta(refusal="I will not"), delta("stop"))) as server:
        assert main(["evaluate", str(path), "--base-url", server.address, "--csv", "out.csv"]) == 0
    assert "I will not" in (tmp_path / "out.csv").read_text(encoding="utf-8")


def test_repeats_that_refuse_in_other_words_are_no_agreement(tmp_path: Path) -> None:
    made.put(tmp_path, "a.png")
    path = made.lines(tmp_path / "set.jsonl", [{"image": "a.png", "question": "What?", "answer": "x"}])
    words = iter("abcdef")

    def refuses(_: object) -> bytes:
        return sse(delta(refusal=f"I will not, {next(words)}"), delta("stop"))

    with raw_thread(refuses) as server:
        assert main(["evaluate", str(path), "-n", "3", "--base-url", server.address, "--json", "out.json"]) == 0
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (found["flips"], found["tar_raw"], found["holds"]) == (1, 0.0, False)


def test_a_fault_of_the_program_within_a_run_is_a_sentence(
    red_circle: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: object, **__: object) -> Answer:
        raise RuntimeError("the moon is full")

    monkeypatch.setattr(Client, "ask", broken)
    with FakeServer() as server:
        assert main(["repeat", str(red_circle), "What?", "-n", "2", "--base-url", server.base_url]) == 2
    told = capfd.readouterr().err
    assert "the moon is full" in told
    assert t("errors.unforeseen_hint", "en") in told
    assert "Traceback" not in told


def test_an_answer_that_the_terminal_cannot_write_is_written_as_it_can(
    red_circle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = (
        b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % half for half in (rb"\u7ea2\ud83d", rb"\ude00")
    )
    for encoding, written in (("ascii", rb"\u7ea2\U0001f600"), ("utf-8", "\u7ea2\U0001f600".encode())):
        out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", out)
        with raw_thread(sse(*halves, delta("stop")) if encoding == "ascii" else http(whole())) as server:
            assert main(["ask", str(red_circle), "What?", "--base-url", server.address]) == 0
        out.flush()
        assert out.buffer.getvalue().strip() == written  # type: ignore[attr-defined]


def whole() -> dict[str, object]:
    return {"choices": [{"message": {"content": "\u7ea2\U0001f600"}, "finish_reason": "stop"}]}


def test_an_answer_gives_a_terminal_no_orders() -> None:
    assert harmless("a\x1b[2Jb\tc\nd\x07\x9b1m \u7ea2") == "a[2Jb\tc\nd1m \u7ea2"
