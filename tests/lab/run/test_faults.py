"""A server that does wrong in each way of the diagnosis table, over real HTTP: each gives exactly its diagnosis."""

from __future__ import annotations

import asyncio
import json

import httpx2 as httpx
import pytest

from tests.fakes.openai_server import FakeServer
from vqa.answers import Question, Sampling
from vqa.client import Client
from vqa.lab.diagnosis.diagnose import Cause, Confidence, Diagnosis, Verdict
from vqa.lab.plan.arms import RunSpec
from vqa.lab.report.evidence import diagnosis
from vqa.lab.report.say import diagnosis_lines
from vqa.lab.run.diagnose_job import diagnose_work
from vqa.lab.run.documents import diagnosis_from_record, diagnosis_record
from vqa.lab.run.live import RunStatus
from vqa.lab.run.manager import RunManager
from vqa.media.images import ImagePayload, encoded_again

QUESTION = "What is shown?"


def run(manager: RunManager, server: FakeServer, image: ImagePayload, *, temperature: float = 0.0) -> RunStatus:
    spec = RunSpec((QUESTION,), (image,), sampling=Sampling(temperature=temperature, max_tokens=32))
    run_id = manager.start_work(diagnose_work(spec, loads=(2, 8), size=6), spec, server.base_url, kind="diagnose")
    status = manager.wait(run_id, timeout=60)
    assert status.status == "finished", status.error
    return status


def diagnosed(manager: RunManager, image: ImagePayload, **faults: object) -> Diagnosis:
    with FakeServer(**faults) as server:
        status = run(manager, server, image)
    assert status.result is not None
    return diagnosis_from_record(status.result["diagnosis"])


def test_a_clean_server_is_identical_with_its_bound(manager: RunManager, image: ImagePayload) -> None:
    found = diagnosed(manager, image)
    assert (found.verdict, found.findings, found.invalid_arms) == (Verdict.IDENTICAL, (), ())
    assert found.values["level"] == "bitwise"
    assert found.values["arms"] == len(found.evidence) - 1, "the positive control is no arm that could agree"
    assert found.values["bound"] == f"{100 * (1 - 0.05 ** (1 / (found.values['ok'] - 1))):.1f}%"


CASES = {
    "first differs": ({"cold_differs": True}, Cause.COLD_PREFIX_CACHE, Confidence.CONFIRMED),
    "first differs, cached_tokens not reported": (
        {"cold_differs": True, "cached_tokens": False},
        Cause.COLD_PREFIX_CACHE,
        Confidence.CONFIRMED,
    ),
    "first differs, nothing reported": (
        {"cold_differs": True, "cached_tokens": False, "metrics": False},
        Cause.COLD_PREFIX_CACHE,
        Confidence.CONSISTENT,
    ),
    "splits under load": ({"splits_under_load": True}, Cause.BATCH_COMPOSITION, Confidence.CONFIRMED),
    "seeds not ignored": ({"seeds_matter": True}, Cause.NOT_GREEDY, Confidence.CONFIRMED),
    "sampled by chance": ({"samples_anyway": True}, Cause.NOT_GREEDY, Confidence.CONFIRMED),
    "encoding of equal pixels matters": ({"encoding_matters": True}, Cause.PREPROCESSING, Confidence.CONFIRMED),
    "strangers": ({"strangers": 2}, Cause.OTHER_TRAFFIC, Confidence.CONSISTENT),
    "preemptions": ({"preempts": True}, Cause.OTHER_TRAFFIC, Confidence.CONSISTENT),
    "a race": ({"race": 0.3}, Cause.UNKNOWN, Confidence.UNKNOWN),
    "a race without counters": ({"race": 0.3, "metrics": False}, Cause.UNKNOWN, Confidence.UNKNOWN),
}


@pytest.mark.parametrize("name", CASES)
def test_each_fault_gives_its_cause(name: str, manager: RunManager, image: ImagePayload) -> None:
    faults, cause, confidence = CASES[name]
    found = diagnosed(manager, image, **faults)
    assert found.verdict is Verdict.DIFFERS
    assert [(each.cause, each.confidence) for each in found.findings] == [(cause, confidence)]


