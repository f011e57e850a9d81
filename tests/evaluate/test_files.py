"""The files of a large run stay small, and what stands in a data set brings no markup."""

from __future__ import annotations

from pathlib import Path

import pytest

from vqa.answers import Answer, Sample
from vqa.evaluate.reporting import files
from vqa.evaluate.reporting.files import RunFiles
from vqa.evaluate.running import conclude
from vqa.store import Store, StoredRow

PLAN = {
    "dataset": {"format": "table", "path": "big.jsonl", "encoding": "utf-8", "prompt": "{question}", "found": {},
                "unknown": [], "system": None},
    "asking": {"scorer": "exact", "repeats": 1},
}  # fmt: skip


def test_a_page_of_rows_takes_less_than_half_a_kilobyte_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand of them, which is the most, are then under five megabytes."""
    assert files.HTML_ROWS == 10_000
    monkeypatch.setattr(files, "HTML_ROWS", 1000)
    store = Store(f"sqlite:///{tmp_path / 'runs.db'}")
    run_id = store.create_run("evaluate", header={}, plan=PLAN)
    for start in range(0, 1005, 1000):
        places = range(start, min(start + 1000, 1005))
        rows = [
            StoredRow(n, n + 1, {"id": str(n), "question": f"问题 {n} <b>? " * 20, "answers": ["yes" * 30],
                                 "options": [], "kind": "color", "pictures": []})
            for n in places
        ]  # fmt: skip
        answer = Answer("a long answer " * 30, "stop")
        store.add_evaluated(run_id, rows, [Sample("evaluate", 0, answer, question=n) for n in places])
    result = conclude(store, run_id)
    html = RunFiles(store, store.run(run_id), result, "en").html()
    store.close()
    assert html.count("<tr class=") == 1000
    assert len(html.encode()) < 500_000
    assert "1000 of 1005" in html
    assert "<b>" not in html.replace("<b ", "")
