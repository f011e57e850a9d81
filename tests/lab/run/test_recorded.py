"""The recorded runs: what they say follows from their own samples, and they open like anybody's run."""

import gzip
import json
import re
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.lab.made import CERTIFICATES
from vqa.answers import Sample
from vqa.errors import InputError, StoreError
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.report.export import Report, collect, load_report, required, to_html
from vqa.lab.run.diagnose_job import diagnose_result
from vqa.lab.run.documents import run_result
from vqa.lab.run.recorded import DIFFERED, ENDING, add_recorded, label, named, recorded
from vqa.lab.run.run_json import GZIP, dump
from vqa.lab.stats.summarize import summarize_run
from vqa.lab.verify.verdicts import verdicts
from vqa.store import Store

RUNS = recorded()


@cache
def read(run_id: str) -> Report:
    """What a recorded run's file holds, read once: some hold tens of thousands of tokens."""
    return load_report(RUNS[run_id])


def by_arm(samples: tuple[Sample, ...]) -> dict[str, list[Sample]]:
    arms: dict[str, list[Sample]] = {}
    for sample in samples:
        arms.setdefault(sample.arm, []).append(sample)
    return arms


def rounded(value: Any) -> Any:
    """As plain values, numbers to five digits: a file keeps the moments of samples to the microsecond."""
    return json.loads(json.dumps(value), parse_float=lambda digits: float(f"{float(digits):.5g}"))


def as_stored(found: Any, stored: Any, key: str = "") -> Any:
    """What was found, without what a recording of an earlier version does not have, for comparing the two.

    The version of the format and the order in which remedies are offered are today's, so the recording's stand in.
    """
    if isinstance(found, dict) and isinstance(stored, dict):
        return {name: as_stored(found.get(name), stored[name], name) for name in stored}
    if isinstance(found, list) and isinstance(stored, list):
        if key == "profiles":
            return stored if set(found) == set(stored) else found
        return [as_stored(*pair) for pair in zip(found, stored, strict=True)]
    return stored if key == "version" else found


def test_there_are_some() -> None:
    assert {"h200-repeat", "h200-diagnose-default", "h200-diagnose-triton"} <= set(RUNS)


@pytest.mark.parametrize("run_id", RUNS)
def test_the_stored_verdict_follows_from_the_samples(run_id: str) -> None:
    report = read(run_id)
    stored = dict(report.run.result or {})
    assert report.run.id == run_id
    assert (report.run.kind == "certify") is (run_id in CERTIFICATES)
    assert stored
    if report.run.kind == "repeat":
        found = run_result(summarize_run(report.samples), required(report.run))
        assert as_stored(rounded(found), rounded(stored)) == rounded(stored) | {"facts": None}
    elif report.run.kind == "diagnose":
        facts = Facts.from_record(stored["facts"])
        found = diagnose_result(by_arm(report.samples), facts, required(report.run))
        told = rounded(stored["diagnosis"])
        assert as_stored(rounded(found["diagnosis"]), told) == told
        assert (found["verdict"], found["holds"]) == (stored["verdict"], stored["holds"])
    elif report.run.kind in {"horizon", "matrix"} or run_id == "h200-certificate":
        checks = verdicts(report)
        assert len(checks) > 100
        assert [check for check in checks if not check.agrees] == []
    else:
        arms = by_arm(report.samples)
        for row in stored["profiles"]:
            for load in row["loads"]:
                arm = f"{row['name']}/" + ("repeat" if load["load"] == 1 else f"concurrent_{load['load']}")
                summary = summarize_run(arms[arm]).questions[0]
                assert summary.levels[summary.display_level].distinct == load["distinct"]
                assert (summary.ok, str(summary.level)) == (load["ok"], load["level"])


@pytest.mark.parametrize("run_id", RUNS)
def test_no_path_of_the_machine_it_was_made_on_is_told(run_id: str) -> None:
    text = gzip.decompress(RUNS[run_id].read_bytes()).decode()
    assert not re.search(r"/(tmp|root|home|work|opt|Users)/", text)


def test_they_open_from_the_store_like_any_run(store: Store) -> None:
    add_recorded(store)
    add_recorded(store)
    for run_id in RUNS:
        report = collect(store, run_id)
        assert dump(report) == dump(read(run_id))
        assert label(report.run, "en").startswith("Recorded on ")
        assert label(report.run, "zh").startswith("录制于")
    with pytest.raises(StoreError):
        store.import_run(report.run, report.samples)


def test_others_write_while_thousands_of_samples_are_put_into_the_store(store: Store) -> None:
    chat, seen = store.create_chat(), set()
    adding = threading.Thread(target=add_recorded, args=(store,))
    adding.start()
    while adding.is_alive():
        store.rename_chat(chat, f"name {len(seen)}")
        seen.add(len(store.runs(limit=100)))
        time.sleep(0.01)
    assert len(seen) > len(RUNS) / 2, "a write waited for most of the import"


def test_one_of_them_differs_in_words_that_can_be_read_and_is_named_in_both_languages() -> None:
    report = load_report(RUNS[DIFFERED])
    assert (report.run.kind, report.run.plan["spec"]["sampling"]["temperature"]) == ("repeat", 0)
    texts = {sample.answer.text for sample in report.samples if sample.answer}
    assert len(texts) > 1 and all(re.fullmatch(r"( [a-z]{4}){10,}", text) for text in texts)
    assert named(report.run, "en") == report.run.name
    assert named(report.run, "zh") == "一次出现差异的录制（测试模型，词语为虚构）"
    page = to_html(report)
    assert (
        "A recorded run that differed (test model; its words are invented)" in page and named(report.run, "zh") in page
    )
    other = load_report(RUNS["h200-repeat"]).run
    assert named(other, "zh") == other.name


def test_the_report_says_where_it_was_recorded() -> None:
    page = to_html(read("h200-repeat"))
    assert "Recorded on NVIDIA H200, vLLM 0.24.0, 2026-11-24" in page
    assert "录制于 NVIDIA H200" in page


def test_a_damaged_file_is_left_out_and_the_others_are_there(store: Store, tmp_path: Path) -> None:
    good = RUNS["h200-repeat"].read_bytes()
    assert good.startswith(GZIP)
    (tmp_path / f"broken{ENDING}").write_bytes(good[: len(good) // 2])
    (tmp_path / f"h200-repeat{ENDING}").write_bytes(good)
    add_recorded(store, tmp_path)
    assert [run.id for run in store.runs()] == ["h200-repeat"]
    with pytest.raises(InputError):
        load_report(good[: len(good) // 2])