async def asked_once(base_url: str, question: Question) -> None:
    client = Client(base_url)
    await client.ask(question)
    await client.close()


def test_a_history_is_told_with_what_helped_and_in_both_languages(manager: RunManager, image: ImagePayload) -> None:
    with FakeServer(answers_by_history=True) as server:
        another = encoded_again(image, 9)
        asyncio.run(asked_once(server.base_url, Question(QUESTION, (another,))))
        status = run(manager, server, image)
    assert status.result is not None
    found = diagnosis_from_record(status.result["diagnosis"])
    assert [(each.cause, each.confidence) for each in found.findings] == [
        (Cause.PREFIX_CACHE_HISTORY, Confidence.CONFIRMED)
    ]
    values = found.findings[0].values
    # The question as it is asked found only the template's beginning at first, and then what it had left itself.
    assert "as_asked" in values["arms"].split(", ") and values["met"] is True
    rows = {row.arm: row for row in found.evidence}
    assert {each.cached for each in rows["as_asked"].classes} == {16, 48}
    assert rows["as_asked"].equals_repeat is False and rows["re_encoding"].equals_repeat is True
    helped = [(each["remedy"], each["same"], each["n"], each["level"]) for each in values["tried"]]
    assert helped == [("salt_per_question", 12, 12, "bitwise"), ("salt_per_request", 12, 12, "bitwise")]
    assert found.profiles[0] == "no-prefix-cache"
    for language, words in (("en", "12 of 12 the same"), ("zh", "12 个中有 12 个相同")):
        assert words in "\n".join(diagnosis_lines(found, language))
        assert words in diagnosis(found, language)
    assert diagnosis_from_record(json.loads(json.dumps(diagnosis_record(found)))) == found


def test_two_faults_at_once_are_both_found(manager: RunManager, image: ImagePayload) -> None:
    found = diagnosed(manager, image, cold_differs=True, splits_under_load=True)
    assert {each.cause for each in found.findings} == {Cause.COLD_PREFIX_CACHE, Cause.BATCH_COMPOSITION}
    assert all(each.confidence is Confidence.CONFIRMED for each in found.findings)
    assert "batch-invariant-triton" in found.profiles


def test_drift_without_flips_is_not_called_a_difference(manager: RunManager, image: ImagePayload) -> None:
    found = diagnosed(manager, image, drift=0.012)
    assert (found.verdict, found.cause) == (Verdict.DRIFT, Cause.DRIFT)
    assert found.values["epsilon"] == "0.012"
    assert found.values["level"] == "tokens"


def test_fragile_positions_are_named(manager: RunManager, image: ImagePayload) -> None:
    found = diagnosed(manager, image, drift=0.3)
    # The made-up margins are 0.55 and 0.51 nat at tokens 0 and 4 and above 0.8 elsewhere: 2 × 0.3 reaches those two.
    assert (found.findings[0].values["fragile"], found.findings[0].values["token"]) == (2, 0)
    still = diagnosed(manager, image, drift=0.2)
    assert (still.findings[0].values["fragile"], still.findings[0].values["token"]) == (0, "–")


def test_prompts_that_differ_in_token_ids_are_preprocessing(manager: RunManager, image: ImagePayload) -> None:
    found = diagnosed(manager, image, prompt_varies=True, race=0.2)
    assert [(each.cause, each.confidence) for each in found.findings] == [(Cause.PREPROCESSING, Confidence.CONFIRMED)]


def test_a_changed_fingerprint_voids_the_run(manager: RunManager, image: ImagePayload) -> None:
    found = diagnosed(manager, image, fingerprint_changes_after=50)
    assert (found.verdict, found.cause) == (Verdict.INVALID, Cause.SERVER_CHANGED)


def test_a_changed_model_voids_the_run(manager: RunManager, image: ImagePayload) -> None:
    found = diagnosed(manager, image, model_changes_after=50)
    assert (found.verdict, found.cause) == (Verdict.INVALID, Cause.SERVER_CHANGED)


