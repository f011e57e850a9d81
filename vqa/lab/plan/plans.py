"""Which arms a spec becomes on a server that can do so much, and in which order their requests are sent."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vqa.errors import InputError
from vqa.lab.plan.arms import Arm, ArmPlan, Capabilities, Plan, RunSpec, Salting, SkippedArm

CONTROL_TEMPERATURE = 1.0
LOADS = (2, 8, 32)
"""How many requests at a time the concurrent arms send."""
MOST_EVICTORS = 40
"""More requests than this are not sent only to push one question out of the cache."""
SIZE = 10
"""Requests in a usual arm of a diagnosis."""


def plan_repeat(spec: RunSpec, capabilities: Capabilities | None = None) -> Plan:
    """Returns the plan of the Repeat tab: one arm, N requests for each case.

    Raises:
        InputError: the spec cannot be run, or it wants a cache policy that the server does not know.
    """
    spec.check()
    capabilities = capabilities or Capabilities(vllm=True)
    if spec.cache != "as_is" and not capabilities.vllm:
        raise InputError("cache_policy_needs_vllm", cache=spec.cache)
    arm = {
        "as_is": ArmPlan(Arm.REPEAT, spec.n, spec.concurrency),
        "cold": ArmPlan(Arm.COLD, spec.n, spec.concurrency, "fresh"),
        "warm": ArmPlan(Arm.WARM, spec.n, spec.concurrency, "own", priming=1),
    }[spec.cache]
    if spec.concurrency > 1 and spec.cache == "as_is":
        arm = replace(arm, arm=Arm.CONCURRENT)
    arm = replace(arm, varied_seeds=spec.seed_policy == "varied", whole=True)
    return Plan(spec, (arm,), seconds_per_request=capabilities.seconds_per_request, serial=capabilities.serial)


def plan_diagnose(
    spec: RunSpec, capabilities: Capabilities, *, loads: tuple[int, ...] = LOADS, size: int = SIZE
) -> Plan:
    """Returns the arms that tell the causes of lab.md apart on this server; `size` repeats in a usual arm.

    On vLLM the repeat arm starts under a salt of its own run, so that its first request meets a cold prefix cache as
    after a start, whatever was asked before; the arms that vary something else share that salt and so are warm.

    Raises:
        InputError: the spec cannot be run.
    """
    spec.check()
    control = ArmPlan(
        Arm.POSITIVE_CONTROL,
        min(size, 8),
        salting="fresh_with_image" if capabilities.vllm else "none",
        temperature=CONTROL_TEMPERATURE,
        # vLLM draws anew for each request without a seed, and 0.32 on a CPU dies of a seeded request whose prefill is
        # split ('CPU Generator does not use offset'); other servers may fall back to one fixed seed.
        varied_seeds=not capabilities.vllm,
        whole=True,
    )
    salting: Salting = "shared" if capabilities.vllm else "none"
    repeat = ArmPlan(Arm.REPEAT, 2 * size, salting=salting)
    arms = [control, repeat] if capabilities.vllm else [repeat, control]
    skipped: list[SkippedArm] = []
    for arm, reason in _cache_arms(capabilities, size):
        if reason is None:
            arms.append(arm)
        else:
            skipped.append(SkippedArm(arm.name, reason))
    arms += [ArmPlan(Arm.CONCURRENT, max(size, 2 * load), load, salting) for load in loads]
    arms.append(ArmPlan(Arm.BACKGROUND, size, salting=salting, background=8))
    arms.append(ArmPlan(Arm.SEEDS, max(6, size), salting=salting, temperature=0.0, varied_seeds=True, seed_pairs=True))
    if any(case.images for case in spec.cases):
        # Other bytes are another picture to the cache: each under a salt of its own, all are computed alike.
        fresh: Salting = "fresh" if capabilities.vllm else "none"
        priming = 0 if capabilities.vllm else 2
        arms.append(ArmPlan(Arm.RE_ENCODING, max(6, size // 2), salting=fresh, priming=priming, re_encoded=True))
    return Plan(spec, tuple(arms), tuple(skipped), capabilities.seconds_per_request, capabilities.serial)


def plan_remedies(spec: RunSpec, capabilities: Capabilities, *, size: int = SIZE) -> Plan:
    """Returns what is asked once the history of the prefix cache was found: what helps, and how long 'warm' lasts.

    Each remedy is tried with an unrelated chat before each request, as others would go on asking. Blocks are pushed
    out on purpose where the cache is small enough for that; elsewhere that is skipped.
    """
    arms = [
        ArmPlan(Arm.SALT_PER_QUESTION, 2 * size, salting="own", before="unrelated", before_salted=False),
        ArmPlan(Arm.SALT_PER_REQUEST, 2 * size, salting="fresh", before="unrelated", before_salted=False),
    ]
    skipped: list[SkippedArm] = []
    held, prompt = capabilities.cache_tokens, capabilities.prompt_tokens
    evictors = -(-held // prompt) if held and prompt else None
    if evictors is None or evictors > MOST_EVICTORS:
        skipped.append(SkippedArm(str(Arm.AFTER_EVICTION), "lab.skip_cache_large"))
    else:
        arms.append(ArmPlan(Arm.AFTER_EVICTION, 3, salting="fresh", before="itself", evictors=evictors))
    arms = [replace(arm, whole=True) for arm in arms]
    return Plan(spec, tuple(arms), tuple(skipped), capabilities.seconds_per_request, capabilities.serial)


def plan_under_profile(spec: RunSpec, capabilities: Capabilities, *, size: int = SIZE) -> Plan:
    """Returns 2 * size requests under a profile that should help against the history of the prefix cache.

    A quarter finds nothing in the cache, the others what an unrelated or a shorter question has left there.
    """
    few = max(2, size // 2)
    arms = (
        ArmPlan(Arm.COLD, few, salting="fresh", whole=True),
        ArmPlan(Arm.AFTER_UNRELATED, 2 * size - 2 * few, salting="fresh", before="unrelated", whole=True),
        ArmPlan(Arm.AFTER_SHORTER, few, salting="fresh", before="shorter", whole=True),
    )
    return Plan(spec, arms, (), capabilities.seconds_per_request)


def _cache_arms(capabilities: Capabilities, size: int) -> list[tuple[ArmPlan, str | None]]:
    needs_vllm = None if capabilities.vllm else "lab.skip_needs_vllm"
    warm = needs_vllm
    if warm is None and capabilities.prefix_cache is False:
        warm = "lab.skip_prefix_cache_off"
    block, prompt = capabilities.block_size, capabilities.prompt_tokens
    if warm is None and block is not None and prompt is not None and prompt <= block:
        warm = "lab.skip_prompt_within_block"
    return [
        (ArmPlan(Arm.COLD, size, salting="fresh"), needs_vllm),
        (ArmPlan(Arm.FULLY_COLD, max(4, size // 2), salting="fresh_with_image"), needs_vllm),
        (ArmPlan(Arm.WARM, size, salting="own", priming=1), warm),
        *_history_arms(capabilities, size, warm),
    ]


def _history_arms(capabilities: Capabilities, size: int, warm: str | None) -> list[tuple[ArmPlan, str | None]]:
    """Returns the arms that find what other questions left in the cache, on purpose, and one that finds what is there.

    Where the prefix cache is off they show that nothing is found; where a prompt fits one block, nothing can be.
    """
    blind = None if capabilities.vllm and capabilities.prefix_cache is False else warm
    few = max(4, size // 2)
    return [
        (ArmPlan(Arm.AFTER_UNRELATED, few, salting="fresh", before="unrelated"), blind),
        (ArmPlan(Arm.AFTER_SHORTER, few, salting="fresh", before="shorter"), blind),
        (ArmPlan(Arm.AFTER_LONGER, few, salting="fresh", before="longer"), blind),
        (ArmPlan(Arm.AS_ASKED, size), blind),
    ]


@dataclass(frozen=True)
class Block:
    """Requests of one arm and one case that are sent without another arm between them."""

    arm: ArmPlan
    case: int
    start: int
    stop: int
    """Indexes from `start` up to but not including `stop`."""


def schedule(plan: Plan) -> tuple[Block, ...]:
    """Returns the blocks in the order of sending: for each case the arms A B C …, then the rest … C B A.

    A drift of the machine in time (heat, other load) then falls on all arms alike instead of posing as one's effect.
    """
    blocks: list[Block] = []
    for case in range(len(plan.spec.cases)):
        forth: list[Block] = []
        back: list[Block] = []
        for arm in plan.arms:
            half = arm.n if arm.whole or len(plan.arms) == 1 else _half(arm)
            forth.append(Block(arm, case, 0, half))
            if half < arm.n:
                back.append(Block(arm, case, half, arm.n))
        blocks += [*forth, *reversed(back)]
    return tuple(blocks)


def _half(arm: ArmPlan) -> int:
    """Returns the first half's size, in whole waves of the arm's concurrency."""
    waves = -(-arm.n // arm.concurrency)
    return min(arm.n, -(-waves // 2) * arm.concurrency)
