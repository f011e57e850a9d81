"""Plans and requests: what is salted, seeded, interleaved, skipped and encoded."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.lab.made import picture
from vqa.answers import Sampling
from vqa.lab.plan.arms import Arm, ArmPlan, Capabilities, Plan, RunSpec
from vqa.lab.plan.plans import plan_diagnose, plan_remedies, plan_repeat, schedule
from vqa.lab.plan.requests import asked_before, question_for, re_encoded

VLLM = Capabilities(vllm=True, prefix_cache=True, block_size=16, cached_tokens=True, metrics=True, prompt_tokens=100)
SPEC = RunSpec(("What?", "Where?"), (picture(),))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 40), st.booleans())
def test_every_request_of_a_plan_is_sent_exactly_once(n: int, other: int, width: int, whole: bool) -> None:
    arms = (ArmPlan(Arm.REPEAT, n), ArmPlan(Arm.CONCURRENT, other, width), ArmPlan(Arm.COLD, n, whole=whole))
    plan = Plan(SPEC, arms)
    sent = Counter(
        (block.arm.name, block.case, index) for block in schedule(plan) for index in range(block.start, block.stop)
    )
    assert set(sent.values()) == {1}
    assert len(sent) == plan.samples == 2 * (2 * n + other)


def test_arms_go_forth_and_back_within_a_case() -> None:
    plan = Plan(replace(SPEC, questions=("What?",)), tuple(ArmPlan(arm, 4) for arm in (Arm.REPEAT, Arm.COLD, Arm.WARM)))
    assert [(block.arm.name, block.start, block.stop) for block in schedule(plan)] == [
        ("repeat", 0, 2),
        ("cold", 0, 2),
        ("warm", 0, 2),
        ("warm", 2, 4),
        ("cold", 2, 4),
        ("repeat", 2, 4),
    ]


def test_the_positive_control_comes_first_and_apart_from_all_caches_on_vllm() -> None:
    plan = plan_diagnose(SPEC, VLLM)
    assert plan.arms[0].arm is Arm.POSITIVE_CONTROL
    assert plan.arms[0].salting == "fresh_with_image"
    # Where requests cannot be salted, the control would warm the cache for the repeat arm's first request.
    assert plan_diagnose(SPEC, Capabilities()).arms[0].arm is Arm.REPEAT


HISTORY = ("after_unrelated", "after_shorter", "after_longer", "as_asked")


def test_what_is_asked_before_shares_the_salt_and_one_beginning_and_a_remedy_is_tried_without_that() -> None:
    plan = plan_diagnose(SPEC, VLLM)
    texts = {}
    for name in HISTORY[:3]:
        own = question_for(plan, plan.arm(name), 0, 1, nonce="n")
        (before,) = asked_before(plan, plan.arm(name), 0, 1, nonce="n")
        assert (before.cache_salt, before.sampling.max_tokens) == (own.cache_salt, 1)
        texts[name] = before.text
        assert bool(before.images) == (name != "after_unrelated")
    assert "What?".startswith(texts["after_shorter"]) and texts["after_longer"].startswith("What?")
    assert salts(plan, "as_asked", 0) == [None]
    remedies = plan_remedies(SPEC, replace(VLLM, cache_tokens=1000))
    for arm in remedies.arms[:2]:
        (before,) = asked_before(remedies, arm, 0, 0, nonce="n")
        assert before.cache_salt is None and question_for(remedies, arm, 0, 0, nonce="n").cache_salt
    own, *others = asked_before(remedies, remedies.arm("after_eviction"), 0, 0, nonce="n")
    assert len({each.cache_salt for each in (own, *others)}) == 1 + 10, "ten of 100 tokens fill a cache of 1,000"
    large = plan_remedies(SPEC, replace(VLLM, cache_tokens=10**6))
    assert [(arm.name, arm.reason) for arm in large.skipped] == [("after_eviction", "lab.skip_cache_large")]


def test_cache_arms_are_left_out_with_their_reason() -> None:
    reasons = {arm.name: arm.reason for arm in plan_diagnose(SPEC, Capabilities()).skipped}
    assert reasons == dict.fromkeys(("cold", "fully_cold", "warm", *HISTORY), "lab.skip_needs_vllm")
    off = plan_diagnose(SPEC, replace(VLLM, prefix_cache=False))
    assert [(arm.name, arm.reason) for arm in off.skipped] == [("warm", "lab.skip_prefix_cache_off")]
    short = plan_diagnose(SPEC, replace(VLLM, block_size=128))
    assert [(arm.name, arm.reason) for arm in short.skipped] == [
        (name, "lab.skip_prompt_within_block") for name in ("warm", *HISTORY)
    ]


def salts(plan: Plan, arm: str, *indexes: int, nonce: str = "n") -> list[str | None]:
    return [question_for(plan, plan.arm(arm), 0, index, nonce=nonce).cache_salt for index in indexes]


def test_salts_are_shared_kept_apart_and_never_those_of_another_run() -> None:
    plan = plan_diagnose(SPEC, VLLM)
    assert len(set(salts(plan, "repeat", 0, 1) + salts(plan, "concurrent_8", 0, 5) + salts(plan, "seeds", 3))) == 1
    assert len(set(salts(plan, "warm", -1, 0, 4))) == 1
    assert len(set(salts(plan, "cold", 0, 1, 2))) == 3
    assert not set(salts(plan, "cold", 0, 1)) & set(salts(plan, "cold", 0, 1, nonce="m"))
    assert salts(plan, "repeat", 0) != salts(plan, "repeat", 0, nonce="m")


def test_only_a_fully_cold_request_hides_the_image_too() -> None:
    plan = plan_diagnose(SPEC, VLLM)
    cold = question_for(plan, plan.arm("cold"), 0, 0, nonce="n")
    fully = [question_for(plan, plan.arm("fully_cold"), 0, index, nonce="n").image_uuids for index in (0, 1)]
    assert cold.image_uuids == ()
    assert len({uuid for uuids in fully for uuid in uuids}) == 2


def test_seeds_come_in_pairs_at_temperature_zero() -> None:
    plan = plan_diagnose(replace(SPEC, sampling=Sampling(temperature=0.7)), VLLM)
    sent = [question_for(plan, plan.arm("seeds"), 0, index, nonce="n").sampling for index in range(4)]
    assert [one.seed for one in sent] == [1, 1, 2, 2]
    assert {one.temperature for one in sent} == {0.0}


def test_re_encoding_changes_the_bytes_and_not_the_pixels() -> None:
    image = picture()
    one, other = re_encoded(image, 1), re_encoded(image, 9)
    assert one.sha256 != other.sha256
    assert one.picture().convert("RGB").tobytes() == other.picture().convert("RGB").tobytes()


def test_estimates_grow_with_the_work() -> None:
    small, large = (plan_repeat(replace(SPEC, n=n)) for n in (10, 100))
    assert (small.requests, large.requests) == (20, 200)
    assert small.seconds < large.seconds
    crowd = plan_repeat(replace(SPEC, n=100, concurrency=10))
    assert crowd.seconds < large.seconds


def test_a_serial_engine_is_planned_to_take_its_crowds_one_by_one() -> None:
    usual, serial = (plan_diagnose(SPEC, replace(VLLM, serial=serial)) for serial in (False, True))
    for name in ("repeat", "cold"):
        assert usual.seconds_of(usual.arm(name)) == serial.seconds_of(serial.arm(name))
    crowd = serial.arm("concurrent_32")
    assert serial.seconds_of(crowd) == crowd.n * serial.seconds_per_request
    assert serial.seconds > 2 * usual.seconds
