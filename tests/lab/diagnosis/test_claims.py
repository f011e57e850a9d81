"""A verdict claims what valid tests have shown, each load with its own bound, and no more."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tests.fakes.openai_server import FakeServer
from tests.lab.diagnosis.test_causes import CONTROL, VLLM, arm, block
from vqa.answers import Sample, Sampling
from vqa.lab.diagnosis.diagnose import Verdict, diagnose
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.diagnosis.premises import together
from vqa.lab.plan.arms import RunSpec
from vqa.lab.report.conclusions import verdict_words
from vqa.lab.report.export import collect, to_csv, to_html, to_junit
from vqa.lab.run.diagnose_job import diagnose_result
from vqa.lab.run.manager import RunManager
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summarize import summarize_run
from vqa.media.images import ImagePayload
from vqa.store import Store
from vqa.text import LANGUAGES, Language

REPEAT = {"repeat": arm("repeat", *["usual"] * 20)}
COLD = {"cold": arm("cold", *["usual"] * 10, cached=(0,) * 10)}
NOT_COLD = {"cold": arm("cold", *["usual"] * 10, cached=(16,) * 10)}
NOT_WARM = {"warm": arm("warm", *["usual"] * 10, cached=(0,) * 10)}
BACKGROUND = {"background": arm("background", *["usual"] * 10)}
LOADED = {"concurrent_8": arm("concurrent_8", *["usual"] * 16)}
FLOWING = Facts(VLLM, blocks=(replace(block("background", 0, 10), background_answered=9),))


def test_every_load_has_its_own_bound() -> None:
    said = verdict_words(diagnose(CONTROL | REPEAT | COLD | LOADED | BACKGROUND, FLOWING))
    assert "in a row up to 14.6% (20 answers)" in said.lower()
    assert "18.1% (16 answers), at most 8 really together" in said
    assert "28.3% (10 answers)" in said, "ten answers allow no more, whatever other tests add"
    assert "5.3%" not in said, "56 answers of four tests are no 56 answers under one load"


@pytest.mark.parametrize(
    ("arms", "named"),
    [(NOT_COLD | NOT_WARM | LOADED, "cache"), (BACKGROUND | COLD, "background load did not run")],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_without_what_decides_nothing_is_told(arms: dict[str, list[Sample]], named: str, language: Language) -> None:
    found = diagnose(CONTROL | REPEAT | arms, Facts(VLLM))
    assert found.verdict is Verdict.CANNOT_TELL
    result = diagnose_result(CONTROL | REPEAT | arms, Facts(VLLM), Level.TEXT)
    assert (result["holds"], result["exit_code"]) == (None, 2)
    assert language != "en" or named in verdict_words(found)
    assert "{" not in verdict_words(found, language)


def test_invalid_tests_count_nowhere() -> None:
    found = diagnose(CONTROL | REPEAT | COLD | LOADED | BACKGROUND, Facts(VLLM))
    assert (found.verdict, found.invalid_arms) == (Verdict.IDENTICAL, ("background",))
    assert (found.values["ok"], found.values["arms"]) == (46, 3)
    odd = {"background": arm("background", *["odd"] * 10)}
    assert diagnose(CONTROL | REPEAT | COLD | LOADED | odd, Facts(VLLM)).verdict is Verdict.IDENTICAL
    assert diagnose(CONTROL | REPEAT | COLD | LOADED | odd, FLOWING).verdict is Verdict.DIFFERS


def test_a_count_of_the_server_that_was_seen_often_refutes_what_answers_tell() -> None:
    run = summarize_run(LOADED["concurrent_8"])

    def met(running: int | None, looks: int) -> int | None:
        blocks = (replace(block("concurrent_8", 0, 16), running=running, looks=looks),)
        return together("concurrent_8", run, Facts(VLLM, blocks=blocks))

    assert [met(None, 0), met(3, 50), met(3, 2), met(99, 50)] == [8, 3, 8, 8]


def test_a_repeat_whose_requests_never_met_has_no_verdict(manager: RunManager, image: ImagePayload) -> None:
    spec = RunSpec(("What?",), (image,), n=12, concurrency=4, sampling=Sampling(max_tokens=32))
    told = {}
    for name, faults in {"met": {}, "queued": {"never_overlaps": True}}.items():
        with FakeServer(**faults) as server:
            result = manager.wait(manager.start(spec, server.base_url), timeout=60).result
        assert result is not None
        told[name] = (result["holds"], result.get("invalid"))
    assert told == {
        "met": (True, None),
        "queued": (None, {"arm": "concurrent_4", "reason": "lab.invalid_not_together"}),
    }


@pytest.mark.parametrize(("faults", "outcome"), [({}, "skipped"), ({"race": 0.5}, "failure")])
def test_a_stopped_run_says_so_everywhere_and_never_passes(
    faults: dict[str, float], outcome: str, manager: RunManager, store: Store, image: ImagePayload
) -> None:
    spec = RunSpec(("What?",), (image,), n=300, concurrency=4, sampling=Sampling(max_tokens=32))
    with FakeServer(**faults, seconds_per_token=0.01) as server:
        run_id = manager.start(spec, server.base_url)
        manager.wait(run_id, after=30, timeout=60)
        manager.stop(run_id)
        status = manager.wait(run_id, timeout=30)
    assert status.result is not None
    assert (status.result["stopped"]["total"], status.result["holds"]) == (300, False if faults else None)
    said = f"Stopped after {status.done} of 300."
    report = collect(store, run_id)
    assert said in to_html(report)
    assert all(line.endswith(said.rstrip(".")) for line in to_csv(report).splitlines()[1:])
    suite = ElementTree.fromstring(to_junit(report)).find("testsuite")
    assert suite is not None
    case, last = suite.findall("testcase")
    assert ([child.tag for child in case], [child.get("message") for child in last]) == ([outcome], [said])
    wall = (report.run.finished_at - report.run.created_at).total_seconds()  # type: ignore[operator]
    assert float(str(suite.get("time"))) == pytest.approx(wall, abs=0.01)
    assert float(str(case.get("time"))) <= wall + 0.1, "requests that ran together took their time together"
