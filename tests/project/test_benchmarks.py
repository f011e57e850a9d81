"""The benchmarks that need neither engine nor browser run and save their table; the loopback server speaks as vLLM."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import images, long_run, redraw, report
from benchmarks.__main__ import main
from benchmarks.evaluation import ROWS, write_requests, write_rows
from benchmarks.instant_server import TOKENS, instant_server
from vqa.answers import Question
from vqa.client import Client
from vqa.evaluate.reading import Row, open_dataset
from vqa.media.images import load_image


def test_a_table_is_printed_and_saved_with_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "table.json"
    monkeypatch.setattr(images, "TURNS", 1)  # what they measure here is nothing to go by
    monkeypatch.setattr(report, "TURNS", 1)
    monkeypatch.setattr(report, "report", lambda: long_run.report(2_000))
    monkeypatch.setattr(redraw, "LONG", 2_000)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "images", "report", "redraw", "--json", str(path)])
    monkeypatch.setenv("COLUMNS", "200")
    status = main()
    told = capsys.readouterr()
    assert status in {0, 1}, told.err  # 1 says that a bound did not hold, which is up to the machine
    saved = json.loads(path.read_text())
    whats = [row["what"] for row in saved["rows"]]
    assert len(whats) == 6
    assert all(what in told.out for what in whats)
    assert all(
        row["ours"] > 0 and row["bare"] > 0 and row["ratio"] == row["ours"] / row["bare"] for row in saved["rows"]
    )
    assert status == (0 if all(row["held"] for row in saved["rows"]) else 1)
    assert saved["cores"] >= 1 and saved["memory_bytes"] > 0 and saved["date"]


async def test_the_server_that_answers_at_once_answers_in_full() -> None:
    with instant_server() as base_url:
        async with Client(base_url) as client:
            assert (await client.info()).is_vllm
            for _ in range(3):  # on one connection
                answer = await client.ask(Question("What?"))
    assert answer.finish_reason == "length"
    assert answer.completion_tokens == TOKENS == len(answer.token_ids or ()) == len(answer.tokens or ())


def test_both_clients_are_handed_the_same_pictures_and_questions(tmp_path: Path) -> None:
    dataset = write_rows(tmp_path)
    rows, lines = list(open_dataset(dataset).rows()), write_requests(dataset, "m").read_text().splitlines()
    assert len(rows) == len(lines) == ROWS
    for row, line in zip(rows, lines, strict=True):
        picture, text = json.loads(line)["content"]
        assert isinstance(row, Row) and row.pictures[0].path is not None
        assert picture["image_url"]["url"] == load_image(row.pictures[0].path).data_url
        assert text["text"] == row.question
    fields = json.loads((tmp_path / "fields.json").read_text())
    assert fields["logprobs"] is True and fields["return_token_ids"] is True and fields["temperature"] == 0.0
