"""Diagnoses that need more than a server's answers: restarts, quiet and disturbed blocks, measured cases of lab.md."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.lab.made import answer, samples
from vqa.answers import Sample
from vqa.lab.diagnosis.diagnose import Cause, Confidence, Verdict, diagnose
from vqa.lab.diagnosis.facts import BlockFacts, Counters, EngineProcess, Facts, Identity, Start
from vqa.lab.plan.arms import Capabilities
from vqa.lab.run.documents import diagnosis_from_record, diagnosis_record

VLLM = Capabilities(vllm=True, prefix_cache=True, cached_tokens=True, metrics=True)


def arm(name: str, *texts: str, cached: tuple[int, ...] | None = None) -> list[Sample]:
    hits = cached or (16,) * len(texts)
    return samples(*(answer(text, cached=hit) for text, hit in zip(texts, hits, strict=True)), arm=name)


def block(name: str, start: int, stop: int, *, others: int = 0, preemptions: int = 0) -> BlockFacts:
    ours = stop - start
    return BlockFacts(name, 0, start, stop, ours, Counters(ours + others, preemptions, 0, 0))


CONTROL = {"positive_control": arm("positive_control", "one", "two", "three")}


def test_three_restarts_with_the_same_odd_beginning_confirm_start_up() -> None:
    rounds = {
        f"process_cold_{number}": arm(
            f"process_cold_{number}", "odd", "usual", "usual", "usual", "usual", cached=(0,) * 5
        )
        for number in (1, 2, 3)
    }
    found = diagnose(CONTROL | {"repeat": arm("repeat", *["usual"] * 20)} | rounds, Facts(VLLM))
    assert [(each.cause, each.confidence) for each in found.findings] == [(Cause.START_UP, Confidence.CONFIRMED)]
    assert found.findings[0].values["k"] == 1


def after_restarts(*texts: str, cached: tuple[int, ...] = (0,) * 5) -> dict[str, list[Sample]]:
    names = [f"process_cold_{number}" for number in (1, 2, 3)]
    return {name: arm(name, *texts, cached=cached) for name in names}


LATER_COLD = {"fully_cold": arm("fully_cold", *["usual"] * 5, cached=(0,) * 5)}
BEGINNINGS = {
    "two odd answers, against later cold ones": (["odd", "odd", *["usual"] * 3], LATER_COLD, 2),
    "four, each another": (["one", "two", "three", "four", "usual"], LATER_COLD, 4),
    "two, without later cold ones": (["odd", "odd", *["usual"] * 3], {}, 2),
    "three, without later cold ones, are most": (["odd"] * 3 + ["usual"] * 2, {}, None),
    "the usual answer came in between": (["odd", "usual", "odd", "usual", "usual"], LATER_COLD, None),
    "none settled": (["odd"] * 5, LATER_COLD, None),
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_as_many_answers_after_a_restart_as_differ_from_later_ones_are_start_up(name: str) -> None:
    texts, later, k = BEGINNINGS[name]
    arms = CONTROL | {"repeat": arm("repeat", *["usual"] * 20)} | later | after_restarts(*texts)
    found = {each.cause: each for each in diagnose(arms, Facts(VLLM)).findings}
    assert (Cause.START_UP in found) == (k is not None)
    if k is not None:
        assert (found[Cause.START_UP].confidence, found[Cause.START_UP].values["k"]) == (Confidence.CONFIRMED, k)


def test_restarts_that_were_not_cold_or_not_another_process_are_invalid_and_confirm_nothing() -> None:
    odd = ["odd", *["usual"] * 4]
    arms = CONTROL | {"repeat": arm("repeat", *["usual"] * 20)}
    old, new = EngineProcess(7, 1.0), EngineProcess(7, 2.0)
    named = [f"process_cold_{number}" for number in (1, 2, 3)]
    fresh = tuple(Start(name, new, old) for name in named)
    kept = (*fresh[:2], Start(named[2], old, old))
    unknown = (*fresh[:2], Start(named[2], None, None))

    def told(rounds: dict[str, list[Sample]], starts: tuple[Start, ...]) -> tuple[object, ...]:
        found = diagnose(arms | rounds, Facts(VLLM, starts=starts))
        return found.confidence, {row.arm: row.invalid for row in found.evidence if row.invalid}

    assert told(after_restarts(*odd), fresh) == (Confidence.CONFIRMED, {})
    assert told(after_restarts(*odd), kept) == (Confidence.CONSISTENT, {named[2]: "lab.invalid_not_restarted"})
    assert told(after_restarts(*odd), unknown) == (Confidence.CONSISTENT, {named[2]: "lab.invalid_not_restarted"})
    confidence, invalid = told(after_restarts(*odd, cached=(0, 0, 16, 16, 16)), fresh)
    assert (confidence, invalid) == (Confidence.UNKNOWN, dict.fromkeys(named, "lab.invalid_not_cold"))


def test_what_is_known_of_restarts_comes_back_from_the_store() -> None:
    facts = Facts(VLLM, starts=(Start("process_cold_1", EngineProcess(7, 1.5), None),))
    assert Facts.from_record(json.loads(json.dumps(facts.to_record()))) == facts
    assert Facts.from_record({**Facts(VLLM).to_record(), "starts": None}) == Facts(VLLM)


def test_traffic_is_confirmed_when_the_quiet_half_agrees() -> None:
    repeat = arm("repeat", *["usual"] * 10, *["usual", "odd"] * 5)
    facts = Facts(VLLM, blocks=(block("repeat", 0, 10), block("repeat", 10, 20, others=3)))
    found = diagnose(CONTROL | {"repeat": repeat}, facts)
    assert [(each.cause, each.confidence) for each in found.findings] == [(Cause.OTHER_TRAFFIC, Confidence.CONFIRMED)]
    assert found.findings[0].values["others"] == 3


def test_traffic_during_the_crowded_arms_keeps_batch_composition_unconfirmed() -> None:
    arms = CONTROL | {
        "repeat": arm("repeat", *["usual"] * 20),
        "concurrent_8": arm("concurrent_8", *["usual", "odd"] * 8),
    }
    quiet = Facts(VLLM, blocks=(block("repeat", 0, 20), block("concurrent_8", 0, 16)))
    disturbed = Facts(VLLM, blocks=(block("repeat", 0, 20), block("concurrent_8", 0, 16, others=4)))
    assert diagnose(arms, quiet).confidence is Confidence.CONFIRMED
    assert diagnose(arms, disturbed).confidence is Confidence.CONSISTENT


def test_a_split_that_follows_the_cache_is_not_blamed_on_the_batch() -> None:
    arms = CONTROL | {
        "repeat": arm("repeat", "cold", *["warm"] * 19, cached=(0, *(16,) * 19)),
        "concurrent_8": arm("concurrent_8", *["cold"] * 8, *["warm"] * 8, cached=(*(0,) * 8, *(16,) * 8)),
        "cold": arm("cold", *["cold"] * 6, cached=(0,) * 6),
        "warm": arm("warm", *["warm"] * 6),
    }
    found = diagnose(arms, Facts(VLLM))
    assert [each.cause for each in found.findings] == [Cause.COLD_PREFIX_CACHE]


def test_the_measured_default_engine_of_the_h100_has_both_causes() -> None:
    cold, warm = "a b c", "a b d"
    arms = CONTROL | {
        "repeat": arm("repeat", cold, *[warm] * 19, cached=(0, *(576,) * 19)),
        "cold": arm("cold", *[cold] * 10, cached=(0,) * 10),
        "warm": arm("warm", *[warm] * 10),
        "concurrent_8": arm("concurrent_8", *(f"a b {n % 15}" for n in range(64))),
        "background": arm("background", *(f"a c {n}" for n in range(20))),
    }
    facts = Facts(VLLM, blocks=(replace(block("background", 0, 20), background_answered=9),))
    found = diagnose(arms, facts)
    assert [(each.cause, each.confidence) for each in found.findings] == [
        (Cause.COLD_PREFIX_CACHE, Confidence.CONFIRMED),
        (Cause.BATCH_COMPOSITION, Confidence.CONFIRMED),
    ]
    assert found.profiles[:2] == ("batch-invariant-triton", "no-prefix-cache"), "what cures both comes first"


def test_one_differing_answer_in_a_row_is_not_the_cold_cache_when_it_had_a_hit() -> None:
    found = diagnose(CONTROL | {"repeat": arm("repeat", "odd", *["usual"] * 19)}, Facts(VLLM))
    assert Cause.COLD_PREFIX_CACHE not in {each.cause for each in found.findings}
    assert found.verdict is Verdict.DIFFERS


def test_a_server_that_calls_itself_differently_afterwards_voids_the_run() -> None:
    facts = Facts(VLLM, before=Identity(("m",), None, "0.32.0"), after=Identity(("m",), None, "0.33.0"))
    assert diagnose({"repeat": arm("repeat", *["usual"] * 20)}, facts).verdict is Verdict.INVALID
    restarted = replace(facts, after=facts.before, restarted=True)
    assert diagnose({"repeat": arm("repeat", *["usual"] * 20)}, restarted).verdict is Verdict.INVALID


def test_a_background_without_its_background_load_is_invalid() -> None:
    arms = CONTROL | {"repeat": arm("repeat", *["usual"] * 20), "background": arm("background", *["usual"] * 10)}
    assert diagnose(arms, Facts(VLLM, blocks=(block("background", 0, 10),))).invalid_arms == ("background",)


def test_diagnoses_and_facts_survive_the_store() -> None:
    arms = CONTROL | {"repeat": arm("repeat", "odd", *["usual"] * 19, cached=(0, *(16,) * 19))}
    facts = Facts(VLLM, blocks=(block("repeat", 0, 20),), before=Identity(("m",)), after=Identity(("m",)))
    found = diagnose(arms, facts)
    assert diagnosis_from_record(diagnosis_record(found)) == found
    assert Facts.from_record(facts.to_record()) == facts


def test_answers_that_no_found_cause_explains_are_never_silent() -> None:
    lone = {"repeat": arm("repeat", *["usual"] * 20), "cold": arm("cold", *["usual"] * 6, cached=(0,) * 6)}
    odd = {"re_encoding": arm("re_encoding", *["odd"] * 6, cached=(0,) * 6)}
    found = diagnose(CONTROL | lone | odd, Facts(VLLM))
    assert (found.verdict, [each.cause for each in found.findings]) == (Verdict.DIFFERS, [Cause.UNEXPLAINED])
    assert found.findings[0].values["arms"] == "re_encoding"
    crowd = {"concurrent_8": arm("concurrent_8", *["other"] * 16)}
    both = diagnose(CONTROL | lone | odd | crowd, Facts(VLLM, blocks=(block("repeat", 0, 20),)))
    assert [each.cause for each in both.findings] == [Cause.BATCH_COMPOSITION, Cause.UNEXPLAINED]
    # A cold answer is no riddle once the cold cache was found: differently encoded pixels are cold, too.
    cold = lone | {"cold": arm("cold", *["odd"] * 6, cached=(0,) * 6), "warm": arm("warm", *["usual"] * 6)}
    assert [each.cause for each in diagnose(CONTROL | cold | odd, Facts(VLLM)).findings] == [Cause.COLD_PREFIX_CACHE]


def test_a_history_made_on_purpose_that_changes_the_answer_is_confirmed_and_one_only_met_is_not() -> None:
    lone = CONTROL | {
        "repeat": arm("repeat", *["usual"] * 20),
        "cold": arm("cold", *["usual"] * 6, cached=(0,) * 6),
        "warm": arm("warm", *["usual"] * 6),
    }
    made = {"after_unrelated": arm("after_unrelated", *["odd"] * 5, cached=(8,) * 5)}
    met = {"as_asked": arm("as_asked", *["odd"] * 6, cached=(8, *(16,) * 5))}
    mixed = {"after_unrelated": arm("after_unrelated", "odd", "usual", "odd", "usual", "odd", cached=(8,) * 5)}

    def told(arms: dict[str, list[Sample]], *blocks: BlockFacts) -> list[tuple[Cause, Confidence]]:
        return [(each.cause, each.confidence) for each in diagnose(lone | arms, Facts(VLLM, blocks=blocks)).findings]

    history = Cause.PREFIX_CACHE_HISTORY
    assert told(made | met) == [(history, Confidence.CONFIRMED)]
    assert told(met) == [(history, Confidence.CONSISTENT)]
    assert told(mixed) == [(history, Confidence.CONSISTENT)]
    assert told(made, block("after_unrelated", 0, 5, others=2)) == [(history, Confidence.CONSISTENT)]
    nothing = {"after_unrelated": arm("after_unrelated", *["odd"] * 5, cached=(0,) * 5)}
    found = diagnose(lone | nothing, Facts(VLLM))
    assert (found.findings, found.invalid_arms) == ((), ("after_unrelated",)), "nothing asked before was found"


def test_a_small_cache_that_loses_blocks_in_between_hides_no_cause() -> None:
    """As a real engine with 5,120 tokens of cache did: some answers in a row find nothing again, and are cold ones."""
    again = [0, *[1536] * 9, 0, *[1536] * 9]
    taken = CONTROL | {
        "repeat": arm("repeat", *("cold" if hit == 0 else "warm" for hit in again), cached=tuple(again)),
        "cold": arm("cold", *["cold"] * 10, cached=(0,) * 10),
        "after_unrelated": arm("after_unrelated", *["history"] * 5, cached=(128,) * 5),
        "concurrent_8": arm("concurrent_8", *["crowd"] * 16, cached=(1536,) * 16),
    }
    found = diagnose(taken, Facts(VLLM))
    causes = {each.cause for each in found.findings}
    assert {Cause.PREFIX_CACHE_HISTORY, Cause.BATCH_COMPOSITION} <= causes
    assert Cause.UNKNOWN not in causes


def test_seeds_that_met_different_caches_are_no_sign_of_sampling() -> None:
    hits = (0, 0, 1536, 1536, 1536, 1536)
    taken = CONTROL | {
        "repeat": arm("repeat", "cold", *["warm"] * 9, cached=(0, *[1536] * 9)),
        "seeds": arm("seeds", *("cold" if hit == 0 else "warm" for hit in hits), cached=hits),
    }
    assert Cause.NOT_GREEDY not in {each.cause for each in diagnose(taken, Facts(VLLM)).findings}
