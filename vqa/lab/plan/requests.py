"""Every single request of an arm: its salt, its seed, its picture's encoding. Asks no server."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache

from vqa.answers import Question
from vqa.lab.plan.arms import Arm, ArmPlan, Plan, RunSpec
from vqa.lab.plan.words import WORDS
from vqa.media.images import ImagePayload, encoded_again


def question_for(plan: Plan, arm: ArmPlan, case: int, index: int, *, nonce: str) -> Question:
    """Returns the request number `index` of an arm; indexes below 0 are the priming ones.

    `nonce` differs from run to run, so that salts never meet those of an earlier run; the rest is reproducible.
    """
    spec = plan.spec
    asked = spec.cases[case]
    images = asked.images
    if arm.re_encoded:
        images = tuple(re_encoded(image, 9 if index % 2 else 1) for image in images)
    sampling = spec.sampling
    if arm.temperature is not None:
        sampling = replace(sampling, temperature=arm.temperature)
    if arm.arm is Arm.POSITIVE_CONTROL:  # one seed for all, or few candidates, would hide that differences can be seen
        sampling = replace(sampling, seed=None, top_p=1.0)
    if arm.varied_seeds:
        sampling = replace(sampling, seed=seed_of(spec, index // 2 if arm.seed_pairs else index))
    salt, uuids = _salt(arm, case, index, nonce, len(images))
    return Question(
        asked.text,
        images,
        system=spec.system,
        sampling=sampling,
        logprobs=spec.logprobs,
        text_first=spec.text_first,
        cache_salt=salt,
        image_uuids=uuids,
    )


def asked_before(plan: Plan, arm: ArmPlan, case: int, index: int, *, nonce: str) -> list[Question]:
    """Returns what is asked before request `index` of an arm, in order: one token each, only to fill the cache."""
    if not arm.before or index < 0:
        return []
    own = question_for(plan, arm, case, index, nonce=nonce)
    own = replace(own, sampling=replace(own.sampling, max_tokens=1, seed=None), logprobs=None, token_ids=False)
    place = f"{nonce}/{arm.name}/{case}/{index}"
    first = {
        "unrelated": replace(own, text=" ".join(WORDS * 6), images=(), image_uuids=()),
        "shorter": replace(own, text=own.text[: max(1, len(own.text) // 2)]),
        "longer": replace(own, text=f"{own.text} {' '.join(WORDS * 4)}"),
        "itself": own,
    }[arm.before]
    first = first if arm.before_salted else replace(first, cache_salt=None, image_uuids=())
    others = (replace(own, cache_salt=_hex(f"{place}/evictor/{number}")) for number in range(arm.evictors))
    return [first, *others]


def seed_of(spec: RunSpec, index: int) -> int:
    """Returns the seed of repeat `index` under the varied policy."""
    return (spec.sampling.seed or 0) + index + 1


def _salt(arm: ArmPlan, case: int, index: int, nonce: str, images: int) -> tuple[str | None, tuple[str, ...]]:
    if arm.salting == "none":
        return None, ()
    if arm.salting == "shared":
        return _hex(f"{nonce}/{case}"), ()
    place = f"{nonce}/{arm.name}/{case}"
    if arm.salting == "own":
        return _hex(place), ()
    salt = _hex(f"{place}/{index}")
    if arm.salting == "fresh":
        return salt, ()
    return salt, tuple(_hex(f"{place}/{index}/{number}") for number in range(images))


def _hex(text: str) -> str:
    """Returns 32 hex digits: vLLM refuses salts with @, / or backslash, which base64 may hold."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@lru_cache(maxsize=32)
def re_encoded(image: ImagePayload, level: int) -> ImagePayload:
    """Returns the same pixels as a PNG of that compression level (0 to 9): other bytes, other hash."""
    return encoded_again(image, level)
