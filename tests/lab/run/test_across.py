"""`diagnose --across`: one setting unlike at a time, by a restart, and which of them changes answers."""

from __future__ import annotations

from dataclasses import replace

from tests.fakes.behaviour import Behaviour
from tests.fakes.engine_stand_in import SPEC, StandIn
from vqa.answers import Sampling
from vqa.engine.computing import computing
from vqa.engine.spec import EngineSpec, check
from vqa.lab.plan.arms import RunSpec
from vqa.lab.report import outcomes
from vqa.lab.report.export import collect, load_report
from vqa.lab.report.reproduce import run_argv
from vqa.lab.report.say import result_lines
from vqa.lab.run.across import LONE, across_work, variants
from vqa.lab.run.manager import RunManager
from vqa.lab.run.run_json import dump
from vqa.lab.verify.verdicts import verdicts
from vqa.media.images import ImagePayload
from vqa.store import Store


def test_a_setting_that_changes_answers_is_told_and_the_engine_goes_back(
    manager: RunManager, store: Store, image: ImagePayload
) -> None:
    def behaves(spec: EngineSpec) -> Behaviour:
        return Behaviour(answer="Quite other words") if spec.enforce_eager else Behaviour()

    engine = StandIn({}, by_spec=behaves)
    engine.restart()
    spec = RunSpec(("What is shown?",), (image,), sampling=Sampling(max_tokens=32))
    run = manager.start_work(across_work(spec, cores=2), spec, engine.server.base_url, kind="diagnose", engine=engine)  # type: ignore[arg-type]
    status = manager.wait(run, timeout=60)
    engine.stop()
    assert status.status == "finished", status.error
    assert status.result is not None
    shown = {row["setting"]: (row["n"], row["equal"], row["loaded_equal"]) for row in status.result["across"]}
    assert shown == {
        "compiled": (LONE, 0, 16),
        "max_num_batched_tokens": (LONE, LONE, 16),
        "chunked_prefill": (LONE, LONE, 16),
    }
    assert (status.result["holds"], status.result["exit_code"], engine.spec) == (False, 1, SPEC)
    first = result_lines(status, "en", technical=True)[0]
    assert first.startswith(f"torch.compile → no changes answers: 0 of {LONE} lone answers equal those now")
    assert first in outcomes.of_run(store.run(run), "en")
    assert "会改变回答" in outcomes.of_run(store.run(run), "zh")
    report = load_report(dump(collect(store, run)).encode())
    assert "--across" in run_argv(report.run)
    assert report.run.result == status.result
    assert all(check.agrees for check in verdicts(report))
    status.result["across"][0]["equal"] = LONE
    assert not all(check.agrees for check in verdicts(replace(report, run=replace(report.run, result=status.result))))


def test_what_is_tried_are_settings_that_an_engine_takes_each_unlike_what_it_is() -> None:
    log = ["x local_rank=0, core ids=[0]"]
    spec = EngineSpec("probe", enforce_eager=True, extra_args=("--no-enable-chunked-prefill", "--block-size=16"))
    tried = {each.name: each for each in variants(spec, computing(spec, log), 2)}
    assert dict(tried["threads"].spec.environment) == {"VLLM_CPU_OMP_THREADS_BIND": "0-1"}
    assert tried["compiled"].spec == replace(spec, enforce_eager=False)
    assert tried["chunked_prefill"].spec.extra_args == ("--block-size=16", "--enable-chunked-prefill")
    assert [check(each.spec) for each in tried.values()] == [[]] * 4
    assert "threads" not in {each.name for each in variants(spec, computing(spec, log), 1)}
    assert "threads" not in {each.name for each in variants(spec, computing(spec), 2)}, "a GPU binds none"
