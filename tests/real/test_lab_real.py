"""The lab against a real vLLM: repeats of the demo model, cold against warm, a diagnosis, the probe certificate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.ports import free_port
from vqa.answers import Answer, Sampling
from vqa.engine.opening import open_engine
from vqa.lab import repeat
from vqa.lab.certificate import certify
from vqa.lab.certificate.certify import start_certificate
from vqa.lab.diagnosis.diagnose import Verdict
from vqa.lab.plan.arms import RunSpec
from vqa.lab.run.diagnose_job import diagnose_work
from vqa.lab.run.manager import RunManager
from vqa.lab.stats.agreement import Level, normalize_answer
from vqa.media.images import ImagePayload, load_image
from vqa.settings import Settings, load_settings
from vqa.store import Store
from vqa.ui.examples import unsure_example

TOKENS = 64
pytestmark = pytest.mark.engine

QUESTION = "What shape is it?"
CPU_BLOCK = 128
"""Tokens in a block of the prefix cache on a CPU: a shorter prompt never hits."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path / "lab", engine_port=free_port())


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = Store(settings.database)
    yield opened
    opened.close()


@pytest.fixture
def manager(store: Store, settings: Settings) -> Iterator[RunManager]:
    made = RunManager(store, settings)
    yield made
    made.close()


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


def kinds(answers: list[Answer]) -> tuple[int, int]:
    """Returns how many different sequences of logprobs and of tokens there are among answers."""
    logprobs = {
        (each.token_ids, *((token.logprob, *(value for _, value in token.top)) for token in each.tokens or ()))
        for each in answers
    }
    return len(logprobs), len({each.token_ids for each in answers})


def agreement(answers: list[Answer]) -> dict[str, bool]:
    """Returns for each level whether all answers agree in it, by comparing them as they are."""
    logprobs, tokens = kinds(answers)
    return {
        "bitwise": logprobs == 1,
        "tokens": tokens == 1,
        "text": len({each.text for each in answers}) == 1,
        "answer": len({normalize_answer(each.text) for each in answers}) == 1,
    }


def weaker(one: dict[str, bool], other: dict[str, bool]) -> dict[str, bool]:
    """Returns for each level whether it holds for both questions."""
    return {level: one[level] and other[level] for level in one}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_certificate_tells_the_profiles_of_a_cpu_apart(
    manager: RunManager, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of each question 8 requests at 8 at a time instead of 32, half as many of the others, and half as long: the full
    # size takes ten minutes.
    monkeypatch.setattr(certify, "PROBE_MAX_TOKENS", TOKENS)
    monkeypatch.setattr(certify, "IN_A_ROW", 4)
    monkeypatch.setattr(certify, "AT_LEAST", 8)
    monkeypatch.setattr(certify, "WAVES", 1)
    monkeypatch.setattr(certify, "FEW", 2)
    monkeypatch.setattr(certify, "CONTROLS", 2)
    # Two engines, started side by side: each one takes half a minute and all that the two cores have.
    names = ["default", "float32", "batch-invariant"]
    engine = open_engine(settings)
    try:
        run = start_certificate(manager, engine, settings, names, [1, 8])
        status = manager.wait(run, timeout=850)
        assert status.status == "finished", status.error
        assert status.result is not None
        rows = {row["name"]: row for row in status.result["profiles"]}
        shown = {(name, load["load"]): load for name, row in rows.items() for load in row["loads"]}
        assert rows["batch-invariant"]["reason"] == "engine.profile_needs_gpu"
        assert all(load["failed"] == 0 for load in shown.values())
        # A short question shows nothing one at a time, cold cache or none; a long one does under the default.
        lone = {name: shown[name, 1]["questions"] for name in names[:2]}
        assert [each[0]["level"] for each in lone.values()] == ["bitwise", "bitwise"]
        assert all(each[0]["prompt_tokens"] < 500 < 1500 < each[1]["prompt_tokens"] for each in lone.values())
        assert shown["default", 1]["holds"]["tokens"] is False
        assert {each["cause"] for each in rows["default"]["causes"]} & {"prefix_cache_history", "cold_prefix_cache"}
        # Whether a batch of 8 changes the numbers is the CPU's own: the certificate must say what the answers show.
        seen: dict[tuple[str, int], list[list[Answer]]] = {}
        beside: dict[str, list[list[Answer]]] = {}
        for sample in store.samples(run):
            assert sample.answer is not None
            name, _, arm = sample.arm.partition("/")
            if arm == "positive_control":
                continue
            if arm in {"repeat", "concurrent_8"}:
                found = seen.setdefault((name, 1 if arm == "repeat" else 8), [[], []])
            else:
                found = beside.setdefault(name, [[], []])
            found[sample.question].append(sample.answer)
        assert set(seen) == set(shown)
        # Random weights at temperature 1 never say the same tokens twice.
        assert all(rows[name]["control"]["distinct"] == certify.CONTROLS for name in names[:2])
        for place, asked in seen.items():
            assert all(len(each.token_ids or ()) == TOKENS for answers in asked for each in answers)
            assert shown[place]["ok"] == sum(map(len, asked)) == (8 if place[1] == 1 else 16)
            both = [kinds(answers) for answers in asked]
            shows = (shown[place]["distinct"], shown[place]["logprob_variants"])
            assert shows == (max(tokens for _, tokens in both), max(variants for variants, _ in both)), place
            assert shown[place]["alone"] == weaker(*map(agreement, asked))
            # Eight at a time may all agree, and with none of those that came one at a time.
            lone_ones = zip(asked, seen[place[0], 1], beside[place[0]], strict=True)
            assert shown[place]["holds"] == weaker(*(agreement([*a, *b, *c]) for a, b, c in lone_ones))
        # One profile cannot run here: that leaves it open, unless another shows that tokens do not hold.
        split = any(not shown[place]["holds"]["tokens"] for place in seen)
        assert status.result["holds"] is (False if split else None)
        assert shown["float32", 8]["questions"][0]["distinct"] == 1, "float32 flips no token of the short question"
        assert store.run(run).header["engine"]["profile"] == "default"
        arms = manager.summaries(run)
        margins = arms["default/repeat"].questions[0].margins
        # In nats; a trained model's are a hundred times as wide.
        assert median(margin for margin in margins if margin is not None) < 0.05
        assert max(hit or 0 for hit in arms["default/repeat"].questions[0].cached_tokens) >= CPU_BLOCK
    finally:
        engine.stop()
        engine.wait(timeout=60)
        engine.close()
