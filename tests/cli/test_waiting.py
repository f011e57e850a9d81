"""A server that asks to wait is waited for, that is said while it lasts, and what came so is marked everywhere."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.evaluate import made
from tests.fakes.openai_server import FakeServer
from vqa.cli import main
from vqa.client import Waiting
from vqa.lab.run.live import LiveRun
from vqa.ui.evaluate import views
from vqa.ui.lab import lab_views

ASKED = "the server is busy (slow down) and asks to wait 1 s"


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def retried(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row["retried"] for row in csv.DictReader(file)]


def test_repeat_waits_says_so_in_a_pipe_and_marks_the_sample(
    red_circle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--csv", "out.csv", "--json", "out.json", "--html", "out.html"]
    with FakeServer(busy_every=3) as server:
        status = main(["repeat", str(red_circle), "What?", "-n", "3", "--base-url", server.base_url, *files])
    told = capsys.readouterr()
    assert (status, told.err.count(ASKED)) == (0, 1)
    assert "1 of the answers came only after" in told.out
    assert retried(tmp_path / "out.csv") == ["0", "0", "1"]
    report = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [sample["retried"] for sample in report["samples"]] == [0, 0, 1]
    assert "1 of the answers came only after" in (tmp_path / "out.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("after", ["1", None])
def test_evaluate_loses_no_row_to_a_busy_server(
    after: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made.put(tmp_path, "a.png")
    rows = [{"image": "a.png", "question": f"What {n}?", "answer": "x"} for n in range(6)]
    path = made.lines(tmp_path / "set.jsonl", rows)
    files = ["--csv", "out.csv", "--json", "out.json"]
    with FakeServer(answer="x", busy_every=4, retry_after=after) as server:
        status = main(["evaluate", str(path), "-c", "1", "--base-url", server.base_url, *files])
    told, found = capsys.readouterr(), json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (status, found["failed"], found["accuracy"], found["retried"]) == (0, 0, 1.0, 1)
    assert told.err.count(ASKED) == 1
    assert "1 of the answers came only after" in told.out
    assert sorted(retried(tmp_path / "out.csv")) == ["0"] * 5 + ["1"]


def test_a_wait_longer_than_rows_are_waited_for_is_a_failed_row(tmp_path: Path) -> None:
    made.put(tmp_path, "a.png")
    path = made.lines(tmp_path / "set.jsonl", [{"image": "a.png", "question": "What?", "answer": "x"}])
    with FakeServer(busy_every=1, retry_after="3600") as server:
        assert main(["evaluate", str(path), "--wait", "5", "--base-url", server.base_url, "--json", "out.json"]) == 2
        assert len(server.bodies) == 1
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["failed"] == 1


def test_the_page_says_it_while_it_lasts() -> None:
    live = LiveRun("r", "repeat")
    live.expect_samples(3)
    live.asked_to_wait(Waiting(1, "slow down"))
    assert ASKED in lab_views.progress(live.snapshot(), "en")
    assert ASKED in views.progress(live.snapshot(), 0, "en")
    assert "slow down" in lab_views.progress(live.snapshot(), "zh")
    live.end("finished")
    assert ASKED not in lab_views.progress(live.snapshot(), "en")
