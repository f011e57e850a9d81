"""Summaries of long runs are kept beside their samples, tell the same, and never outlive or outrun them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.fakes.openai_server import FakeServer
from tests.lab.made import answer, samples
from vqa.answers import Sample, Sampling
from vqa.lab.plan.arms import RunSpec
from vqa.lab.run import kept_summaries
from vqa.lab.run.kept_summaries import LEAST, stored_summaries
from vqa.lab.run.manager import RunManager
from vqa.lab.stats.summarize import summarize_run
from vqa.media.images import ImagePayload
from vqa.settings import Settings
from vqa.store import Store


def different(n: int) -> list[Sample]:
    """Samples whose tokens agree and whose logprobs never do, as under load on a GPU."""
    words = "a large red circle in the middle of the picture".split()  # noqa: SIM905
    return samples(*(answer(words, logprobs=[-0.1 - 1e-6 * index] * len(words)) for index in range(n)))


def stored(store: Store, taken: list[Sample], *, status: str = "finished") -> str:
    run = store.create_run("repeat", header={}, plan={})
    store.add_samples(run, taken)
    if status != "running":
        store.finish_run(run, status)
    return run


def test_what_is_kept_is_what_the_samples_tell(store: Store) -> None:
    taken = different(LEAST)
    taken[3] = replace(taken[3], answer=answer("a lot", logprobs=[-0.1, -math.inf]))
    run = stored(store, taken)
    told = {"repeat": summarize_run(store.samples(run))}
    assert stored_summaries(store, run) == told
    assert store.kept_summary(run, kept_summaries.VERSION, LEAST) is not None
    assert stored_summaries(store, run) == told


def test_a_long_run_is_kept_as_it_ends_and_opened_without_reading_its_samples(
    manager: RunManager, store: Store, settings: Settings, image: ImagePayload, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = RunSpec(("What?",), (image,), n=LEAST, concurrency=16, sampling=Sampling(max_tokens=32))
    with FakeServer(race=0.2, prefill_seconds=0.0) as server:
        run = manager.start(spec, server.base_url)
        assert manager.wait(run, timeout=60).status == "finished"
    later = RunManager(store, settings)
    monkeypatch.setattr(store, "samples", lambda *_, **__: pytest.fail("the samples were read"))
    assert later.summaries(run) == manager.summaries(run)
    later.close()


def test_the_summaries_of_a_long_run_that_was_kept_leave_the_memory_and_those_of_a_short_one_stay(
    manager: RunManager, store: Store, image: ImagePayload
) -> None:
    runs = []
    with FakeServer(prefill_seconds=0.0, fails_every=50) as server:
        for n in (LEAST, 60):
            spec = RunSpec(("What?",), (image,), n=n, concurrency=16, sampling=Sampling(max_tokens=32))
            runs.append(manager.start(spec, server.base_url))
            assert manager.wait(runs[-1], timeout=60).status == "finished"
    long, short = (manager._runs[run] for run in runs)
    assert (long.summaries(), [summary.n for summary in short.summaries().values()]) == ({}, [60])
    assert [summary.n for summary in manager.summaries(runs[0]).values()] == [LEAST]
    assert manager.status(runs[0]).failed == LEAST // 50 == manager.summaries(runs[0])["concurrent_16"].failed


def test_ten_thousand_different_answers_open_without_reading_them_once_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stored(store, different(10_000))
    first = stored_summaries(store, run)
    monkeypatch.setattr(store, "samples", lambda *_, **__: pytest.fail("the samples were read"))
    assert stored_summaries(store, run) == first
    assert first["repeat"].questions[0].ok == 10_000


@pytest.mark.parametrize("damage", ["version", "samples", "content"])
def test_what_does_not_fit_is_computed_anew(damage: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = stored(store, different(LEAST))
    told = stored_summaries(store, run)
    if damage == "version":
        monkeypatch.setattr(kept_summaries, "VERSION", "later")
    elif damage == "samples":
        store.add_samples(run, [samples("another one")[0]])
        told = {"repeat": summarize_run(store.samples(run))}
    else:
        store.keep_summary(run, kept_summaries.VERSION, LEAST, b'{"repeat": 1}')
    assert stored_summaries(store, run) == told


def test_runs_under_way_and_short_ones_are_not_kept_and_a_deleted_one_takes_its_summary_along(store: Store) -> None:
    running, short = stored(store, different(LEAST), status="running"), stored(store, different(5))
    for run, count in ((running, LEAST), (short, 5)):
        assert stored_summaries(store, run)["repeat"].n == count
        assert store.kept_summary(run, kept_summaries.VERSION, count) is None
    store.finish_run(running, "stopped")
    stored_summaries(store, running)
    store.delete_run(running)
    assert store.kept_summary(running, kept_summaries.VERSION, LEAST) is None
