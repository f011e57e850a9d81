"""The values that a diagnosis is made of: verdict, causes with their confidence, evidence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vqa.answers import Json
from vqa.lab.stats.agreement import Level


class Verdict(StrEnum):
    """What was seen, before any cause."""

    IDENTICAL = "identical"
    """Every arm that counts gave the same tokens (or texts), and logprobs did not move."""
    DRIFT = "drift"
    """The same tokens everywhere, but logprobs moved."""
    DIFFERS = "differs"
    """Some arm gave different answers."""
    CANNOT_DETECT = "cannot_detect"
    """Even temperature 1 gave one answer: this set-up shows no difference if there were one."""
    CANNOT_TELL = "cannot_tell"
    """Too little was answered: failed requests, or no arm with two answers."""
    INVALID = "invalid"
    """The server changed in mid-run."""
    SEVERAL = "several"
    """More than one server answers behind the address."""


class Cause(StrEnum):
    """Rows of lab.md's diagnosis table."""

    NONE = "none"
    COLD_PREFIX_CACHE = "cold_prefix_cache"
    PREFIX_CACHE_HISTORY = "prefix_cache_history"
    """What was asked before, and left blocks of the prompt's beginning in the prefix cache."""
    START_UP = "start_up"
    BATCH_COMPOSITION = "batch_composition"
    OTHER_TRAFFIC = "other_traffic"
    PREPROCESSING = "preprocessing"
    NOT_GREEDY = "not_greedy"
    DRIFT = "drift_below_margin"
    SERVER_CHANGED = "server_changed"
    UNEXPLAINED = "unexplained"
    """Some arm answered otherwise than the lone requests, and no cause that was found is the reason."""
    UNKNOWN = "unknown"


class Confidence(StrEnum):
    """How sure a cause is."""

    CONFIRMED = "confirmed"
    """The experiment that singles it out was run and agrees."""
    CONSISTENT = "consistent"
    """What was seen fits, but the experiment was not run, or not possible here."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class AnswerClass:
    """Answers of an arm that found equally much in the prefix cache and are the same."""

    cached: int | None
    """Tokens; None where the server does not tell."""
    answer: int
    """Its number over all arms that should agree: 0 is the most frequent one."""
    count: int


@dataclass(frozen=True)
class Evidence:
    """One arm's row in the evidence table."""

    arm: str
    n: int
    ok: int
    failed: int
    distinct: int
    """Distinct answers on the level `level`, over all questions of the run the largest number."""
    level: Level
    """On which answers were told apart: tokens, or text where no token ids are shown."""
    holds: Level
    """The strongest level that holds within the arm."""
    equals_repeat: bool | None
    """Whether its modal answers are those of the repeat arm; None for arms where that means nothing."""
    cached_low: int | None
    cached_high: int | None
    """Least and most prefix-cache hits in tokens; None when not reported."""
    median_seconds: float | None
    throughput: float | None
    invalid: str | None = None
    """Why the arm's premise did not hold: a text key below `lab.`; None when it counts."""
    together: int | None = None
    """How many requests really ran together at most; None for arms without a load, and where nothing tells."""
    classes: tuple[AnswerClass, ...] = ()
    """Which answer came with how much from the prefix cache, of the first question; empty in older runs."""


@dataclass(frozen=True)
class Finding:
    """One cause with what speaks for it; a server can have several at once."""

    cause: Cause
    confidence: Confidence
    values: dict[str, Json]
    """Fills the placeholders of the texts `lab.cause_<cause>_why` and `lab.cause_<cause>_remedy`."""
    profiles: tuple[str, ...] = ()
    """Engine profiles that should cure it, the likeliest first."""


@dataclass(frozen=True)
class Diagnosis:
    """What Diagnose ends in."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    """Strongest first; empty when nothing differed."""
    evidence: tuple[Evidence, ...]
    values: dict[str, Json]
    """Fills the verdict's text `lab.verdict_<verdict>`: n, arms, bound, epsilon, position …"""

    @property
    def cause(self) -> Cause:
        """The first finding's cause, or NONE."""
        return self.findings[0].cause if self.findings else Cause.NONE

    @property
    def confidence(self) -> Confidence:
        """The first finding's confidence; UNKNOWN without a finding."""
        return self.findings[0].confidence if self.findings else Confidence.UNKNOWN

    @property
    def profiles(self) -> tuple[str, ...]:
        """Profiles to offer, without repeats: those that cure the most findings first, then the likeliest."""
        offered = [name for finding in self.findings for name in finding.profiles]
        return tuple(sorted(dict.fromkeys(offered), key=lambda name: -offered.count(name)))

    @property
    def invalid_arms(self) -> tuple[str, ...]:
        """Arms whose premise did not hold."""
        return tuple(row.arm for row in self.evidence if row.invalid)
