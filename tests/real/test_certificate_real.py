"""The probe certificate of a CPU against a real vLLM, under two profiles, each with a start of its own."""

from __future__ import annotations

from statistics import median

import pytest

from vqa.answers import Answer
from vqa.engine.opening import open_engine
from vqa.lab.certificate import certify
from vqa.lab.certificate.certify import start_certificate
from vqa.lab.run.manager import RunManager
from vqa.lab.stats.agreement import normalize_answer
from vqa.settings import Settings
from vqa.store import Store

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]
TOKENS = 32
CPU_BLOCK = 128
"""Tokens in a block of the prefix cache on a CPU: a shorter prompt never hits."""


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


def strongest(levels: dict[str, bool]) -> str:
    """Returns the strongest level that holds, 'none' where none does."""
    return next((level for level, holds in levels.items() if holds), "none")


def weaker(one: dict[str, bool], other: dict[str, bool]) -> dict[str, bool]:
    """Returns for each level whether it holds for both questions."""
    return {level: one[level] and other[level] for level in one}


def test_the_certificate_tells_the_profiles_of_a_cpu_apart(
    manager: RunManager, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of each question 8 requests at 8 at a time instead of 32, half as many of the others, and a quarter as long: the
    # full size takes ten minutes.
    monkeypatch.setattr(certify, "PROBE_MAX_TOKENS", TOKENS)
    monkeypatch.setattr(certify, "IN_A_ROW", 4)
    monkeypatch.setattr(certify, "AT_LEAST", 8)
    monkeypatch.setattr(certify, "WAVES", 1)
    monkeypatch.setattr(certify, "FEW", 2)
    monkeypatch.setattr(certify, "CONTROLS", 2)
    # Two engines, one after the other: each one's start takes half a minute and all that the two cores have.
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
        # One at a time, a long question shows under the default what the cache changes. Whether the short one does is
        # the CPU's own: cold and warm were equal on one, and unlike on another.
        lone = {name: shown[name, 1]["questions"] for name in names[:2]}
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
            by_now = [agreement([*a, *b, *c]) for a, b, c in lone_ones]
            assert shown[place]["holds"] == weaker(*by_now)
            assert [each["level"] for each in shown[place]["questions"]] == [strongest(each) for each in by_now]
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
