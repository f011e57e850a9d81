"""Outcomes as JUnit XML, the way Jenkins, GitLab and GitHub read it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from xml.etree import ElementTree

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Outcome(StrEnum):
    """How a test case ended; the value is the child element that says so."""

    PASSED = "passed"
    FAILED = "failure"
    ERROR = "error"
    """It could not be told: requests failed and no difference was seen, or the whole run is invalid."""
    SKIPPED = "skipped"
    """It was not checked: the server does not show the level, or the arm's premise did not hold."""


@dataclass(frozen=True)
class TestOutcome:
    """One test case: an arm of one question."""

    name: str
    classname: str
    seconds: float
    outcome: Outcome
    message: str = ""
    detail: str = ""


def junit_xml(
    name: str,
    at: datetime,
    cases: Sequence[TestOutcome],
    properties: Sequence[tuple[str, str]] = (),
    *,
    seconds: float | None = None,
) -> str:
    """Returns the XML of one test suite; characters that XML cannot hold are replaced by U+FFFD.

    `seconds` is the wall time of all; without it, the sum of the cases.
    """
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.outcome is Outcome.FAILED for case in cases)),
        "errors": str(sum(case.outcome is Outcome.ERROR for case in cases)),
    }
    time = f"{sum(case.seconds for case in cases) if seconds is None else seconds:.3f}"
    skipped = str(sum(case.outcome is Outcome.SKIPPED for case in cases))
    root = ElementTree.Element("testsuites", {"name": _clean(name), **counts, "time": time})
    stamp = at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
    attributes = {"name": _clean(name), **counts, "skipped": skipped, "time": time, "timestamp": stamp}
    suite = ElementTree.SubElement(root, "testsuite", attributes)
    if properties:
        holder = ElementTree.SubElement(suite, "properties")
        for key, value in properties:
            ElementTree.SubElement(holder, "property", {"name": _clean(key), "value": _clean(value)})
    for case in cases:
        _add_case(suite, case)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _add_case(suite: ElementTree.Element, case: TestOutcome) -> None:
    attributes = {"name": _clean(case.name), "classname": _clean(case.classname), "time": f"{case.seconds:.3f}"}
    element = ElementTree.SubElement(suite, "testcase", attributes)
    if case.outcome is Outcome.PASSED:
        if case.detail:
            ElementTree.SubElement(element, "system-out").text = _clean(case.detail)
        return
    child = ElementTree.SubElement(element, case.outcome, {"message": _clean(case.message)})
    if case.outcome is not Outcome.SKIPPED:
        child.set("type", "NotIdentical" if case.outcome is Outcome.FAILED else "CouldNotTell")
    child.text = _clean(case.detail)


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
