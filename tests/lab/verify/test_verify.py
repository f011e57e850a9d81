"""A run's file is held against the samples in it: what was recorded follows from them, what was altered does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.behaviour import Behaviour
from tests.lab.certificate.test_certificate import certified
from vqa.cli import main
from vqa.lab.report.export import collect, document, load_report
from vqa.lab.run.manager import RunManager
from vqa.lab.run.recorded import recorded
from vqa.lab.run.run_json import Report
from vqa.lab.verify.against import changes
from vqa.lab.verify.verdicts import verdicts
from vqa.store import Store

SMALL = ("h200-repeat", "h200-diagnose-triton", "cpu-certificate")


@pytest.mark.parametrize("run_id", SMALL)
def test_every_verdict_of_a_recorded_run_follows_from_its_samples(run_id: str) -> None:
    checks = verdicts(load_report(recorded()[run_id]))
    assert len(checks) > 4
    assert [check for check in checks if not check.agrees] == []


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A certificate of two profiles, one of which splits, as its document."""
    from vqa.settings import load_settings

    settings = load_settings(data_dir=tmp_path_factory.mktemp("data"))
    store = Store(settings.database)
    manager = RunManager(store, settings)
    try:
        run = certified(manager, store, {"default": Behaviour(splits_under_load=True), "float32": Behaviour()})
        return document(collect(store, run.id))
    finally:
        manager.close()
        store.close()


def passes(value: dict[str, Any]) -> None:
    load = value["run"]["result"]["profiles"][0]["loads"][1]
    load["holds"] = dict.fromkeys(load["holds"], True)


def says_that_all_hold(value: dict[str, Any]) -> None:
    value["run"]["result"] |= {"holds": True, "exit_code": 0}


def drops_the_samples_that_split(value: dict[str, Any]) -> None:
    usual = value["samples"][0]["answer"]
    value["samples"] = [
        row for row in value["samples"] if row["arm"] != "default/concurrent_8" or row["answer"] == usual
    ]


def rewrites_an_answer(value: dict[str, Any]) -> None:
    next(iter(value["answers"].values()))["text"] += "!"


def blinds_the_control(value: dict[str, Any]) -> None:
    value["run"]["result"]["profiles"][1]["control"]["detects"] = False


def takes_the_witness_away(value: dict[str, Any]) -> None:
    for row in value["samples"]:
        if row["arm"] == "float32/concurrent_8":
            row["started_at"] += 100 * row["index"]


def says_that_more_met(value: dict[str, Any]) -> None:
    value["run"]["result"]["profiles"][1]["loads"][1]["together"] += 1


def names_another_cause(value: dict[str, Any]) -> None:
    value["run"]["result"]["profiles"][0]["causes"][0]["confidence"] = "unknown"


def leaves_a_profile_out(value: dict[str, Any]) -> None:
    result = value["run"]["result"]
    result |= {"profiles": result["profiles"][1:], "holds": True, "exit_code": 0}


ALTERED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a pass": (passes, "default/8/holds: "),
    "all hold": (says_that_all_hold, "exit_code: "),
    "samples left out": (drops_the_samples_that_split, "default/8/n: "),
    "an answer": (rewrites_an_answer, "An answer is not the one that its digest names"),
    "the control": (blinds_the_control, "float32/control: "),
    "the count that met": (says_that_more_met, "float32/8/together: "),
    "the cause": (names_another_cause, "default/causes: "),
    "a profile left out": (leaves_a_profile_out, 'profiles: ["float32"] is written, the samples give ["float32", "de'),
    "the witness": (takes_the_witness_away, 'float32/8/invalid: null is written, the samples give "lab.invalid_not_'),
}


@pytest.mark.parametrize("name", ["nothing", *ALTERED])
def test_what_was_altered_is_found_without_a_server(
    name: str, written: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = json.loads(json.dumps(written))
    said = "All 63 verdicts and figures of "
    if name in ALTERED:
        alter, said = ALTERED[name]
        alter(value)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    assert main(["verify", str(path)]) == (name in ALTERED)
    assert said in capsys.readouterr().out


def test_a_result_of_another_kind_is_refused(
    written: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = json.loads(json.dumps(written))
    value["run"]["kind"] = "horizon"
    path = tmp_path / "run.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    assert main(["verify", str(path)]) == 2
    assert "is not a report of VQA Lab" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["control", "steps"])
def test_a_horizon_without_one_of_its_loads_or_with_another_control_is_found(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = document(load_report(recorded()["h200-internvl-horizon"]))
    row = value["run"]["result"]["profiles"][0]
    if what == "steps":
        row["steps"].pop()
    else:
        row["control"]["distinct"] = 1
    path = tmp_path / "run.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    assert main(["verify", str(path)]) == 1
    assert f"{row['name']}/{what}: " in capsys.readouterr().out


def test_a_run_without_a_conclusion_cannot_be_verified(
    written: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(written | {"run": written["run"] | {"result": None}}), encoding="utf-8")
    assert main(["verify", str(path)]) == 2
    assert "concluded nothing" in capsys.readouterr().out


def test_what_changed_since_is_told_by_name(written: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(written), encoding="utf-8")
    report = load_report(path)
    assert changes(report, report) == []
    machines = [{"driver": "570", "vllm_version": "0.32.0"}, {"driver": "580", "vllm_version": "0.33.0"}]
    before, now = (with_machine(report, each) for each in machines)
    held = {"load": 8, "level": "bitwise", "invalid": None}
    rows = [dict(row) for row in (now.run.result or {})["profiles"]]
    rows[0]["loads"] = [rows[0]["loads"][0], rows[0]["loads"][1] | held]
    others = [sample for sample in now.samples if sample.arm == "float32/repeat"]
    answer = others[0].answer
    assert answer is not None
    swapped = replace(others[0], answer=replace(answer, text="other", token_ids=(1,), tokens=None))
    now = replace(
        now,
        run=replace(now.run, result=(now.run.result or {}) | {"profiles": rows}),
        samples=(*(sample for sample in now.samples if sample is not others[0]), swapped),
    )
    found = {(each.what, each.name): (each.before, each.now) for each in changes(before, now)}
    assert found == {
        ("surroundings", "driver"): ("570", "580"),
        ("surroundings", "vLLM"): ("0.32.0", "0.33.0"),
        ("verdict", "default, 8"): ("none", "bitwise"),
        ("answers", "float32/repeat"): ("2", "3"),
    }


def with_machine(report: Report, machine: dict[str, str]) -> Report:
    return replace(report, run=replace(report.run, header=report.run.header | {"machine": machine}))


@pytest.mark.parametrize("what", ["cause", "confidence", "tried"])
def test_a_diagnosis_that_names_another_cause_or_a_better_remedy_is_found(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = document(load_report(recorded()["cpu-diagnose-history"]))
    first, history, *_ = value["run"]["result"]["diagnosis"]["findings"]
    if what == "tried":
        history["values"]["tried"][0] |= {"same": history["values"]["tried"][0]["n"]}
    else:
        first[what] = {"cause": "start_up", "confidence": "consistent"}[what]
    path = tmp_path / "run.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    assert main(["verify", str(path)]) == 1
    assert "causes: " in capsys.readouterr().out
