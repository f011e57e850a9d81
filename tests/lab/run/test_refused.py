"""A server that rejects requests for logprobs is asked without them, and what then cannot be seen is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.openai_server import FakeServer
from tests.lab.made import picture
from vqa.answers import Sampling
from vqa.cli import main
from vqa.lab.api import repeat
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.plan.arms import RunSpec
from vqa.lab.report.export import collect, to_html
from vqa.lab.run.diagnose_job import diagnose_work
from vqa.lab.run.manager import RunManager
from vqa.lab.stats.agreement import Level
from vqa.media.images import ImagePayload
from vqa.store import Store
from vqa.text import LANGUAGES, Language, t
from vqa.ui.lab import lab_views


def spec(image: ImagePayload, **fields: object) -> RunSpec:
    values: dict[str, object] = {"n": 6, "sampling": Sampling(max_tokens=32)} | fields
    return RunSpec(("What is shown?",), (image,), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_the_run_goes_on_without_logprobs_and_every_request_is_answered(
    concurrency: int, manager: RunManager, image: ImagePayload
) -> None:
    with FakeServer(rejects_logprobs=True) as server:
        run = manager.start(spec(image, concurrency=concurrency), server.base_url)
        status = manager.wait(run, timeout=30)
        assert len(server.bodies) == 6
        # At most as many as were under way before the first came back, and none after that.
        assert 1 <= server.state.rejected <= concurrency
    assert (status.status, status.failed) == ("finished", 0)
    assert status.result is not None
    assert (status.result["level"], status.result["holds"]) == ("tokens", True)
    assert status.result["visible"] == ["tokens", "text", "answer"]
    assert status.result["facts"]["refused"] == ["logprobs"]
    assert Facts.from_record(status.result["facts"]).refused == ("logprobs",)


@pytest.mark.parametrize(
    ("faults", "refused", "level", "rejected"),
    [
        ({"rejects_token_ids": True}, ["token_ids"], "text", 2),
        ({"rejects_token_ids": True, "rejects_logprobs": True}, ["logprobs", "token_ids"], "text", 3),
        ({"rejects_logprobs": True, "vllm": False}, ["logprobs"], "text", 1),
    ],
)
def test_token_ids_and_both_are_left_out_where_they_are_refused(
    faults: dict[str, bool], refused: list[str], level: str, rejected: int, manager: RunManager, image: ImagePayload
) -> None:
    with FakeServer(**faults) as server:
        run = manager.start(spec(image), server.base_url)
        status = manager.wait(run, timeout=30)
        assert (len(server.bodies), server.state.rejected) == (6, rejected)
    assert (status.status, status.failed) == ("finished", 0)
    assert status.result is not None
    assert (status.result["facts"]["refused"], status.result["level"]) == (refused, level)


def test_a_server_that_takes_them_is_asked_for_them_throughout(manager: RunManager, image: ImagePayload) -> None:
    with FakeServer() as server:
        run = manager.start(spec(image), server.base_url)
        status = manager.wait(run, timeout=30)
        assert all(body["logprobs"] for body in server.bodies)
    assert status.result is not None
    assert status.result["facts"]["refused"] == []


def test_a_request_that_is_rejected_anyway_fails_with_the_servers_words_and_is_tried_without_but_once(
    manager: RunManager, store: Store, image: ImagePayload
) -> None:
    with FakeServer(rejects_all=True) as server:
        run = manager.start(spec(image), server.base_url)
        status = manager.wait(run, timeout=30)
        assert server.state.rejected == 6 + 3
    assert status.failed == 6
    assert all(sample.error and sample.error.code == "server_rejected" for sample in store.samples(run))


def test_one_rejected_after_others_were_answered_is_a_failed_request(manager: RunManager, image: ImagePayload) -> None:
    with FakeServer(prefill_seconds=0.03) as server:
        run = manager.start(spec(image, n=12), server.base_url)
        manager.wait(run, after=3, timeout=30)
        server.behaviour = type(server.behaviour)(rejects_logprobs=True)
        status = manager.wait(run, timeout=30)
        assert server.state.rejected == status.failed
    assert 0 < status.failed < 12
    assert status.result is not None
    assert status.result["facts"]["refused"] == []


def test_a_diagnosis_runs_through(manager: RunManager, image: ImagePayload) -> None:
    with FakeServer(rejects_logprobs=True, splits_under_load=True) as server:
        asked = spec(image)
        work = diagnose_work(asked, loads=(2, 8), size=6)
        run = manager.start_work(work, asked, server.base_url, kind="diagnose")
        status = manager.wait(run, timeout=60)
    assert (status.status, status.failed) == ("finished", 0)
    assert status.result is not None
    assert status.result["verdict"] == "differs"
    assert status.result["facts"]["refused"] == ["logprobs"]


def test_the_library_does_the_same(image: ImagePayload) -> None:
    with FakeServer(rejects_logprobs=True) as server:
        found = repeat(image, "What?", n=3, base_url=server.base_url)
    assert (found.level, found.holds(Level.BITWISE), found.holds()) == (Level.TOKENS, None, True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_and_the_report_say_what_cannot_be_seen(
    language: Language, manager: RunManager, store: Store, image: ImagePayload
) -> None:
    said = t("lab.refused_logprobs", language)
    for faults, expected in (({"rejects_logprobs": True}, True), ({"logprobs": False}, False)):
        with FakeServer(**faults) as server:
            run = manager.start(spec(image), server.base_url)
            status = manager.wait(run, timeout=30)
        page = lab_views.verdict(manager.summaries(run)["repeat"], 0, status, 6, language)
        assert (said in page) is expected
        assert (said in to_html(collect(store, run), language)) is expected
        assert t("report.unseen", language, levels=t("report.level_bitwise", language)) in page


@pytest.mark.parametrize("fault", ["rejects_logprobs", "logprobs"])
def test_exit_status_2_for_a_level_that_is_not_shown_comes_with_a_sentence(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "circle.png").write_bytes(picture().data)
    words = ["repeat", str(tmp_path / "circle.png"), "What?", "-n", "4"]
    with FakeServer(**{fault: fault == "rejects_logprobs"}) as server:
        assert main([*words, "--require", "bitwise", "--base-url", server.base_url]) == 2
        said = capsys.readouterr().out
        assert main([*words, "--require", "tokens", "--base-url", server.base_url]) == 0
        silent = capsys.readouterr().out
        assert main(["diagnose", *words[1:3], "--require", "bitwise", "--base-url", server.base_url]) == 2
        diagnosed = capsys.readouterr().out
    assert "Could not tell on the required level (bitwise)" in said
    assert "Could not tell on the required level (bitwise)" in diagnosed
    assert "Could not tell" not in silent
    assert ("rejects requests that ask for logprobs" in said) is (fault == "rejects_logprobs")
