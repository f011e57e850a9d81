"""The lab against a real vLLM: repeats of the demo model, cold against warm, a diagnosis."""

from __future__ import annotations

from pathlib import Path

import pytest

from vqa.answers import Sampling
from vqa.lab import repeat
from vqa.lab.diagnosis.diagnose import Verdict
from vqa.lab.plan.arms import RunSpec
from vqa.lab.run.diagnose_job import diagnose_work
from vqa.lab.run.manager import RunManager
from vqa.lab.stats.agreement import Level
from vqa.media.images import ImagePayload, load_image
from vqa.store import Store
from vqa.ui.examples import unsure_example

pytestmark = pytest.mark.engine

QUESTION = "What shape is it?"
CPU_BLOCK = 128
"""Tokens in a block of the prefix cache on a CPU: a shorter prompt never hits."""


@pytest.fixture
def circle(red_circle: Path) -> ImagePayload:
    return load_image(red_circle)


def test_twenty_repeats_through_the_library_are_identical(engine_url: str, red_circle: Path) -> None:
    found = repeat(red_circle, QUESTION, n=20, base_url=engine_url, sampling=Sampling(max_tokens=32))
    assert found.holds("text")
    assert found.summary.ok == 20
    assert Level.BITWISE in found.summary.visible
    assert found.sentence().startswith("20 of 20 identical.")
    assert all(sample.answer and sample.answer.token_ids for sample in found.samples)


def test_cold_requests_never_hit_the_cache_and_warm_ones_do_once_the_prompt_exceeds_a_block(
    engine_url: str, circle: ImagePayload
) -> None:
    long = "Look at the picture with care. " * 30 + QUESTION
    seen = {}
    for policy in ("cold", "warm"):
        found = repeat(
            circle, long, n=5, base_url=engine_url, cache=policy, sampling=Sampling(max_tokens=16)
        )  # fmt: skip
        assert found.summary.failed == 0
        seen[policy] = found.summary.questions[0].cached_tokens
        assert found.samples[0].answer is not None
        assert (found.samples[0].answer.prompt_tokens or 0) > CPU_BLOCK
    assert seen["cold"] == (0,) * 5
    assert all(hit is not None and hit >= CPU_BLOCK and hit % CPU_BLOCK == 0 for hit in seen["warm"])


def test_a_run_under_load_is_stored_with_what_the_server_counted(
    manager: RunManager, store: Store, engine_url: str, circle: ImagePayload
) -> None:
    spec = RunSpec((QUESTION,), (circle,), n=24, concurrency=8, sampling=Sampling(max_tokens=32))
    run = manager.start(spec, engine_url)
    status = manager.wait(run, timeout=120)
    assert (status.status, status.failed, len(store.samples(run))) == ("finished", 0, 24)
    assert status.result is not None
    (block,) = status.result["facts"]["blocks"]
    assert block["ours"] == 24
    assert block["counters"]["finished"] >= 24
    assert status.result["level"] in {"bitwise", "tokens", "text", "answer", "none"}


@pytest.mark.slow
def test_a_diagnosis_of_the_demo_model_runs_every_arm_and_claims_no_more_than_it_saw(
    manager: RunManager, engine_url: str
) -> None:
    path, question = unsure_example("en")
    spec = RunSpec((question,), (load_image(Path(path)),), sampling=Sampling(max_tokens=24))
    run = manager.start_work(diagnose_work(spec, loads=(2, 8), size=6), spec, engine_url, kind="diagnose")
    status = manager.wait(run, timeout=280)
    assert status.status == "finished", status.error
    assert status.result is not None
    arms = status.result["arms"]
    assert set(arms) >= {"positive_control", "repeat", "cold", "fully_cold", "concurrent_8", "background", "seeds"}
    assert all(arm["failed"] == 0 for arm in arms.values())
    evidence = {row["arm"]: row for row in status.result["diagnosis"]["evidence"]}
    assert evidence["background"]["invalid"] is None
    assert evidence["cold"]["invalid"] is None
    # The example that the page offers must be one on which a difference could show.
    verdict = Verdict(status.result["verdict"])
    assert verdict in {Verdict.IDENTICAL, Verdict.DRIFT, Verdict.DIFFERS}
    if verdict is Verdict.DIFFERS:
        assert status.result["diagnosis"]["findings"]