def test_arms_whose_premise_fails_are_invalid_and_nothing_is_confirmed(
    manager: RunManager, image: ImagePayload
) -> None:
    found = diagnosed(manager, image, salts_work=False, cold_differs=True)
    # Without a salt even a fresh image finds the template's beginning; with salts that work the cause is confirmed.
    assert found.invalid_arms == ("cold", "fully_cold")
    assert found.findings == ()
    confirmed = diagnosed(manager, image, cold_differs=True)
    assert (confirmed.invalid_arms, confirmed.confidence) == ((), Confidence.CONFIRMED)


def test_warm_arm_is_left_out_when_the_prefix_cache_is_off(manager: RunManager, image: ImagePayload) -> None:
    with FakeServer(prefix_cache=False) as server:
        status = run(manager, server, image)
    assert status.result is not None
    assert status.result["verdict"] == Verdict.IDENTICAL
    assert "warm" not in status.result["arms"]


def test_a_server_that_never_varies_cannot_be_judged(manager: RunManager, image: ImagePayload) -> None:
    found = diagnosed(manager, image, ignores_temperature=True)
    assert found.verdict is Verdict.CANNOT_DETECT


@pytest.mark.parametrize("fault", ["fails_every", "breaks_every", "error_in_stream_every"])
def test_failed_requests_without_a_difference_leave_it_open(
    fault: str, manager: RunManager, image: ImagePayload
) -> None:
    with FakeServer(**{fault: 10}) as server:
        status = run(manager, server, image)
    assert status.result is not None
    assert (status.result["verdict"], status.result["holds"]) == (Verdict.CANNOT_TELL, None)


def test_failed_requests_do_not_hide_a_difference(manager: RunManager, image: ImagePayload) -> None:
    found = diagnosed(manager, image, fails_every=9, splits_under_load=True)
    assert (found.verdict, found.cause) == (Verdict.DIFFERS, Cause.BATCH_COMPOSITION)


def test_answers_cut_at_max_tokens_count_and_are_told(manager: RunManager, image: ImagePayload) -> None:
    with FakeServer(length=6) as server:
        status = run(manager, server, image)
    assert status.result is not None
    assert status.result["verdict"] == Verdict.IDENTICAL
    assert status.result["arms"]["repeat"]["cut"] == status.result["arms"]["repeat"]["ok"] == 12


@pytest.mark.parametrize("hidden", [{"logprobs": False}, {"token_ids": False}, {"vllm": False}])
def test_levels_that_the_server_does_not_show_are_not_claimed(
    hidden: dict[str, bool], manager: RunManager, image: ImagePayload
) -> None:
    with FakeServer(**hidden) as server:
        status = run(manager, server, image)
    assert status.result is not None
    assert status.result["verdict"] == Verdict.IDENTICAL
    assert status.result["level"] == ("tokens" if "logprobs" in hidden else "text")


def test_a_server_that_is_not_vllm_still_shows_load_splits(manager: RunManager, image: ImagePayload) -> None:
    found = diagnosed(manager, image, vllm=False, splits_under_load=True)
    assert [each.cause for each in found.findings] == [Cause.BATCH_COMPOSITION]


def test_a_first_answer_that_is_start_up_is_not_blamed_on_the_cache(manager: RunManager, image: ImagePayload) -> None:
    # 2 questions to learn the duration, 6 of the positive control, then the first of the repeat arm.
    found = diagnosed(manager, image, start_up=9)
    assert [(each.cause, each.confidence) for each in found.findings] == [(Cause.START_UP, Confidence.CONSISTENT)]


def test_temperature_above_zero_is_named_as_the_cause(manager: RunManager, image: ImagePayload) -> None:
    with FakeServer() as server:
        status = run(manager, server, image, temperature=0.7)
    assert status.result is not None
    found = diagnosis_from_record(status.result["diagnosis"])
    assert (found.cause, found.confidence) == (Cause.NOT_GREEDY, Confidence.CONFIRMED)


