"""A data set is asked from the command line: every row once, its figures, its files; bad rows and failures told."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.evaluate import made
from tests.fakes.openai_server import FakeServer
from tests.ports import free_port
from vqa.cli import main
from vqa.settings import load_settings
from vqa.store import Store


def questions(folder: Path, answers: list[str], name: str = "set.jsonl", **more: Any) -> Path:
    made.put(folder, "a.png")
    records = [{"image": "a.png", "question": f"What {n}?", "answer": said, **more} for n, said in enumerate(answers)]
    return made.lines(folder / name, records)


def evaluate(path: Path | None, server: FakeServer, *options: str) -> tuple[int, dict[str, Any]]:
    out = server.made / "figures.json" if hasattr(server, "made") else Path("figures.json")
    words = ["evaluate", *([str(path)] if path else []), "--base-url", server.base_url, "--json", str(out), *options]
    status = main(words)
    return status, json.loads(out.read_text()) if out.exists() else {}


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_figures_that_a_job_reads(tmp_path: Path) -> None:
    path = questions(tmp_path, ["red circle", "A red circle", "blue", "the RED circle!"], type="shape")
    with FakeServer(answer="Red circle.") as server:
        status, found = evaluate(path, server)
    assert status == 0
    assert (found["format"], found["scorer"]["name"], found["scorer"]["version"]) == ("table", "normalized", "2")
    assert (found["rows"], found["accuracy"], found["exact"], found["unparsed"]) == (4, 0.75, 0.0, 0)
    assert (found["failed"], found["skipped"], found["complete"]) == (0, 0, True)
    assert found["interval"]["low"] < 0.75 < found["interval"]["high"]
    assert [wrong["row"] for wrong in found["wrong"]] == [3]
    assert found["by_kind"]["shape"]["rows"] == 4


def test_a_row_whose_picture_cannot_be_read_is_not_asked_and_the_rest_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made.put(tmp_path, "a.png")
    (tmp_path / "broken.png").write_bytes(made.png()[:60])
    names = ["a.png", "gone.png", "broken.png", "a.png"]
    path = made.lines(tmp_path / "set.jsonl", [{"image": n, "question": "What?", "answer": "x"} for n in names])
    with FakeServer(answer="x") as server:
        status, found = evaluate(path, server)
        assert len(server.bodies) == 2
        assert all("image_url" in str(body) for body in server.bodies)
    assert (status, found["rows"], found["asked"], found["skipped"]) == (2, 4, 2, 2)
    assert (found["accuracy"], found["scored"]) == (1.0, 2)
    assert {bad["row"]: bad["code"] for bad in found["bad_rows"]} == {2: "image_missing", 3: "image_damaged"}
    assert "row 2: There is no file gone.png" in capsys.readouterr().out


def test_failed_requests_are_counted_and_count_neither_way(tmp_path: Path) -> None:
    path = questions(tmp_path, ["x"] * 6)
    with FakeServer(answer="x", fails_every=3) as server:
        status, found = evaluate(path, server, "-c", "1")
    assert (status, found["failed"], found["scored"], found["accuracy"]) == (2, 2, 4, 1.0)


def test_failed_rows_are_asked_again_on_resumption_and_no_other(tmp_path: Path) -> None:
    path = questions(tmp_path, ["x"] * 6)
    with FakeServer(answer="x", fails_every=3) as server:
        _, found = evaluate(path, server, "-c", "1")
        asked = len(server.bodies)
        server.behaviour = type(server.behaviour)(answer="x")
        status, again = evaluate(None, server, "--resume", found["run"])
        assert len(server.bodies) - asked == 2
    assert (status, again["failed"], again["scored"], again["run"]) == (0, 0, 6, found["run"])


def test_repeats_are_passes_and_their_spread_is_told(tmp_path: Path) -> None:
    path = questions(tmp_path, ["The picture shows a large red circle here"] * 10)
    with FakeServer(race=0.3) as server:
        status, found = evaluate(path, server, "-n", "4", "-c", "2", "--scorer", "exact")
        assert len(server.bodies) == 40
    assert status == 0
    assert 0 <= found["tar_raw"] < 1
    assert found["flips"] == round(10 * (1 - found["tar_raw"]))
    over = found["over_repeats"]
    assert len(over["accuracies"]) == 4
    assert over["low"] <= found["accuracy"] <= over["high"]


def test_below_the_accuracy_asked_for(tmp_path: Path) -> None:
    path = questions(tmp_path, ["red circle", "blue"])
    with FakeServer(answer="red circle") as server:
        assert evaluate(path, server, "--min-accuracy", "0.5")[0] == 0
        assert evaluate(path, server, "--min-accuracy", "0.6")[0] == 1


def test_a_data_set_without_answers_gives_agreement_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made.put(tmp_path, "a.png")
    path = made.lines(tmp_path / "set.jsonl", [{"image": "a.png", "question": "What?"}] * 3)
    with FakeServer() as server:
        status, found = evaluate(path, server, "-n", "2")
    assert (status, found["accuracy"], found["interval"]) == (0, None, None)
    assert (found["tar_raw"], found["holds"]) == (1.0, True)
    assert "only agreement" in capsys.readouterr().out


def test_the_prompt_goes_out_with_options_and_the_option_is_read_back(tmp_path: Path) -> None:
    rows = [
        {"index": n, "image": made.b64(), "question": "Which?", "hint": "", "A": "cat", "B": "dog", "answer": "B"}
        for n in range(3)
    ]
    path = made.table(tmp_path / "bench.tsv", rows)
    with FakeServer(answer="(B) dog") as server:
        status, found = evaluate(path, server, "--prompt", r"{question}\nLetter only.")
        text = server.bodies[0]["messages"][-1]["content"][-1]["text"]
    assert text == "Which?\nA. cat\nB. dog\nLetter only."
    assert (status, found["format"], found["scorer"]["name"], found["accuracy"]) == (0, "mmbench", "choice", 1.0)
    with FakeServer(answer="I cannot say") as server:
        status, found = evaluate(path, server)
    assert (found["accuracy"], found["unparsed"]) == (0.0, 3)


def test_all_files_are_written(tmp_path: Path) -> None:
    path = questions(tmp_path, ["red", "blue <b>"])
    made.lines(path.with_name("more.jsonl"), [{"image": "gone.png", "question": "?"}])
    path.write_text(path.read_text() + (tmp_path / "more.jsonl").read_text())
    options = [word for kind in ("html", "csv", "junit") for word in (f"--{kind}", f"out.{kind}")]
    with FakeServer(answer="red") as server:
        assert evaluate(path, server, *options)[0] == 2
    lines = list(csv.DictReader(io.StringIO(Path("out.csv").read_text())))
    assert [line["state"] for line in lines] == ["right", "wrong", "skipped"]
    page = Path("out.html").read_text()
    assert "blue &lt;b&gt;" in page
    assert "<script src" not in page
    suite = ElementTree.parse("out.junit").getroot()[0]
    assert suite.attrib["errors"] == "2"


def test_stored_answers_are_scored_again_without_asking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = questions(tmp_path, ["red circle", "Red circle."])
    with FakeServer(answer="Red circle.") as server:
        _, found = evaluate(path, server)
        asked = len(server.bodies)
        assert main(["score", found["run"], "--json", "-"]) == 0
        assert len(server.bodies) == asked
    scored = json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))
    by_name = {each["scorer"]["name"]: each["accuracy"] for each in scored["scorers"]}
    assert (by_name["exact"], by_name["normalized"]) == (0.5, 1.0)
    assert scored["range"] == [0.5, 1.0]
    assert [row["row"] for row in scored["rows"]] == [1]


def test_several_servers_are_used_side_by_side_and_one_that_dies_costs_no_row(tmp_path: Path) -> None:
    path = questions(tmp_path, ["x"] * 60)
    with FakeServer(answer="x", prefill_seconds=0.02) as one, FakeServer(answer="x", prefill_seconds=0.02) as other:
        status, found = evaluate(path, one, "--base-url", other.base_url, "-c", "2")
        assert (status, found["scored"]) == (0, 60)
        assert len(one.bodies) + len(other.bodies) == 60
        assert min(len(one.bodies), len(other.bodies)) > 10
        assert {name: each["answers"] for name, each in found["answered_by"]["servers"].items()} == found["servers"]


def test_servers_that_answer_otherwise_are_told_by_the_rows_that_both_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = questions(tmp_path, ["x"] * 30)
    with FakeServer(answer="x", prefill_seconds=0.01) as one, FakeServer(answer="y", prefill_seconds=0.01) as other:
        _, found = evaluate(path, one, "--base-url", other.base_url, "-c", "2", "-n", "3", "--csv", "a.csv")
    told = found["answered_by"]
    lines = csv.DictReader(io.StringIO(Path("a.csv").read_text()))
    assert {(line["server"], line["answer"]) for line in lines} == {(one.base_url, "x"), (other.base_url, "y")}
    assert list(told["servers"]) == sorted([one.base_url, other.base_url])
    assert all(each["agreed"] == each["repeated"] > 0 for each in told["servers"].values())
    (pair,) = told["pairs"]
    assert pair["differ"] == pair["rows"] > 0
    assert f"differ in {pair['rows']} of {pair['rows']} rows" in capsys.readouterr().out
    assert "several" not in found


def test_several_servers_behind_one_address_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = questions(tmp_path, ["x"] * 11)  # not an even number, so that each row meets both
    with FakeServer(replicas=2, replicas_differ=True, names_worker=True) as server:
        _, found = evaluate(path, server, "-n", "4", "-c", "1")
    assert found["several"] == {"n": 2, "signs": ["names"], "workers": [], "address": server.base_url}
    assert list(found["answered_by"]["servers"]) == [f"{server.base_url} worker-{number}" for number in (0, 1)]
    (pair,) = found["answered_by"]["pairs"]
    assert pair["differ"] == pair["rows"] > 0
    assert "More than one server answers behind this address (2 seen)" in capsys.readouterr().out
    with FakeServer(replicas=2, tells_workers=True) as server:  # nothing in the answers tells
        _, found = evaluate(path, server)
    assert (found["several"]["n"], found["several"]["signs"]) == (2, ["workers", "readiness"])


def test_every_row_is_stored_as_it_was_asked(tmp_path: Path) -> None:
    path = questions(tmp_path, ["x"] * 3)
    with FakeServer(answer="x") as server:
        _, found = evaluate(path, server)
    store = Store(load_settings().database)
    rows = [(row.number, row.record["question"], len(samples)) for row, samples in store.evaluated(found["run"])]
    store.close()
    assert rows == [(1, "What 0?", 1), (2, "What 1?", 1), (3, "What 2?", 1)]


@pytest.mark.parametrize("ending", ["abort", "content_filter", "error", "reasoning", "empty"])
def test_what_is_no_answer_is_never_scored(ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Half of the answer, or nothing, would be right for each of them if it counted.
    path = questions(tmp_path, ["The picture shows a", ""] if ending != "empty" else ["", "x"])
    with FakeServer(ends_as=ending) as server:
        status, found = evaluate(path, server, "-c", "1", "--csv", "out.csv", "--junit", "out.xml")
    assert (status, found["failed"], found["scored"], found["accuracy"]) == (2, 2, 0, None)
    assert "accuracy" not in capsys.readouterr().out.splitlines()[0].lower()
    rows = list(csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8")))
    assert [(row["state"], row["score"], row["answer"]) for row in rows] == [("failed", "", "")] * 2
    suite = ElementTree.parse(tmp_path / "out.xml").getroot()
    assert sum(1 for _ in suite.iter("error")) >= 1


def test_nobody_there_ends_the_run_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = questions(tmp_path, ["x"])
    assert main(["evaluate", str(path), "--wait", "0", "--base-url", f"http://127.0.0.1:{free_port()}/v1"]) == 2
    assert "No server answers" in capsys.readouterr().err
