"""Jobs that restart the engine: process-cold starts, another profile with before and after, the certificate's round.

The engine here is a stand-in that serves the fault-injecting server: a real one is restarted in tests/real.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.behaviour import Behaviour
from tests.fakes.engine_stand_in import SPEC, StandIn
from tests.fakes.openai_server import FakeServer
from vqa.answers import Sampling
from vqa.engine.state import EngineState, Failure
from vqa.errors import EngineError, InputError
from vqa.lab.certificate.certify import certificate_plan, certificate_spec, start_certificate
from vqa.lab.certificate.measuring import certify_work
from vqa.lab.certificate.wanted import Certified
from vqa.lab.diagnosis.diagnose import Cause, Confidence, Verdict
from vqa.lab.diagnosis.invalid import invalid_sentence
from vqa.lab.plan.arms import RunSpec
from vqa.lab.report import cells, outcomes
from vqa.lab.report.export import collect, load_report
from vqa.lab.report.notes import note_lines
from vqa.lab.report.reproduce import run_argv
from vqa.lab.report.say import result_lines
from vqa.lab.run import diagnose_job
from vqa.lab.run.diagnose_job import diagnose_work
from vqa.lab.run.documents import diagnosis_from_record
from vqa.lab.run.failures import error_text
from vqa.lab.run.job import repeat_work
from vqa.lab.run.manager import RunManager
from vqa.lab.run.run_json import dump
from vqa.lab.verify.verdicts import verdicts
from vqa.media.images import ImagePayload
from vqa.settings import Settings, load_settings
from vqa.store import Store


@pytest.fixture
def spec(image: ImagePayload) -> RunSpec:
    return RunSpec(("What is shown?",), (image,), sampling=Sampling(max_tokens=32))


def finished(manager: RunManager, work: Any, spec: RunSpec, engine: StandIn, kind: str) -> dict[str, Any]:
    run = manager.start_work(work, spec, engine.server.base_url, kind=kind, engine=engine)  # type: ignore[arg-type]
    status = manager.wait(run, timeout=60)
    assert status.status == "finished", status.error
    assert status.result is not None
    return {**status.result, "run": run}


def test_three_restarts_show_the_odd_beginning_of_each(manager: RunManager, store: Store, spec: RunSpec) -> None:
    engine = StandIn({"default": Behaviour(start_up=1)})
    engine.restart()
    result = finished(manager, diagnose_work(spec, restarts=True, loads=(2,), size=6), spec, engine, "diagnose")
    engine.stop()
    assert engine.started == ["default"] * 4
    assert {name for name in result["arms"] if name.startswith("process")} == {f"process_cold_{n}" for n in (1, 2, 3)}
    found = diagnosis_from_record(result["diagnosis"])
    assert (Cause.START_UP, Confidence.CONFIRMED) in {(each.cause, each.confidence) for each in found.findings}
    assert all(each.cause is not Cause.COLD_PREFIX_CACHE for each in found.findings)
    assert engine.silenced > 0
    rows = result["restarts"]
    assert [row["pid"] for row in rows] == [engine.pid - 2, engine.pid - 1, engine.pid]
    assert [[each["answer"] for each in row["questions"][0]] for row in rows] == [[1, 0, 0, 0, 0]] * 3
    assert all((each["cached"], each["seconds"] > 0) == (0, True) for row in rows for each in row["questions"][0])
    page = outcomes.of_run(store.run(result["run"]), "en")
    assert page.count(f'{cells.colour(1)}">B</i>') == 3
    assert page.count(f'{cells.colour(0)}">A</i>') == 12
    lines = result_lines(manager.status(result["run"]), technical=True)
    assert [line for line in lines if "restart 2, question 1: B A A A A" in line]


def test_a_restart_that_leaves_the_process_is_invalid_and_singles_nothing_out(
    manager: RunManager, store: Store, spec: RunSpec
) -> None:
    engine = StandIn({"default": Behaviour(start_up=1)}, same_process=True)
    engine.restart()
    result = finished(manager, diagnose_work(spec, restarts=True, loads=(2,), size=6), spec, engine, "diagnose")
    engine.stop()
    found = diagnosis_from_record(result["diagnosis"])
    assert {f"process_cold_{n}" for n in (1, 2, 3)} == set(found.invalid_arms)
    assert all(each.confidence is not Confidence.CONFIRMED for each in found.findings)
    assert [row["invalid"] for row in result["restarts"]] == ["lab.invalid_not_restarted"] * 3
    assert "not seen to be another process" in outcomes.of_run(store.run(result["run"]), "en")


def test_what_a_restart_can_do_against_a_history_is_tried_and_the_engine_goes_back(
    manager: RunManager, store: Store, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnose_job, "COLD_STARTS", 1)  # what they show is tested above
    other = Behaviour(answer="Quite other words")
    engine = StandIn({"default": Behaviour(answers_by_history=True), "float32": other}, broken=("no-prefix-cache",))
    engine.restart()
    result = finished(manager, diagnose_work(spec, restarts=True, loads=(2,), size=4), spec, engine, "diagnose")
    engine.stop()
    assert engine.started == ["default"] * 2 + ["no-prefix-cache", "float32", "default"]
    found = diagnosis_from_record(result["diagnosis"])
    assert [each.cause for each in found.findings] == [Cause.PREFIX_CACHE_HISTORY]
    tried = {row["remedy"]: (row["n"], row["same"], row["level"]) for row in found.findings[0].values["tried"]}
    assert tried["float32"] == (8, 8, "bitwise")
    assert "no-prefix-cache" not in tried
    assert [row["remedy"] for row in result["untried"]] == ["no-prefix-cache"]
    assert not any(row.arm.startswith("float32") for row in found.evidence)
    lines = result_lines(manager.status(result["run"]), technical=True)
    assert any("under it: float32: 8 of 8 the same" in line for line in lines)
    assert any(line.startswith("Could not be tried: no-prefix-cache: ") for line in lines)
    report = collect(store, result["run"])
    assert "--restarts" in run_argv(report.run)
    assert "float32" in outcomes.of_run(report.run, "zh")
    assert all(check.agrees for check in verdicts(load_report(dump(report).encode())))


def test_another_profile_is_checked_and_stands_beside_the_former_result(manager: RunManager, spec: RunSpec) -> None:
    engine = StandIn({"default": Behaviour(splits_under_load=True), "serial": Behaviour()})
    engine.restart()
    before = finished(manager, diagnose_work(spec, loads=(2, 8), size=6), spec, engine, "diagnose")
    again = diagnose_work(spec, profile="serial", before=before["run"], loads=(2, 8), size=6)
    after = finished(manager, again, spec, engine, "diagnose")
    engine.stop()
    assert (before["verdict"], before["profile"], before["holds"]) == ("differs", "default", False)
    assert (after["verdict"], after["profile"], after["holds"]) == ("identical", "serial", True)
    assert after["before"]["result"]["verdict"] == "differs"
    assert after["arms"]["repeat"]["questions"][0]["latency"]["median"] > 0


def test_a_profile_under_which_the_engine_does_not_start_fails_the_run_and_brings_the_former_one_back(
    manager: RunManager, spec: RunSpec
) -> None:
    engine = StandIn({"default": Behaviour()}, broken=("serial",))
    engine.restart()
    work = diagnose_work(spec, profile="serial", loads=(2,), size=6)
    run = manager.start_work(work, spec, engine.server.base_url, kind="diagnose", engine=engine)  # type: ignore[arg-type]
    status = manager.wait(run, timeout=30)
    engine.stop()
    assert status.status == "failed"
    assert "did not start under serial" in (status.error or "")
    assert "under default, as before" in (status.error or "")
    assert engine.started == ["default", "serial", "default"]
    said = error_text(status.error, status.result, "zh") or ""
    reason = Failure("out_of_memory")
    assert said.startswith(
        f"引擎无法以 serial 启动：引擎无法启动：{reason.message('zh')} 正在以原来的 default 重新启动。"
    )
    assert said.endswith(reason.hint("zh"))


def checked_under_serial(manager: RunManager, spec: RunSpec, engine: StandIn) -> str:
    engine.restart()
    work = diagnose_work(spec, profile="serial", loads=(2,), size=6)
    return manager.start_work(work, spec, engine.server.base_url, kind="diagnose", engine=engine)  # type: ignore[arg-type]


def test_a_check_that_breaks_off_brings_the_former_profile_back_and_says_so(manager: RunManager, spec: RunSpec) -> None:
    engine = StandIn({"default": Behaviour(), "serial": Behaviour(fails_every=1)})
    run = checked_under_serial(manager, spec, engine)
    status = manager.wait(run, timeout=30)
    assert status.status == "failed"
    assert engine.started == ["default", "serial", "default"]
    assert engine.state is EngineState.READY
    engine.stop()
    assert "The check under serial broke off: " in (status.error or "")
    assert "illegal memory access" in (status.error or "")
    assert "started again under default, as before" in (status.error or "")
    assert (error_text(status.error, status.result, "zh") or "").startswith("在 serial 下的检查中断：服务器")


def test_a_check_that_is_stopped_brings_the_former_profile_back(manager: RunManager, spec: RunSpec) -> None:
    engine = StandIn({"default": Behaviour(), "serial": Behaviour(prefill_seconds=0.05)})
    run = checked_under_serial(manager, spec, engine)
    manager.wait(run, after=3, timeout=30)
    assert engine.spec.profile == "serial"
    manager.stop(run)
    status = manager.wait(run, timeout=30)
    assert status.status == "stopped"
    assert error_text(status.error, status.result, "en") == (
        "It had not concluded. The engine is being started again under default, as before."
    )
    assert "default" in (error_text(status.error, status.result, "zh") or "")
    assert engine.started == ["default", "serial", "default"]
    assert engine.state is EngineState.READY
    engine.stop()


def test_a_check_that_ends_well_leaves_the_engine_under_the_profile(manager: RunManager, spec: RunSpec) -> None:
    engine = StandIn({"default": Behaviour(), "serial": Behaviour()})
    run = checked_under_serial(manager, spec, engine)
    assert manager.wait(run, timeout=30).status == "finished"
    engine.stop()
    assert engine.started == ["default", "serial"]


def test_a_restart_needs_a_managed_engine(manager: RunManager, spec: RunSpec) -> None:
    with FakeServer() as server:
        run = manager.start_work(diagnose_work(spec, profile="serial"), spec, server.base_url, kind="diagnose")
        status = manager.wait(run, timeout=30)
    assert status.status == "failed"
    assert "not managed" in (status.error or "")


def test_the_certificate_measures_each_profile_and_starts_what_ran_before(manager: RunManager) -> None:
    engine = StandIn(
        {"default": Behaviour(splits_under_load=True), "float32": Behaviour(drift=0.001)}, broken=("serial",)
    )
    engine.restart()
    wanted = [
        Certified("default", SPEC),
        Certified("float32", SPEC.with_profile("float32")),
        Certified("serial", SPEC.with_profile("serial")),
        Certified("batch-invariant", SPEC.with_profile("batch-invariant"), "engine.profile_needs_gpu"),
    ]
    spec = certificate_spec()
    result = finished(manager, certify_work(certificate_plan(spec, (1, 8)), wanted, SPEC), spec, engine, "certify")
    assert engine.started == ["default", "default", "float32", "serial", "default"]
    assert engine.state is EngineState.READY
    engine.stop()
    rows = {row["name"]: row for row in result["profiles"]}
    shown = {(name, load["load"]): load for name, row in rows.items() for load in row["loads"]}
    assert shown["default", 1]["level"] == "bitwise"
    assert shown["default", 8]["distinct"] > 1
    assert shown["float32", 8]["level"] == "tokens"
    assert shown["float32", 8]["logprob_variants"] > 1
    assert rows["serial"]["reason"]
    assert rows["batch-invariant"]["reason"] == "engine.profile_needs_gpu"
    assert (result["holds"], result["exit_code"]) == (False, 1)
    assert set(manager.summaries(result["run"])) == {
        f"{name}/{arm.name}" for name in ("default", "float32") for arm in certificate_plan(spec, (1, 8)).arms
    }


def test_stopping_a_certificate_keeps_its_samples_and_brings_back_the_engine(manager: RunManager, store: Store) -> None:
    engine = StandIn({"default": Behaviour(prefill_seconds=0.05), "float32": Behaviour()})
    engine.restart()
    spec = certificate_spec()
    wanted = [Certified("float32", SPEC.with_profile("float32")), Certified("default", SPEC)]
    plan = certificate_plan(spec, (1,))
    work = certify_work(plan, wanted, SPEC.with_profile("float32"))
    run = manager.start_work(work, spec, engine.server.base_url, kind="certify", engine=engine)  # type: ignore[arg-type]
    manager.wait(run, after=plan.samples + 2, timeout=30)
    manager.stop(run)
    assert manager.wait(run, timeout=30).status == "stopped"
    engine.stop()
    assert engine.started == ["default", "float32", "default", "float32"]
    assert len(store.samples(run)) > plan.samples


@pytest.mark.parametrize("profiles", [[], ["fast"]])
def test_a_certificate_over_unknown_profiles_is_refused(
    profiles: list[str], manager: RunManager, settings: Settings
) -> None:
    with pytest.raises(InputError):
        start_certificate(manager, StandIn({}), settings, profiles)  # type: ignore[arg-type]


def test_a_certificate_needs_an_engine_of_our_own(manager: RunManager) -> None:
    with pytest.raises(EngineError):
        start_certificate(
            manager,
            StandIn({}),  # type: ignore[arg-type]
            load_settings(base_url="http://127.0.0.1:9/v1"),
            ["default"],
        )


@pytest.mark.parametrize("restarted", [False, True])
def test_a_run_ends_at_once_when_its_engine_is_stopped_or_replaced(
    manager: RunManager, spec: RunSpec, restarted: bool
) -> None:
    engine = StandIn({"default": Behaviour(answer="one two three four", seconds_per_token=30)})
    engine.restart()
    run = manager.start_work(
        repeat_work(spec), spec, engine.server.base_url, kind="repeat", engine=engine  # type: ignore[arg-type]
    )  # fmt: skip
    assert manager.wait(run, timeout=1).status == "running"
    # As vLLM may, the server keeps the connection and the request on it.
    if restarted:
        engine.generation, engine.pid = engine.generation + 1, engine.pid + 1
    else:
        engine.state = EngineState.STOPPING
    status = manager.wait(run, timeout=20)
    engine.stop()
    assert status.status == "failed"
    assert "stopped or restarted" in (status.error or "")


def test_an_engine_that_dies_in_the_middle_of_a_test_ends_that_one_alone_with_its_cause(
    manager: RunManager, store: Store, spec: RunSpec
) -> None:
    engine = StandIn({"default": Behaviour(seconds_per_token=0.02)})
    engine.restart()
    work = diagnose_work(spec, loads=(2, 8), size=6)
    run = manager.start_work(work, spec, engine.server.base_url, kind="diagnose", engine=engine)  # type: ignore[arg-type]
    done = 0
    while (status := manager.wait(run, after=done, timeout=30)).running and status.arm != "concurrent_2":
        done = status.done
    # From now on no answer comes to its end, so that the engine dies in the middle of whichever test is under way.
    engine.server.behaviour = replace(engine.server.behaviour, held_after=2)
    manager.wait(run, after=done + 8, timeout=2)
    engine.die()
    engine.server.behaviour = Behaviour()
    status = manager.wait(run, timeout=60)
    engine.stop()
    assert (status.status, status.error) == ("finished", None)
    assert status.result is not None
    (death,) = status.result["facts"]["deaths"]
    assert death["arm"] in {"concurrent_2", "concurrent_8"}
    assert death["failure"]["key"] == "engine.cause_killed"
    found = diagnosis_from_record(status.result["diagnosis"])
    assert {row.arm: row.invalid for row in found.evidence if row.invalid} == {death["arm"]: "lab.invalid_engine_died"}
    # What was asked before and after is one server's: it answers alike, and none of it is called a change.
    assert (found.verdict, status.result["holds"]) == (Verdict.IDENTICAL, True)
    rows = {row.arm: row for row in found.evidence}
    assert rows["background"].n == 6 and rows["repeat"].n == 12, "the rest goes on after its restart"
    for language, words in (
        ("en", f"The engine died during “{death['arm'][-1]} at a time”: The engine was killed"),
        ("zh", "引擎在“"),
    ):
        assert any(line.startswith(words) for line in note_lines(status.result, language))
        assert words[:12] in outcomes.of_run(store.run(run), language)


def test_a_repeat_whose_engine_dies_cannot_tell_and_says_so(manager: RunManager, spec: RunSpec) -> None:
    engine = StandIn({"default": Behaviour(seconds_per_token=0.02)})
    engine.restart()
    many = replace(spec, n=40)
    run = manager.start_work(repeat_work(many), many, engine.server.base_url, kind="repeat", engine=engine)  # type: ignore[arg-type]
    manager.wait(run, after=4, timeout=30)
    engine.die()
    result = manager.wait(run, timeout=60).result
    engine.stop()
    assert result is not None
    assert (result["holds"], result["exit_code"]) == (None, 2)
    assert invalid_sentence(result) == "Could not tell: the engine died while it was being asked."
