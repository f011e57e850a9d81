"""compare, power and gate as a CI job runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.evaluate import made
from tests.fakes.openai_server import FakeServer
from vqa.cli import main


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made.put(tmp_path, "a.png")
    records = [{"image": "a.png", "question": f"What {n}?", "answer": "x", "id": n} for n in range(12)]
    return made.lines(tmp_path / "set.jsonl", records)


def evaluate(dataset: Path, server: FakeServer, *options: str) -> str:
    assert main(["evaluate", str(dataset), "--base-url", server.base_url, "--json", "out.json", *options]) == 0
    return str(json.loads(Path("out.json").read_text())["run"])


def test_runs_are_compared_and_a_gate_holds_them(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer(answer="x") as good, FakeServer(answer="y") as bad:
        one, same = (evaluate(dataset, good, "-n", "2") for _ in range(2))
        other = evaluate(dataset, bad, "-n", "2")
        single = evaluate(dataset, bad)
        assert main(["compare", one, same]) == 0
        assert main(["compare", one, other, "--json", "compared.json"]) == 1
        assert main(["compare", one, single]) == 2
        assert "-n 3" in capsys.readouterr().out
        assert main(["power", one, other]) == 0
        assert main(["score", one]) == 0
        assert main(["gate", "base.json", "--from", one, "--keep", "3"]) == 0
        files = ["--junit", "gate.xml", "--markdown", "gate.md"]
        assert main(["gate", "base.json", str(dataset), "--base-url", good.base_url, *files]) == 0
        assert main(["gate", "base.json", str(dataset), "--base-url", bad.base_url, *files]) == 1
    compared = json.loads(Path("compared.json").read_text())
    assert (compared["right_to_wrong"], compared["difference"], compared["rows"]) == (12, -1.0, 12)
    assert 'failures="2"' in Path("gate.xml").read_text()
    assert "❌" in Path("gate.md").read_text()
    base = json.loads(Path("base.json").read_text())
    assert (base["must_not_change"], base["accuracy"], base["wrong"]) == ({"3": "x"}, 1.0, [])
