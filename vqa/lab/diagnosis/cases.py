"""One question under all arms of a run, as the causes and the evidence look at it: which answer each request gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from vqa.lab.diagnosis.facts import BlockFacts, Facts
from vqa.lab.diagnosis.premises import arm_kind, invalid_reason
from vqa.lab.plan.arms import Arm
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summary import RunSummary, Summary

Labels = Mapping[int, Hashable]
"""Which answer each index gave: token ids and text, or the text alone where some arm shows no token ids."""


@dataclass(frozen=True)
class CaseView:
    """One question under all arms."""

    case: int
    arms: Mapping[str, Summary]
    facts: Facts

    @cached_property
    def level(self) -> Level:
        """The level on which answers are compared across arms."""
        answered = [summary for summary in self.arms.values() if summary.ok]
        shown = bool(answered) and all(Level.TOKENS in summary.visible for summary in answered)
        return Level.TOKENS if shown else Level.TEXT

    def labels(self, arm: str) -> Labels:
        """Returns the answers of an arm by index, in the order of sending; empty when it was not run."""
        summary = self.arms.get(arm)
        if summary is None:
            return {}
        groups = summary.levels[self.level].groups
        found = {
            index: (group.token_ids, group.text) if self.level is Level.TOKENS else group.text
            for group in groups
            for index in group.indexes
        }
        return dict(sorted(found.items()))

    def counts(self, arm: str) -> bool:
        """Returns whether an arm was run and its premise held."""
        return arm in self.arms and invalid_reason(arm, RunSummary((self.arms[arm],)), self.facts) is None

    def named(self, kind: Arm) -> tuple[str, ...]:
        """Returns the names of the arms of a kind."""
        return tuple(name for name in self.arms if arm_kind(name) is kind)

    @cached_property
    def first(self) -> int:
        """How many leading answers of the repeat arm differ from the rest, which agrees; 0 when it is not so."""
        return leading(self.labels("repeat"))

    @cached_property
    def rest(self) -> Labels:
        """The repeat arm without those."""
        return dict(list(self.labels("repeat").items())[self.first :])

    @cached_property
    def settled(self) -> Hashable | None:
        """What the repeat arm answers once settled; None when it does not settle on one answer.

        Where a small cache lost its blocks in between, answers split by what was found in it and by nothing else; then
        it is the one answer of those that found the most.
        """
        answers = set(self.rest.values())
        if len(answers) > 1 and not self.same_cache_split("repeat", self.rest):
            cached = self.arms["repeat"].cached_tokens
            most = max(_at(cached, index) or 0 for index in self.rest)
            kept = [label for index, label in self.rest.items() if (_at(cached, index) or 0) == most]
            return kept[0] if most and 2 * len(kept) > len(self.rest) else None
        return next(iter(answers)) if len(answers) == 1 and len(self.rest) > 1 else None

    def equals_repeat(self, arm: str) -> bool | None:
        """Returns whether all of an arm's answers are what the repeat arm settled on; None when either is missing."""
        labels = set(self.labels(arm).values())
        return None if not labels or self.settled is None else labels == {self.settled}

    @cached_property
    def differs(self) -> bool:
        """Whether any two answers that should agree do not."""
        compared = (name for name in self.arms if arm_kind(name) is not Arm.POSITIVE_CONTROL)
        return len({label for name in compared for label in self.labels(name).values()}) > 1

    @cached_property
    def numbers(self) -> Mapping[Hashable, int]:
        """Every answer of the arms that should agree, numbered: 0 is the most frequent, ties by first coming."""
        compared = (name for name in self.arms if arm_kind(name) is not Arm.POSITIVE_CONTROL)
        counted = Counter(label for name in compared for label in self.labels(name).values())
        return {label: number for number, (label, _) in enumerate(counted.most_common())}

    def classes(self, arm: str) -> Mapping[tuple[int | None, Hashable], int]:
        """Returns how often an arm's requests found so much in the prefix cache and gave that answer."""
        cached = self.arms[arm].cached_tokens if arm in self.arms else ()
        return Counter((_at(cached, index), label) for index, label in self.labels(arm).items())

    def blocks(self, arm: str) -> tuple[BlockFacts, ...]:
        """Returns the blocks of an arm on this question."""
        return tuple(block for block in self.facts.of(arm) if block.case == self.case)

    def disturbed(self, arms: Iterable[str]) -> bool:
        """Returns whether others asked, or the engine preempted, while any of the arms ran."""
        return any(disturbed(block) for arm in arms for block in self.blocks(arm))

    def same_cache_split(self, arm: str, labels: Labels) -> bool:
        """Returns whether two answers differ although both requests found equally much in the prefix cache."""
        cached = self.arms[arm].cached_tokens
        seen: dict[int | None, set[Hashable]] = {}
        for index, label in labels.items():
            seen.setdefault(_at(cached, index), set()).add(label)
        return any(len(found) > 1 for found in seen.values())


def _at(cached: Sequence[int | None], index: int) -> int | None:
    return cached[index] if index < len(cached) else None


def leading(labels: Labels) -> int:
    """Returns k when the first k answers differ from the rest and the rest agrees, with k at most a third; else 0."""
    answers = list(labels.values())
    k = odd_beginning(answers, answers[-1]) if len(answers) >= 3 else 0
    return k if k <= len(answers) / 3 else 0


def odd_beginning(answers: Sequence[Hashable], usual: Hashable) -> int:
    """Returns k when the first k answers are not the usual one and all the others are; 0 when it is not so."""
    k = len(answers)
    while k and answers[k - 1] == usual:
        k -= 1
    return 0 if k == len(answers) or usual in answers[:k] else k


def disturbed(block: BlockFacts) -> bool:
    """Returns whether others asked, or the engine preempted, while a block ran."""
    return bool(block.others) or bool(block.counters and block.counters.preemptions)