HONEST = [
    {"cold_differs": True}, {"start_up": 1}, {"splits_under_load": True}, {"drift": 0.1}, {"race": 1.0},
    {"strangers": 1}, {"preempts": True}, {"seeds_matter": True}, {"samples_anyway": True}, {"encoding_matters": True},
    {"prompt_varies": True}, {"ignores_temperature": True}, {"salts_work": False},
]  # fmt: skip
"""Faults of the answers alone; the others change by their nature what a server reports."""


def told(faults: dict[str, object], image: ImagePayload) -> dict[str, object]:
    """All that a client sees of a server beside the words and numbers of its answer to one question."""
    content = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": image.data_url}}]
    body = {"messages": [{"role": "user", "content": content}], "temperature": 0, "seed": 3, "logprobs": True}
    asked = {"model": "vqa-demo", "stream": True, "stream_options": {"include_usage": True}}
    with FakeServer(**faults) as server:
        root = server.base_url.removesuffix("/v1")
        pages = {path: httpx.get(f"{root}{path}") for path in ("/v1/models", "/version", "/metrics", "/health")}
        reply = httpx.post(f"{server.base_url}/chat/completions", json=asked | body)
        counted = httpx.get(f"{root}/metrics")
    events = [line.removeprefix("data: ") for line in reply.text.split("\n\n") if line]
    assert events.pop() == "[DONE]"
    shapes = [shape(json.loads(event)) for event in events]
    return {
        "pages": {path: (page.status_code, page.text) for path, page in pages.items()},
        "headers": sorted(set(reply.headers) | {name for page in pages.values() for name in page.headers}),
        "events": [each for place, each in enumerate(shapes) if each not in shapes[:place]],
        "figures": sorted(line.rpartition(" ")[0] for line in counted.text.splitlines() if not line.startswith("#")),
    }


def shape(value: object) -> object:
    """A JSON value without its words and numbers: names of fields and kinds of values; of a list, its kinds."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    if isinstance(value, list):
        kinds = [shape(part) for part in value]
        return [kind for place, kind in enumerate(kinds) if kind not in kinds[:place]]
    return type(value).__name__


@pytest.mark.parametrize("faults", HONEST, ids=lambda faults: next(iter(faults)))
def test_faults_show_in_nothing_but_the_answers(faults: dict[str, object], image: ImagePayload) -> None:
    assert told(faults, image) == told({}, image)


@pytest.mark.parametrize(
    ("faults", "part"),
    [
        ({"fingerprint_changes_after": 5}, "events"),
        ({"cached_tokens": False}, "events"),
        ({"token_ids": False}, "events"),
        ({"metrics": False}, "pages"),
        ({"model_changes_after": 0}, "pages"),
    ],
)
def test_what_a_server_reports_otherwise_is_seen_by_that_comparison(
    faults: dict[str, object], part: str, image: ImagePayload
) -> None:
    assert told(faults, image)[part] != told({}, image)[part]


def test_a_server_that_goes_away_during_a_diagnosis_and_comes_back_leaves_it_open(
    manager: RunManager, image: ImagePayload
) -> None:
    server = FakeServer(prefill_seconds=0.02).start()
    spec = RunSpec((QUESTION,), (image,), sampling=Sampling(max_tokens=32))
    try:
        work = diagnose_work(spec, loads=(2, 8), size=6)
        run_id = manager.start_work(work, spec, server.base_url, kind="diagnose")
        manager.wait(run_id, after=12, timeout=30)
        server.stop()
        gone = manager.status(run_id).done
        manager.wait(run_id, after=gone + 2, timeout=30)
        server.start()
        status = manager.wait(run_id, timeout=120)
    finally:
        server.stop()
    assert (status.status, status.done) == ("finished", status.total)
    assert 0 < status.failed < status.done
    assert status.result is not None
    assert (status.result["verdict"], status.result["exit_code"]) == (Verdict.CANNOT_TELL, 2)
