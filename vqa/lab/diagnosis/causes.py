"""The rows of the diagnosis table, one function each: does what was seen on one question show this cause?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from vqa.answers import Json
from vqa.lab.diagnosis.cases import CaseView, Labels, disturbed, odd_beginning
from vqa.lab.diagnosis.facts import BlockFacts
from vqa.lab.diagnosis.findings import Cause, Confidence, Finding
from vqa.lab.diagnosis.history import cache_history
from vqa.lab.diagnosis.premises import arm_kind
from vqa.lab.plan.arms import Arm

CURES = {
    Cause.COLD_PREFIX_CACHE: ("no-prefix-cache", "batch-invariant-triton"),
    Cause.BATCH_COMPOSITION: ("batch-invariant-triton", "serial", "batch-invariant"),
}


def find_causes(cases: Sequence[CaseView]) -> tuple[Finding, ...]:
    """Returns the causes seen on any question, surest first; each once, with on how many questions it shows."""
    found: dict[Cause, list[Finding]] = {}
    for case in cases:
        for finding in _of_case(case):
            found.setdefault(finding.cause, []).append(finding)
    order = list(Confidence)
    merged = []
    for findings in found.values():
        best = min(findings, key=lambda finding: order.index(finding.confidence))
        merged.append(replace(best, values=best.values | {"questions": len(findings), "of": len(cases)}))
    return tuple(sorted(merged, key=lambda finding: order.index(finding.confidence)))


def _of_case(case: CaseView) -> list[Finding]:
    for decisive in (preprocessing, not_greedy):
        # Either makes every comparison of the other arms meaningless.
        if finding := decisive(case):
            return [finding]
    return [finding for find in (cold_cache, cache_history, start_up, batch, traffic) if (finding := find(case))]


def _finding(cause: Cause, confirmed: bool | None, **values: Json) -> Finding:
    """`confirmed` None means that the cause is not known at all."""
    levels = {True: Confidence.CONFIRMED, False: Confidence.CONSISTENT, None: Confidence.UNKNOWN}
    return Finding(cause, levels[confirmed], values, CURES.get(cause, ()))


def preprocessing(case: CaseView) -> Finding | None:
    """Prompts that differ in token ids, or answers that follow the encoding of equal pixels."""
    prompts = {prompt for summary in case.arms.values() for prompt in summary.prompts}
    tokens = {count for summary in case.arms.values() for count in summary.image_tokens}
    if len(prompts) > 1 or len(tokens) > 1:
        return _finding(Cause.PREPROCESSING, True, prompts=max(len(prompts), len(tokens)))
    labels = case.labels("re_encoding")
    sides = [{label for index, label in labels.items() if index % 2 == side} for side in (0, 1)]
    if len(labels) >= 4 and all(len(side) == 1 for side in sides) and sides[0] != sides[1]:
        return _finding(Cause.PREPROCESSING, case.settled is not None, prompts=1)
    return None


def not_greedy(case: CaseView) -> Finding | None:
    """Different seeds give different answers at temperature 0, or the plan itself asked at another temperature."""
    if case.facts.temperature > 0:
        if not case.differs:
            return None
        agree = len(set(case.labels("seeds").values())) == 1
        return _finding(Cause.NOT_GREEDY, agree, temperature=case.facts.temperature)
    labels = case.labels("seeds")
    pairs: dict[int, set[Hashable]] = {}
    for index, label in labels.items():
        pairs.setdefault(index // 2, set()).add(label)
    by_seed = {next(iter(pair)) for pair in pairs.values() if len(pair) == 1}
    if len(set(labels.values())) < 2:
        return None
    disturbed = case.disturbed(["seeds"])
    paired = all(len(pair) == 1 for pair in pairs.values()) and len(by_seed) > 1 and len(pairs) > 2
    paired = paired and case.same_cache_split("seeds", labels)  # else what was found in the cache tells them apart
    by_chance = case.settled is None and (disturbed or len(by_seed) < 3)
    if paired and not by_chance:
        # Two requests of one seed agree, those of different seeds do not: nothing else changed between them, unless
        # others asked meanwhile, whose traffic may fall on a pair by chance. Where one seed alone does not settle on
        # an answer, two kinds of pairs may be chance as well.
        confirmed = not disturbed and (case.settled is not None or len(by_seed) > 2)
        return _finding(Cause.NOT_GREEDY, confirmed, temperature=0)
    sampled = any(case.arms[name].not_most_probable for name in case.arms if arm_kind(name) in _ALONE)
    repeats_vary = len(set(case.labels("repeat").values())) > 2
    return _finding(Cause.NOT_GREEDY, False, temperature=0) if sampled and repeats_vary else None


_ALONE = frozenset({Arm.REPEAT, Arm.SEEDS, Arm.COLD, Arm.WARM})
"""Arms at temperature 0 that send one request at a time."""


def cold_cache(case: CaseView) -> Finding | None:
    """The first answer differs because it found nothing in the prefix cache; or cold and warm ones do not agree."""
    repeat = case.labels("repeat")
    cold, warm = set(case.labels("cold").values()), set(case.labels("warm").values())
    runs = case.counts("cold") and case.counts("warm")
    alone = len(cold) == 1 and len(warm) == 1
    if runs and alone and cold != warm:
        cached = case.arms["repeat"].cached_tokens if repeat else ()
        first_was_warm = bool(cached and cached[0])
        agrees = not repeat or next(iter(repeat.values())) in (warm if first_was_warm else cold)
        settled = case.settled is None or case.settled in warm
        return _finding(Cause.COLD_PREFIX_CACHE, agrees and settled, shown=bool(case.first))
    if case.first != 1 or (runs and alone):
        # Cold and warm requests agreed, so the first one's answer has another cause.
        return None
    cached = case.arms["repeat"].cached_tokens
    if cached and cached[0]:
        return None
    if case.counts("cold") and len(cold) == 1 and next(iter(repeat.values())) not in cold:
        return None
    return _finding(Cause.COLD_PREFIX_CACHE, False, shown=True)


def start_up(case: CaseView) -> Finding | None:
    """The first answers of a fresh process differ although nothing was cached for any of them."""
    rounds = [_after_start(case, name) for name in case.named(Arm.PROCESS_COLD) if case.counts(name)]
    if sum(k > 0 for k in rounds) >= 2:
        return _finding(Cause.START_UP, len(rounds) >= 3, k=max(rounds), rounds=len(rounds))
    cold = set(case.labels("cold").values())
    settles_cold = case.counts("cold") and len(cold) == 1 and case.settled in cold
    several = case.first > 1
    if rounds or not case.first or not (settles_cold or several):
        return None
    return _finding(Cause.START_UP, False, k=case.first, rounds=0)


def _after_start(case: CaseView, name: str) -> int:
    """Returns how many answers after a restart differ before the usual one comes for good; 0 when it is not so.

    The usual answer is what the cold requests of a process long started gave; where they do not tell, the last one,
    which then must be most of them.
    """
    answers = list(case.labels(name).values())
    for kind in ("fully_cold", "cold"):
        usual = set(case.labels(kind).values())
        if case.counts(kind) and len(usual) == 1:
            return odd_beginning(answers, next(iter(usual)))
    k = odd_beginning(answers, answers[-1]) if answers else 0
    return k if 2 * k < len(answers) else 0


def batch(case: CaseView) -> Finding | None:
    """Alone the answers agree, together with other requests they do not."""
    if case.settled is None:
        return None
    crowded = [name for kind in (Arm.CONCURRENT, Arm.BACKGROUND) for name in case.named(kind)]
    off = [name for name in crowded if case.counts(name) and _off(case, name)]
    if not off:
        return None
    # The repeat arm's second half runs after them: that is the lone rerun.
    halves = {block.start for block in case.blocks("repeat")}
    rerun = len(halves) > 1 or len(case.rest) >= 4
    confirmed = rerun and not case.disturbed([*off, "repeat"])
    return _finding(Cause.BATCH_COMPOSITION, confirmed, arms=", ".join(off))


def _off(case: CaseView, arm: str) -> bool:
    labels = case.labels(arm)
    if set(labels.values()) == {case.settled}:
        return False
    if len(set(labels.values())) == 1:
        return True
    return case.same_cache_split(arm, labels)


def traffic(case: CaseView) -> Finding | None:
    """One at a time, with equally much in the cache, and still split."""
    if case.settled is not None or len(case.rest) < 2 or not case.same_cache_split("repeat", case.rest):
        return None
    blocks = case.blocks("repeat")
    if not any(block.counters for block in blocks):
        return _finding(Cause.UNKNOWN, None, others="–", preemptions="–")
    others = sum(block.others or 0 for block in blocks)
    preemptions = sum(block.counters.preemptions for block in blocks if block.counters)
    if not others and not preemptions:
        return _finding(Cause.UNKNOWN, None, others=0, preemptions=0)
    quiet = [block for block in blocks if not disturbed(block)]
    still = [label for block in quiet for label in _within(case.rest, block)]
    # The same request in the same run, only without the others: that singles them out.
    confirmed = len(still) > 1 and len(set(still)) == 1
    return _finding(Cause.OTHER_TRAFFIC, confirmed, others=others, preemptions=preemptions)


def _within(labels: Labels, block: BlockFacts) -> list[Hashable]:
    return [label for index, label in labels.items() if block.start <= index < block.stop]
