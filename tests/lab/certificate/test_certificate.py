"""What a certificate claims and shows: latency, throughput, and nothing that its positive control did not bear out."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from html import unescape
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.fakes.behaviour import Behaviour
from tests.fakes.engine_stand_in import SPEC, StandIn
from tests.lab.made import CERTIFICATES, samples
from vqa.answers import Json
from vqa.lab.certificate.certify import CONTROLS, IN_A_ROW, certificate_plan, certificate_spec
from vqa.lab.certificate.measuring import certify_work
from vqa.lab.certificate.rows import certificate_result, load_row
from vqa.lab.certificate.wanted import Certified
from vqa.lab.report import outcomes
from vqa.lab.report.export import collect, load_report, to_html, to_junit
from vqa.lab.report.say import certificate_lines
from vqa.lab.run.job import STEP_BACK
from vqa.lab.run.manager import RunManager
from vqa.lab.run.recorded import recorded
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summarize import summarize_run
from vqa.store import Run, Store
from vqa.text import LANGUAGES, Language

CLEAN, BLIND = Behaviour(), Behaviour(ignores_temperature=True)
BLIND_AND_SPLIT = Behaviour(ignores_temperature=True, splits_under_load=True)


def certified(manager: RunManager, store: Store, behaviours: Mapping[str, Behaviour]) -> Run:
    engine = StandIn(dict(behaviours))
    engine.restart(SPEC.with_profile(next(iter(behaviours))))
    wanted = [Certified(name, SPEC.with_profile(name)) for name in behaviours]
    spec = certificate_spec()
    work = certify_work(certificate_plan(spec, (1, 8)), wanted, None)
    run = manager.start_work(work, spec, engine.server.base_url, kind="certify", engine=engine)  # type: ignore[arg-type]
    status = manager.wait(run, timeout=60)
    engine.stop()
    assert status.status == "finished", status.error
    return store.run(run)


@pytest.mark.parametrize(
    ("behaviours", "holds"),
    [
        ({"default": CLEAN, "float32": CLEAN}, True),
        ({"default": CLEAN, "float32": BLIND}, None),
        ({"default": CLEAN, "float32": BLIND_AND_SPLIT}, False),
    ],
)
def test_equal_answers_count_only_where_the_positive_control_differed(
    behaviours: dict[str, Behaviour], holds: bool | None, manager: RunManager, store: Store
) -> None:
    result = certified(manager, store, behaviours).result
    assert result is not None
    rows = {row["name"]: row for row in result["profiles"]}
    assert rows["default"]["control"] == {"n": CONTROLS, "ok": CONTROLS, "distinct": CONTROLS, "detects": True}
    assert rows["float32"]["control"]["detects"] is (behaviours["float32"] is CLEAN)
    assert [load["load"] for load in rows["float32"]["loads"]] == [1, 8]
    assert (result["holds"], result["exit_code"]) == (holds, {True: 0, False: 1, None: 2}[holds])


def test_a_profile_that_shows_no_difference_is_marked_on_the_page_in_the_terminal_and_in_junit(
    manager: RunManager, store: Store
) -> None:
    run = certified(manager, store, {"default": CLEAN, "float32": BLIND_AND_SPLIT})
    default, blind = rows_of(outcomes.of_run(run, "en"))
    assert (default.count("Could not tell"), default.count("Bit for bit")) == (0, 2)
    assert f"positive control: {CONTROLS} distinct in {CONTROLS}" in default
    # In a row nothing differed, which proves nothing; 8 at a time did differ, which does.
    assert (blind.count("Could not tell"), blind.count("Bit for bit")) == (1, 0)
    assert f"positive control: 1 distinct in {CONTROLS}" in blind
    lines = certificate_lines(run.result)
    assert any(line.startswith("float32, positive control:") and "could not be seen" in line for line in lines)
    assert any(line.startswith("default, positive control:") and "can be seen" in line for line in lines)
    cases = ElementTree.fromstring(to_junit(collect(store, run.id))).iter("testcase")
    outcome = {case.get("classname"): [child.tag for child in case if child.tag != "system-out"] for case in cases}
    assert outcome["vqa.default/positive_control"] == []
    assert outcome["vqa.float32/positive_control"] == ["error"]


def test_what_ran_before_serves_again_when_the_run_has_ended(manager: RunManager, store: Store) -> None:
    engine = StandIn({"default": CLEAN, "serial": CLEAN})
    engine.restart(SPEC.with_profile("serial"))
    spec = certificate_spec()
    wanted = [Certified("default", SPEC.with_profile("default"))]
    work = certify_work(certificate_plan(spec, (1,)), wanted, SPEC.with_profile("serial"))
    run = manager.start_work(work, spec, engine.server.base_url, kind="certify", engine=engine)  # type: ignore[arg-type]
    status = manager.wait(run, after=IN_A_ROW + CONTROLS - 1, timeout=60)
    engine.held = threading.Event()
    for _ in range(100):
        status = manager.wait(run, timeout=0.05)
        if status.notes.get("step") == STEP_BACK:
            break
    assert status.running, "a run that ends before its engine is back leaves a start that nobody waits for"
    manager.stop(run)
    engine.held.set()
    status = manager.wait(run, timeout=30)
    assert (status.status, engine.started[-1]) in {("stopped", "serial"), ("finished", "serial")}
    engine.stop()


def test_answers_alike_at_each_load_but_otherwise_than_alone_do_not_hold() -> None:
    lone, loaded = samples(*["red"] * 20), samples(*["blue"] * 16, arm="concurrent_8")
    rows = [
        load_row(1, summarize_run(lone), summarize_run(lone)),
        load_row(8, summarize_run(loaded), summarize_run([*lone, *loaded])),
    ]
    assert [row["alone"]["tokens"] for row in rows] == [True, True]
    assert [row["holds"]["tokens"] for row in rows] == [True, False]
    result = certificate_result([profile("default", *rows)], Level.TOKENS)
    assert (result["holds"], result["exit_code"]) == (False, 1)
    said = "equal to each other, but not to the answers at smaller loads"
    assert said in certificate_lines(result)[1]
    assert said in outcomes.certificate(result, "en")


def test_a_server_that_answers_otherwise_under_load_or_after_another_question_fails_and_it_is_told_why(
    manager: RunManager, store: Store
) -> None:
    by_history = Behaviour(answers_by_history=True)
    run = certified(manager, store, {"default": Behaviour(lone_differs=True), "float32": by_history})
    assert run.result is not None
    rows = {row["name"]: row for row in run.result["profiles"]}
    held = {name: [load["holds"]["tokens"] for load in row["loads"]] for name, row in rows.items()}
    # In a row each gave one answer; only what was asked before, on purpose, shows that those do not repeat.
    assert (held, run.result["exit_code"]) == ({"default": [True, False], "float32": [False, False]}, 1)
    assert all(load["alone"]["tokens"] for load in rows["float32"]["loads"])
    causes = {name: [(each["cause"], each["confidence"]) for each in row["causes"]] for name, row in rows.items()}
    assert causes == {
        "default": [("batch_composition", "confirmed")],
        "float32": [("prefix_cache_history", "confirmed")],
    }
    said = "\n".join(certificate_lines(run.result))
    assert "float32, why: Cause, confirmed by intervention: the history of the prefix cache." in said
    assert "the history of the prefix cache" in outcomes.of_run(run, "en")
    assert "前缀缓存的历史" in outcomes.of_run(run, "zh")


def test_a_load_that_was_not_reached_is_never_a_pass(manager: RunManager, store: Store) -> None:
    run = certified(manager, store, {"default": Behaviour(never_overlaps=True)})
    assert run.result is not None
    loaded = run.result["profiles"][0]["loads"][1]
    # The client's clock may read an answer's end a little after the next one's beginning.
    assert (loaded["together"] <= 3, loaded["invalid"]) == (True, "lab.invalid_not_together")
    assert loaded["holds"] == dict.fromkeys(("bitwise", "tokens", "text", "answer"))
    assert (run.result["holds"], run.result["exit_code"]) == (None, 2)
    assert "fewer ran together" in certificate_lines(run.result)[1]
    assert "fewer ran together" in outcomes.of_run(run, "en")


def test_a_load_is_always_compared_with_the_lone_answers() -> None:
    arms = certificate_plan(certificate_spec(), (8,)).arms
    assert [(arm.name, arm.concurrency) for arm in arms if arm.name in {"repeat", "concurrent_8"}] == [
        ("repeat", 1),
        ("concurrent_8", 8),
    ]


def rows_of(page: str) -> list[str]:
    return page.partition("<tbody>")[2].partition("</tbody>")[0].removesuffix("</tr>").split("</tr>")


def load(number: int, seconds: float, rate: float, *, distinct: int = 1) -> dict[str, Json]:
    holds = dict.fromkeys(("bitwise", "tokens", "text", "answer"), distinct == 1)
    level = "bitwise" if distinct == 1 else "none"
    counts = {"n": 20, "ok": 20, "failed": 0, "distinct": distinct, "logprob_variants": distinct}
    cost = {"median_seconds": seconds, "throughput": rate}
    return {"load": number, "level": level, "holds": holds, "leading": 0, "epsilon": 0.0, **counts, **cost}


def profile(name: str, *loads: dict[str, Json], **more: Json) -> dict[str, Json]:
    return {"name": name, "command": "vllm serve", "reason": None, "loads": list(loads), "changed": False, **more}


@pytest.mark.parametrize("language", LANGUAGES)
def test_throughput_stands_beside_latency_and_both_against_the_default_profile(language: Language) -> None:
    usual = profile("default", load(1, 0.5, 2.0), load(8, 1.0, 7.5))
    serial = profile("serial", load(1, 0.6, 1.5), load(8, 4.0, 1.8))
    result = certificate_result([usual, serial], Level.TOKENS)
    first, second = (unescape(row) for row in rows_of(outcomes.certificate(result, language)))
    unit = {"en": "requests/s", "zh": "请求/秒"}[language]
    assert f"7.5 {unit}</small>" in first
    assert f"1.8 {unit} (-76%)" in second
    assert "(+300%)" in second
    lines = certificate_lines(result, language)
    assert [f"1.8 {unit}" in line and "4 " in line for line in lines] == [False, False, False, True]


@pytest.mark.parametrize("language", LANGUAGES)
def test_failed_requests_are_told_in_the_terminal(language: Language) -> None:
    result = certificate_result([profile("default", load(1, 0.5, 2.0) | {"ok": 18, "failed": 2})], Level.TOKENS)
    (line,) = certificate_lines(result, language)
    assert line.endswith({"en": " · 2 requests failed", "zh": " · 2 次请求失败"}[language])


def test_a_server_that_changed_under_a_profile_is_told(manager: RunManager, store: Store) -> None:
    run = certified(manager, store, {"default": CLEAN, "float32": Behaviour(model_changes_after=10)})
    assert run.result is not None
    assert run.result["exit_code"] == 2
    said = "the server changed while it was being asked under float32"
    assert said in certificate_lines(run.result)[0]
    assert said in outcomes.of_run(run, "en")
    assert said in to_html(collect(store, run.id))
    cases = list(ElementTree.fromstring(to_junit(collect(store, run.id))).iter("testcase"))
    assert len(cases) == 2 * 2 * 6, "two profiles, two questions, six arms"
    assert all(said in str(error.get("message")) for case in cases for error in [case[0]])


@pytest.mark.parametrize("run_id", CERTIFICATES)
def test_recorded_certificates_keep_their_meaning_with_and_without_a_control(run_id: str) -> None:
    stored: Any = load_report(recorded()[run_id]).run.result
    found = certificate_result(stored["profiles"], Level(stored["require"]))
    assert {name: found[name] for name in ("holds", "exit_code")} == {
        name: stored[name] for name in ("holds", "exit_code")
    }
    page = outcomes.certificate(stored, "en")
    controls = [row["control"] for row in stored["profiles"] if row.get("control")]
    assert len(controls) == (len(stored["profiles"]) if run_id in {"h100-certificate", "h200-certificate"} else 0)
    assert page.count("positive control: 4 distinct in 4") == len(controls)
    assert page.count("requests/s") == sum(len(row["loads"]) for row in stored["profiles"])


def test_equal_answers_without_a_control_are_said_to_be_without_one() -> None:
    said = "Made without a positive control"
    same, split = load(1, 0.5, 2.0), load(8, 1.0, 7.5, distinct=3)
    control = {"n": 4, "ok": 4, "distinct": 4, "detects": True}
    for rows, expected in (
        ([profile("default", same)], True),
        ([profile("default", same, split)], False),
        ([profile("default", same, control=control)], False),
    ):
        assert (said in outcomes.certificate(certificate_result(rows, Level.TOKENS), "en")) is expected
