"""Replies that are no answers are never samples that agree: a run of them has no verdict, and says why."""

from __future__ import annotations

import pytest

from tests.fakes.openai_server import FakeServer
from vqa.answers import Sampling
from vqa.cli import main
from vqa.lab.plan.arms import RunSpec
from vqa.lab.run.manager import RunManager
from vqa.media.images import ImagePayload
from vqa.store import Store

FAULTS = {
    "abort": ("answer_aborted", "before it was whole"),
    "content_filter": ("answer_filtered", "filter"),
    "error": ("answer_failed", "failed in the middle"),
    "reasoning": ("answer_only_reasoning", "Only reasoning"),
    "empty": ("answer_empty", "without a word"),
}


@pytest.mark.parametrize("ending", FAULTS)
def test_a_run_of_replies_without_an_answer_has_no_verdict(
    ending: str, manager: RunManager, store: Store, image: ImagePayload
) -> None:
    with FakeServer(ends_as=ending) as server:
        run = manager.start(RunSpec(("What?",), (image,), n=4, sampling=Sampling(max_tokens=8)), server.base_url)
        status = manager.wait(run, timeout=30)
    code, words = FAULTS[ending]
    assert status.failed == 4
    assert status.result is not None
    assert (status.result["holds"], status.result["exit_code"]) == (None, 2)
    errors = [sample.error for sample in store.samples(run)]
    assert {error.code for error in errors if error} == {code}
    assert all(error and words in error.message for error in errors)
    if ending == "reasoning":
        assert all(error and error.reasoning for error in errors), "what the model thought is kept"


@pytest.mark.parametrize("ending", FAULTS)
def test_ask_says_it_and_ends_with_status_2(ending: str, red_circle: str, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer(ends_as=ending) as server:
        assert main(["ask", str(red_circle), "What?", "--base-url", server.base_url]) == 2
    assert FAULTS[ending][1] in capsys.readouterr().err


def test_reasoning_that_differs_is_seen_in_the_text(manager: RunManager, image: ImagePayload) -> None:
    with FakeServer(thinks=True, token_ids=False) as server:
        run = manager.start(RunSpec(("What?",), (image,), n=4, sampling=Sampling(max_tokens=8)), server.base_url)
        status = manager.wait(run, timeout=30)
    assert status.failed == 0
    assert status.result is not None
    assert (status.result["holds"], status.result["level"]) == (False, "answer")


@pytest.mark.parametrize("gateway", ["all", "chat"])
def test_a_vllm_behind_a_gateway_loses_no_level(gateway: str, manager: RunManager, image: ImagePayload) -> None:
    with FakeServer(gateway=gateway) as server:
        run = manager.start(RunSpec(("What?",), (image,), n=4, sampling=Sampling(max_tokens=8)), server.base_url)
        status = manager.wait(run, timeout=30)
        assert len(server.bodies) == 4, "nothing is asked beside the repeats"
    assert status.result is not None
    assert status.result["level"] == "bitwise"


def test_the_model_that_is_named_is_asked(image: ImagePayload, manager: RunManager, store: Store) -> None:
    spec = RunSpec(("What?",), (image,), n=2, sampling=Sampling(max_tokens=8), model="another")
    with FakeServer() as server:
        run = manager.start(spec, server.base_url)
        manager.wait(run, timeout=30)
        assert {body["model"] for body in server.bodies} == {"another"}
    assert store.run(run).header["model"] == "another"
