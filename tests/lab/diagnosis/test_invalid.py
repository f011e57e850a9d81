"""Runs that tell nothing, whatever their answers are: each says so, with why, wherever its verdict is read."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.fakes.openai_server import FakeServer
from tests.lab.made import answer, picture, samples
from vqa.answers import Sampling
from vqa.cli import main
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.diagnosis.invalid import invalid_sentence
from vqa.lab.diagnosis.premises import cache_reason
from vqa.lab.plan.arms import CachePolicy, RunSpec
from vqa.lab.report.export import collect, to_html, to_junit
from vqa.lab.run.live import RunStatus
from vqa.lab.run.manager import RunManager
from vqa.lab.stats.summarize import summarize_run
from vqa.media.images import ImagePayload
from vqa.store import Store
from vqa.text import LANGUAGES, Language
from vqa.ui.history import history_views
from vqa.ui.lab import lab_views

SALTS_IGNORED = ({"salts_work": False}, "cold", "lab.invalid_not_cold", "something in the cache")
INVALID = {
    "cold, but a salt does nothing": SALTS_IGNORED,
    "cold, but a salt does nothing and only the counters show it": (
        {"salts_work": False, "cached_tokens": False},
        "cold",
        "lab.invalid_not_cold",
        "something in the cache",
    ),
    "cold, but nothing tells": (
        {"cached_tokens": False, "metrics": False},
        "cold",
        "lab.invalid_cache_unknown",
        "does not tell what was cached",
    ),
    "warm, but the cache is off": ({"prefix_cache": False}, "warm", "lab.invalid_not_warm", "nothing in the cache"),
    "warm, but the cache is off and only the counters show it": (
        {"prefix_cache": False, "cached_tokens": False},
        "warm",
        "lab.invalid_not_warm",
        "nothing in the cache",
    ),
}


def repeated(
    manager: RunManager, server: FakeServer, image: ImagePayload, cache: CachePolicy = "as_is", n: int = 6
) -> RunStatus:
    spec = RunSpec(("What is shown?",), (image,), n=n, cache=cache, sampling=Sampling(max_tokens=32))
    status = manager.wait(manager.start(spec, server.base_url), timeout=30)
    assert status.status == "finished", status.error
    return status


@pytest.mark.parametrize("name", INVALID)
def test_a_cache_policy_that_was_not_met_leaves_the_run_without_a_verdict(
    name: str, manager: RunManager, image: ImagePayload
) -> None:
    faults, cache, reason, said = INVALID[name]
    with FakeServer(**faults) as server:
        result = repeated(manager, server, image, cache).result
    assert result is not None
    assert (result["holds"], result["exit_code"]) == (None, 2)
    assert result["invalid"] == {"arm": cache, "reason": reason}
    assert said in (invalid_sentence(result) or "")


@pytest.mark.parametrize(
    ("faults", "cache"),
    [
        ({}, "cold"),
        ({}, "warm"),
        ({"cached_tokens": False}, "cold"),
        ({"cached_tokens": False}, "warm"),
        ({"prefix_cache": False, "cached_tokens": False}, "cold"),
        ({"salts_work": False, "prefix_cache": True}, "as_is"),
    ],
)
def test_a_cache_policy_that_was_met_gives_a_verdict(
    faults: dict[str, bool], cache: CachePolicy, manager: RunManager, image: ImagePayload
) -> None:
    with FakeServer(**faults) as server:
        result = repeated(manager, server, image, cache).result
    assert result is not None
    assert (result["holds"], result["exit_code"], invalid_sentence(result)) == (True, 0, None)
    assert "invalid" not in result


def test_answers_that_differ_prove_nothing_about_a_cache_that_they_did_not_meet(
    manager: RunManager, image: ImagePayload
) -> None:
    with FakeServer(salts_work=False, race=0.5) as server:
        result = repeated(manager, server, image, "cold", n=12).result
    assert result is not None
    assert (result["level"], result["holds"]) == ("none", None)


def test_one_request_that_missed_is_enough_and_requests_without_an_answer_are_not() -> None:
    warm = summarize_run(samples(answer("a", cached=48), answer("a", cached=0), arm="warm"))
    assert cache_reason("warm", warm, Facts()) == "lab.invalid_not_warm"
    assert cache_reason("concurrent_2", warm, Facts()) is None
    assert cache_reason("cold", summarize_run([]), Facts()) is None
    untold = summarize_run(samples(answer("a", cached=48), answer("a"), arm="cold"))
    assert cache_reason("cold", untold, Facts()) == "lab.invalid_not_cold"


CHANGES = {
    "fingerprint": ({"fingerprint_changes_after": 3}, "fp_one"),
    "model": ({"model_changes_after": 3}, "vqa-demo-2"),
    "version": ({"version_changes_after": 6}, "0.32.0 / vqa-demo 0.33.0"),
    "model, seen only after the last answer": ({"model_changes_after": 6}, "vqa-demo-2"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_server_that_changed_is_told_with_its_names(name: str, manager: RunManager, image: ImagePayload) -> None:
    faults, said = CHANGES[name]
    with FakeServer(**faults) as server:
        result = repeated(manager, server, image).result
    assert result is not None
    assert (result["holds"], result["exit_code"], result["server_changed"]) == (None, 2, True)
    sentence = invalid_sentence(result) or ""
    assert "the server changed" in sentence
    assert said in sentence


def test_a_server_whose_counters_began_anew_is_told(manager: RunManager, image: ImagePayload) -> None:
    with FakeServer(prefill_seconds=0.02) as server:
        repeated(manager, server, image)
        run = manager.start(RunSpec(("What?",), (image,), n=30, sampling=Sampling(max_tokens=8)), server.base_url)
        manager.wait(run, after=25, timeout=30)
        server.state.finished = 0
        server.state.prefix_hits = 0
        result = manager.wait(run, timeout=30).result
    assert result is not None
    assert result["exit_code"] == 2
    assert "its counters began anew" in (invalid_sentence(result) or "")


WHOLE = {"policy": SALTS_IGNORED[:2], "server": ({"model_changes_after": 6}, "as_is")}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", WHOLE)
def test_the_sentence_stands_on_the_page_in_the_history_and_in_every_report(
    name: str, language: Language, manager: RunManager, store: Store, image: ImagePayload
) -> None:
    faults, cache = WHOLE[name]
    with FakeServer(**faults) as server:
        status = repeated(manager, server, image, cache)
    run, arms = store.run(status.run_id), manager.summaries(status.run_id)
    sentence = invalid_sentence(run.result, language)
    assert sentence
    page = lab_views.verdict(next(iter(arms.values())), 0, status, 6, language)
    report = collect(store, run.id)
    html = to_html(report, language)
    for shown in (page, html, history_views.essence(run, arms, language)):
        assert f'<div class="vl-verdict vl-warn" role="status"><strong>{sentence}' in shown
        assert 'class="vl-verdict vl-good"' not in shown
    assert "vl-warn" in history_views.outcome(run, language)
    case = ElementTree.fromstring(to_junit(report, language=language)).find(".//testcase")
    assert case is not None
    assert [(child.tag, child.get("message")) for child in case] == [("error", sentence)]


def test_every_question_of_an_invalid_run_is_without_a_verdict(
    manager: RunManager, store: Store, image: ImagePayload
) -> None:
    asked = RunSpec(("What?", "Where?"), (image,), n=3, cache="cold", sampling=Sampling(max_tokens=32))
    with FakeServer(salts_work=False) as server:
        run = manager.start(asked, server.base_url)
        status = manager.wait(run, timeout=30)
    assert status.result is not None
    assert status.result["exit_code"] == 2
    sentence = invalid_sentence(status.result) or ""
    html = to_html(collect(store, run)).partition('class="vr-en"')[2].partition("</main>")[0]
    assert html.count(f"<strong>{sentence}</strong>") == 3
    assert 'class="vl-verdict vl-good"' not in html
    for question in (0, 1):
        page = lab_views.verdict(manager.summaries(run)["cold"], question, status, 3, "en")
        assert f"<strong>{sentence}</strong>" in page


@pytest.mark.parametrize("name", WHOLE)
def test_the_command_line_says_it_beside_exit_status_2(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults, cache = WHOLE[name]
    (tmp_path / "circle.png").write_bytes(picture().data)
    words = ["repeat", str(tmp_path / "circle.png"), "What?", "-n", "6", "--cache", cache]
    with FakeServer(**faults) as server:
        assert main([*words, "--base-url", server.base_url]) == 2
    printed = capsys.readouterr().out
    assert printed.startswith("Could not tell:")
    assert "identical" not in printed
    main(["runs"])
    assert "\tCould not tell\t" in capsys.readouterr().out
