"""The lab's commands as a CI job runs them: exit statuses, one line in a pipe, files, bad input."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.fakes.openai_server import FakeServer
from tests.lab.made import picture
from vqa.cli import main

ROOT = Path(__file__).resolve().parents[2]
DRIFT = {"drift": 0.01, "prefill_seconds": 0.1}
"""Long enough for requests to meet on a machine that is busy with other things."""


@pytest.fixture
def circle(tmp_path: Path) -> str:
    path = tmp_path / "circle.png"
    path.write_bytes(picture().data)
    return str(path)


def repeat(circle: str, server: FakeServer, *options: str) -> int:
    return main(["repeat", circle, "What is shown?", "-n", "6", "--base-url", server.base_url, *options])


@pytest.mark.parametrize(
    ("faults", "options", "status"),
    [
        ({}, (), 0),
        ({}, ("--require", "bitwise"), 0),
        ({"race": 0.5}, (), 1),
        (DRIFT, ("-c", "3"), 0),
        (DRIFT, ("-c", "3", "--require", "bitwise"), 1),
        ({"logprobs": False}, ("--require", "bitwise"), 2),
        ({"vllm": False}, ("--require", "tokens"), 2),
        ({"vllm": False, "race": 0.5}, ("--require", "tokens"), 1),
        ({"fails_every": 3}, (), 2),
        ({"fails_every": 6, "race": 0.5}, (), 1),
        ({"fingerprint_changes_after": 3}, (), 2),
    ],
)
def test_the_exit_status_says_whether_the_required_level_holds(
    faults: dict[str, object], options: tuple[str, ...], status: int, circle: str
) -> None:
    with FakeServer(**faults) as server:
        assert repeat(circle, server, *options) == status


def test_a_pipe_gets_one_line(circle: str, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer() as server:
        repeat(circle, server)
    printed = capsys.readouterr()
    assert (
        printed.out == "6 of 6 identical. Six tries can miss a rate of differences up to 45.1%; 300 bring that to 1%.\n"
    )
    assert printed.err == ""


def test_json_goes_to_standard_output_and_the_verdict_elsewhere(
    circle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeServer() as server:
        repeat(circle, server, "--json", "-")
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)["samples"]) == 6
    assert "identical" in printed.err


def test_all_files_are_written_and_a_report_can_be_made_from_the_json_alone(
    circle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {kind: str(tmp_path / f"run.{kind}") for kind in ("json", "html", "csv", "junit")}
    with FakeServer(race=0.5) as server:
        assert repeat(circle, server, *(word for kind, path in files.items() for word in (f"--{kind}", path))) == 1
    assert len(list(csv.DictReader(Path(files["csv"]).read_text(encoding="utf-8").splitlines()))) == 6
    assert ElementTree.parse(files["junit"]).getroot().find(".//failure") is not None
    assert "<html" in Path(files["html"]).read_text()
    monkeypatch.setenv("VQA_DATA_DIR", str(tmp_path / "elsewhere"))
    assert main(["report", files["json"], "--html", str(tmp_path / "again.html")]) == 0
    assert (tmp_path / "again.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-n", "0"], "0 repeats"),
        (["-n", "1000000000"], "1000000000 repeats"),
        (["-n", "4", "-c", "8"], "8 requests at a time"),
        (["--require", "most"], "no level"),
        (["--cache", "frozen"], "cache"),
        (["--json", "/nowhere/at/all.json"], "cannot be written"),
    ],
)
def test_bad_input_is_one_message_and_nothing_is_asked(
    words: list[str], said: str, circle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeServer() as server:
        assert main(["repeat", circle, "What?", "--base-url", server.base_url, *words]) == 2
        assert server.bodies == []
    printed = capsys.readouterr()
    assert said in printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize("inputs", [["What?"], ["missing.png", "What?"]])
def test_without_a_picture_there_is_a_message(inputs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repeat", *inputs]) == 2
    assert capsys.readouterr().err


def test_several_pictures_and_questions_are_told_apart(circle: str, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer() as server:
        words = [circle, circle, "What is shown?", "How many?", "--each-image", "-n", "2"]
        assert main(["repeat", *words, "--base-url", server.base_url]) == 0
        assert len(server.bodies) == 8
    assert "4 questions" in capsys.readouterr().out


def test_diagnose_names_the_cause_in_a_line(circle: str, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer(splits_under_load=True) as server:
        assert main(["diagnose", circle, "What is shown?", "--base-url", server.base_url]) == 1
    assert "confirmed by intervention: the composition of the batch" in capsys.readouterr().out


def test_runs_are_listed_renamed_and_deleted(circle: str, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer() as server:
        repeat(circle, server, "--name", "before the update")
    capsys.readouterr()
    assert main(["runs", "update", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["level"], listed["samples"]) == ("before the update", "bitwise", 6)
    assert main(["runs", "--rename", listed["id"], "afterwards"]) == 0
    assert main(["runs"]) == 0
    assert "afterwards" in capsys.readouterr().out
    assert main(["runs", "--delete", listed["id"]]) == 0
    assert main(["runs", "--delete", listed["id"]]) == 2
    assert main(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == []


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_the_end_of_a_job_stop_the_run_and_keep_it(sent: int, circle: str, tmp_path: Path) -> None:
    environment = os.environ | {"VQA_DATA_DIR": str(tmp_path / "data")}
    words = ["repeat", circle, "What?", "-n", "5000", "--json", str(tmp_path / "run.json")]
    with FakeServer(prefill_seconds=0.02) as server:
        child = subprocess.Popen(
            [sys.executable, "-m", "vqa", *words, "--base-url", server.base_url],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while len(server.bodies) < 10:
            assert child.poll() is None
            time.sleep(0.02)  # a loop without a pause would take the processor from the server
        child.send_signal(sent)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 2
    assert "Traceback" not in err
    assert "identical" in out
    assert len(json.loads((tmp_path / "run.json").read_text())["samples"]) >= 8


def rows(folder: Path, name: str, answers: list[object]) -> Path:
    path = folder / name
    records = [{"image": "circle.png", "question": f"Question {n}?", "answer": each} for n, each in enumerate(answers)]
    if name.endswith(".csv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["image", "question", "answer"])
            writer.writeheader()
            writer.writerows(records)
    else:
        path.write_text("\n".join(json.dumps(record) for record in records))
    return path


@pytest.mark.parametrize("name", ["set.jsonl", "set.csv"])
def test_evaluate_counts_right_answers_whatever_their_case_and_articles(
    name: str, circle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = rows(Path(circle).parent, name, ["red circle", "A red circle", "blue square", "the RED circle!"])
    with FakeServer(answer="Red circle.") as server:
        status = main(["evaluate", str(path), "--base-url", server.base_url, "--json", "-"])
    found = json.loads(capsys.readouterr().out)
    assert (status, found["rows"], found["accuracy"], found["exact"]) == (0, 4, 0.75, 0.0)
    assert [wrong["row"] for wrong in found["wrong"]] == [3]


def test_evaluate_measures_agreement_over_repeats(circle: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = rows(Path(circle).parent, "set.jsonl", ["x"] * 5)
    with FakeServer(race=0.25) as server:
        main(["evaluate", str(path), "-n", "4", "--base-url", server.base_url, "--json", "-"])
        assert len(server.bodies) == 20
    found = json.loads(capsys.readouterr().out)
    assert 0 <= found["tar_raw"] < 1
    assert found["tar_raw"] == found["tar_answer"]
    assert found["accuracy"] == 0.0


def test_evaluate_fails_below_the_accuracy_asked_for_and_cannot_tell_when_requests_fail(circle: str) -> None:
    path = rows(Path(circle).parent, "set.jsonl", ["red circle", "blue"])
    with FakeServer(answer="red circle") as server:
        assert main(["evaluate", str(path), "--min-accuracy", "0.5", "--base-url", server.base_url]) == 0
        assert main(["evaluate", str(path), "--min-accuracy", "0.6", "--base-url", server.base_url]) == 1
    with FakeServer(fails_every=2) as server:
        assert main(["evaluate", str(path), "--base-url", server.base_url]) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "no rows"), ("{broken", "Row 1"), ('{"image": "circle.png"}', "question"), ("[1, 2]", "Row 1")],
)
def test_a_bad_data_set_is_a_message_with_its_row(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(text)
    assert main(["evaluate", str(path), "--base-url", "http://127.0.0.1:9/v1"]) == 2
    assert said in capsys.readouterr().err
