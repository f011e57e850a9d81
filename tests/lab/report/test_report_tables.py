"""CSV and JUnit XML of a run: a row for each sample, a case for each arm, and nothing claimed that was not seen."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tests.lab.made import answer, failed, samples
from tests.lab.report.test_report import first_differs, made
from vqa.lab.report.export import to_csv, to_junit
from vqa.lab.run.run_json import Report
from vqa.lab.stats.agreement import Level


def test_csv_has_a_row_for_each_sample_with_its_group() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(made([*first_differs(5), failed(5)])))))
    assert [row["group"] for row in rows] == ["1", "0", "0", "0", "0", ""]
    assert rows[0]["text"] == "a blue square" and rows[5]["error"] == "server_failed"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", '=HYPERLINK("http://x")'])
def test_csv_texts_are_no_formulas(text: str) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(made(samples(text, text))))))
    assert rows[0]["text"] == f"'{text}"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x"])
def test_no_column_of_the_csv_is_a_formula(text: str) -> None:
    (sample,) = samples("a")
    assert sample.answer is not None
    told = replace(sample, arm=text, answer=replace(sample.answer, finish_reason=text, request_id=text))
    (row,) = csv.DictReader(io.StringIO(to_csv(made([told]))))
    assert [name for name, cell in row.items() if cell.startswith(("=", "+", "-", "@"))] == []
    assert row["arm"] == row["finish_reason"] == row["request_id"] == f"'{text}"


def outcome(report: Report, require: Level | None) -> list[str]:
    suite = ElementTree.fromstring(to_junit(report, require)).find("testsuite")
    assert suite is not None
    counted = {"failure": "failures", "error": "errors", "skipped": "skipped"}
    for child, name in counted.items():
        assert int(suite.get(name, "-1")) == len(suite.findall(f"testcase/{child}"))
    assert int(suite.get("tests", "-1")) == len(suite.findall("testcase"))
    return [next((child.tag for child in case if child.tag in counted), "passed") for case in suite.findall("testcase")]


def test_junit_fails_where_the_level_does_not_hold_and_passes_where_it_does() -> None:
    same = samples(*["a red circle"] * 5)
    other = samples("A red circle.", *["a red circle"] * 4, question=1)
    report = made([*same, *other], questions=("One?", "Two?"))
    assert outcome(report, Level.TEXT) == ["passed", "failure"]
    assert outcome(report, Level.ANSWER) == ["passed", "passed"]


def test_junit_is_an_error_where_failed_requests_leave_it_open_and_skipped_where_the_level_is_hidden() -> None:
    assert outcome(made([*samples("a", "a"), failed(2)]), Level.TEXT) == ["error"]
    bare = [answer("a", ids=False, shown=False)] * 3
    assert outcome(made(samples(*bare)), Level.TOKENS) == ["skipped"]


def test_junit_checks_the_level_that_the_run_itself_required_unless_told_otherwise() -> None:
    report = made(samples("A red circle.", *["a red circle"] * 4))
    assert outcome(report, None) == ["failure"]
    spec = report.run.plan["spec"] | {"require": "answer"}
    asked = replace(report, run=replace(report.run, plan={"spec": spec}))
    assert outcome(asked, None) == ["passed"]
    assert outcome(asked, Level.TEXT) == ["failure"]


def test_junit_wants_a_positive_control_that_differs_and_skips_an_arm_whose_premise_did_not_hold() -> None:
    control, warm = samples("a", "b", arm="positive_control"), samples("a", "a", arm="warm")
    report = made([*control, *warm, *samples("a", "a", "a")], kind="diagnose")
    assert outcome(report, Level.TEXT) == ["passed", "passed", "passed"]
    rows = [{"arm": "warm", "invalid": "lab.invalid_not_warm"}, {"arm": "repeat", "invalid": None}]
    invalid = replace(report, run=replace(report.run, result={"diagnosis": {"evidence": rows}}))
    assert outcome(invalid, Level.TEXT) == ["passed", "skipped", "passed"]
    assert outcome(made(samples("a", "a", arm="positive_control"), kind="diagnose"), Level.TEXT) == ["error"]


def test_junit_names_question_and_arm_and_survives_control_characters() -> None:
    report = made(samples("a\x00b", "a\x01c"), questions=("What\x07 <is> this?",))
    case = ElementTree.fromstring(to_junit(report)).find(".//testcase")
    assert case is not None and case.get("classname") == "vqa.repeat" and "<is> this?" in case.get("name", "")


def test_junit_follows_the_usual_order_of_elements_and_attributes() -> None:
    root = ElementTree.fromstring(to_junit(made(first_differs())))
    suite = root[0]
    assert root.tag == "testsuites" and [child.tag for child in suite] == ["properties", "testcase"]
    assert {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"} <= set(suite.keys())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", ""))
    assert {"name", "classname", "time"} == set(suite[1].keys())
