"""A run over a data set goes on after whatever ended it, and no answered row is asked again."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.evaluate import made
from tests.fakes.openai_server import FakeServer
from vqa.cli import main
from vqa.settings import load_settings
from vqa.store import Store

ROWS = 200


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made.put(tmp_path, "a.png")
    records = [{"image": "a.png", "question": f"What {n}?", "answer": "x"} for n in range(ROWS)]
    return made.lines(tmp_path / "set.jsonl", records)


def asked(server: FakeServer) -> Counter[str]:
    return Counter(body["messages"][-1]["content"][-1]["text"] for body in server.bodies)


def stored(run_id: str) -> list[int]:
    store = Store(load_settings().database)
    counts = [len(samples) for _, samples in store.evaluated(run_id)]
    store.close()
    return counts


def wait_for(count: int, server: FakeServer) -> None:
    until = time.monotonic() + 60
    while len(server.bodies) < count and time.monotonic() < until:
        time.sleep(0.01)
    assert len(server.bodies) >= count


def last_run() -> str:
    store = Store(load_settings().database)
    (run, *_) = store.runs(kind="evaluate")
    store.close()
    return run.id


def test_a_killed_run_goes_on_and_every_row_has_one_answer(dataset: Path) -> None:
    with FakeServer(answer="x", prefill_seconds=0.03) as server:
        words = [sys.executable, "-m", "vqa", "evaluate", str(dataset), "--base-url", server.base_url, "-c", "4"]
        child = subprocess.Popen(words, env=dict(os.environ), cwd=Path(__file__).resolve().parents[2])
        wait_for(60, server)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert main(["evaluate", "--resume", last_run(), "--base-url", server.base_url, "--json", "out.json"]) == 0
        again = {text: count for text, count in asked(server).items() if count > 1}
    found = json.loads(Path("out.json").read_text())
    assert (found["rows"], found["scored"], found["accuracy"]) == (ROWS, ROWS, 1.0)
    assert stored(found["run"]) == [1] * ROWS
    assert len(again) <= 2 * 4, "rows whose answer was stored were asked again"


def test_a_server_that_dies_in_the_middle_is_waited_for_and_costs_no_row(dataset: Path) -> None:
    with FakeServer(answer="x", prefill_seconds=0.03) as server:

        def restart() -> None:
            wait_for(60, server)
            server.stop()
            time.sleep(1)
            server.start()

        thread = threading.Thread(target=restart)
        thread.start()
        status = main(["evaluate", str(dataset), "--base-url", server.base_url, "-c", "4", "--json", "out.json"])
        thread.join()
    found = json.loads(Path("out.json").read_text())
    assert (status, found["failed"], found["scored"]) == (0, 0, ROWS)
    assert stored(found["run"]) == [1] * ROWS


def told_as_unfinished(table: str, tests: str) -> None:
    """A run that did not ask all its rows passes nothing, says after how many it ended, and how long it took."""
    with Path(table).open(encoding="utf-8", newline="") as file:
        assert {row["run_status"].partition(" rows")[0][:13] for row in csv.DictReader(file)} == {"Stopped after"}
    suite = ElementTree.parse(tests).getroot()[0]
    assert float(suite.attrib["time"]) > 0
    cases = list(suite.iter("testcase"))
    assert all(case.find("skipped") is not None or case.find("error") is not None for case in cases)
    assert "Stopped after" in str(ElementTree.tostring(cases[0]))


def test_a_server_that_stays_away_ends_the_run_which_then_goes_on(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeServer(answer="x", prefill_seconds=0.03) as server:
        thread = threading.Thread(target=lambda: (wait_for(60, server), server.stop()))
        thread.start()
        words = ["evaluate", str(dataset), "--base-url", server.base_url, "-c", "4", "--wait", "0.2"]
        assert main([*words, "--json", "out.json", "--csv", "out.csv", "--junit", "out.xml"]) == 2
        thread.join()
        told_as_unfinished("out.csv", "out.xml")
        found = json.loads(Path("out.json").read_text())
        assert "stayed away" in capsys.readouterr().err
        assert found["failed"] == 0
        assert 0 < found["scored"] < ROWS
        before = asked(server)
        server.start()
        assert main(["evaluate", "--resume", found["run"], "--base-url", server.base_url]) == 0
        again = asked(server) - before
    assert sum(again.values()) == ROWS - found["scored"]
    assert stored(found["run"]) == [1] * ROWS


def test_one_of_two_servers_dies_and_the_other_takes_its_rows(dataset: Path) -> None:
    with FakeServer(answer="x", prefill_seconds=0.03) as one, FakeServer(answer="x", prefill_seconds=0.03) as other:
        thread = threading.Thread(target=lambda: (wait_for(30, other), other.stop()))
        thread.start()
        words = ["evaluate", str(dataset), "--base-url", one.base_url, "--base-url", other.base_url, "-c", "4"]
        status = main([*words, "--wait", "1", "--json", "out.json"])
        thread.join()
    found = json.loads(Path("out.json").read_text())
    assert (status, found["failed"], found["scored"]) == (0, 0, ROWS)


def test_a_full_disk_ends_the_run_which_then_goes_on(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vqa.errors import StoreError
    from vqa.store.evaluations import EvaluationStore

    kept, calls = EvaluationStore.add_evaluated, 0

    def full(self: EvaluationStore, *parts: object) -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise StoreError("disk_full", path="x")
        kept(self, *parts)  # type: ignore[arg-type]

    with FakeServer(answer="x", prefill_seconds=0.01) as server:
        with monkeypatch.context() as patch:
            patch.setattr(EvaluationStore, "add_evaluated", full)
            assert main(["evaluate", str(dataset), "--base-url", server.base_url]) == 2
        assert main(["evaluate", "--resume", last_run(), "--base-url", server.base_url, "--json", "out.json"]) == 0
    assert stored(json.loads(Path("out.json").read_text())["run"]) == [1] * ROWS


def test_a_finished_run_asks_nothing_when_it_goes_on(dataset: Path) -> None:
    with FakeServer(answer="x") as server:
        main(["evaluate", str(dataset), "--base-url", server.base_url, "--limit", "20"])
        count = len(server.bodies)
        assert main(["evaluate", "--resume", last_run(), "--base-url", server.base_url]) == 0
        assert len(server.bodies) == count == 20
