"""The files of a large run stay small, and what stands in a data set brings no markup."""

from __future__ import annotations

import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vqa.answers import Answer, Sample
from vqa.errors import InputError
from vqa.evaluate.reading import places
from vqa.evaluate.reading.places import read_member
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


def test_a_zip_is_opened_once_for_all_its_pictures_and_again_where_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "pictures.zip"

    def write(more: bytes) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(300):
                archive.writestr(f"{number}.png", bytes([number % 256]) * 5_000 + more)

    def read(number: int) -> bytes:
        return read_member(path, f"{number}.png", 10_000)

    write(b"")
    before = places._opened.cache_info().misses
    assert read(0) == bytes(5_000)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, range(300)))
    assert found == [bytes([number % 256]) * 5_000 for number in range(300)]
    assert places._opened.cache_info().misses == before + 1
    write(b"changed")
    assert read(7) == bytes([7]) * 5_000 + b"changed"
    with pytest.raises(InputError):
        read_member(path, "gone.png", 10_000)
