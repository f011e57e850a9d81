"""The values that a summary is made of: groups, levels, divergences, drift, latency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vqa.lab.stats.agreement import LEVELS, Level
from vqa.lab.stats.intervals import Interval, flip_interval


@dataclass(frozen=True, slots=True)
class Group:
    """Samples that are the same on one level."""

    key: int
    """Number of the group on its level, from 0, in the order in which the groups were first seen."""
    count: int
    indexes: tuple[int, ...]
    """The places of its samples in the arm, in order of landing."""
    sample_ids: tuple[int, ...]
    """The same samples in the store (0 for one that is not stored)."""
    first_index: int
    """The lowest of its indexes."""
    text: str
    token_ids: tuple[int, ...] | None
    """None when not shown, and in groups after the 200 largest."""
    finish_reason: str | None


@dataclass(frozen=True)
class Candidate:
    """One of the tokens that stood to choose, with its logprob in nats."""

    text: str
    logprob: float


@dataclass(frozen=True)
class Divergence:
    """Where a group leaves the modal one (first differing token, arXiv 2506.09501)."""

    group: int
    """`Group.key` on the tokens level, or on the text level when no token ids are shown."""
    index: int
    """Token position from 0; a length mismatch counts at the shorter length. Characters when no tokens are shown."""
    unit: str
    """`token` or `character`."""
    modal_top: tuple[Candidate, ...] = ()
    """The best candidates there in the modal answer, best first."""
    group_top: tuple[Candidate, ...] = ()
    margin: float | None = None
    """logprob(top 1) - logprob(top 2) of the modal answer there, in nats."""


@dataclass(frozen=True)
class Drift:
    """How far logprobs moved between samples at positions before they diverged, texts equal or not."""

    epsilon: float
    """Largest |difference|, in nats."""
    position: int
    """Token position of it."""


@dataclass(frozen=True)
class LevelView:
    """What one level of the levels says."""

    level: Level
    visible: bool
    """Whether every counted sample shows it."""
    groups: tuple[Group, ...]
    """Largest first, ties by the lowest index; empty when not visible."""
    interval: Interval

    @property
    def holds(self) -> bool | None:
        """Whether all samples are the same on this level; None when it is not shown or nothing was compared."""
        if not self.visible or self.interval.comparisons == 0:
            return None
        return len(self.groups) == 1

    @property
    def distinct(self) -> int:
        """The number of groups."""
        return len(self.groups)

    @property
    def modal_share(self) -> float | None:
        """Largest group over all counted samples; None without any."""
        total = sum(group.count for group in self.groups)
        return self.groups[0].count / total if total else None


@dataclass(frozen=True)
class Latency:
    """Seconds by the client's clock; None where nothing was measured."""

    first: float | None = None
    median: float | None = None
    p95: float | None = None
    first_token_first: float | None = None
    first_token_median: float | None = None
    throughput: float | None = None
    """Answered requests a second of the time in which at least one was under way."""
    tokens_per_second: float | None = None
    """Completion tokens of all requests a second of the same time."""


@dataclass(frozen=True)
class Summary:
    """All samples of one question under one arm (or under several arms taken together)."""

    n: int
    """Samples recorded, failed ones included."""
    ok: int
    """Samples with an answer that counts."""
    failed: int
    """Samples without: errors of any kind, broken streams included. They are never answers."""
    broken: int
    """Those of the failed whose stream broke in mid-answer."""
    cut: int
    """Answers that ended because max_tokens was reached: they count, but what would follow was not seen."""
    levels: Mapping[Level, LevelView]
    """All four, whether visible or not."""
    level: Level
    """The strongest visible level that holds over all counted samples; NONE also when nothing was compared."""
    compared: bool
    """Whether there were at least two answers."""
    divergences: tuple[Divergence, ...]
    """One for each group but the modal one, on the tokens level if visible, else on the text level; at most 200."""
    drift: Drift | None
    """None when no logprobs are shown or fewer than two answers were compared."""
    margins: tuple[float | None, ...]
    """m_j = logprob(top 1) - logprob(top 2) along the modal answer; None where fewer than two were reported."""
    modal_tokens: tuple[str, ...]
    """The modal answer's tokens as text, in step with `margins`; empty without logprobs."""
    fragile: tuple[int, ...]
    """Positions of the modal answer with m_j <= 2 epsilon: not flipped yet, but they could."""
    leading: int
    """k when the first k samples differ from the rest and all the rest agree (k <= N/3), else 0."""
    latency: Latency
    seconds: tuple[float | None, ...]
    """Seconds of each sample by index; None for a failed or missing one."""
    cached_tokens: tuple[int | None, ...]
    """Prefix-cache hits of each sample by index, in tokens; None when not reported."""
    errors: Mapping[str, int]
    """How many failed, by error code."""
    error_example: str = ""
    servers: tuple[str, ...] = ()
    """Every `model` and `system_fingerprint` that answers carried, 'model fingerprint'; more than one: invalid."""
    prompts: tuple[str, ...] = ()
    """Every SHA-256 of the prompt's token ids; more than one means that requests were prepared differently."""
    image_tokens: tuple[int, ...] = ()
    """Every number of image tokens reported."""
    together: int | None = None
    """The most answers under way at once, each between its first and its last token; None where that is not told."""
    not_most_probable: int = 0
    """Answers in which some chosen token was not the most probable one: greedy decoding without penalties has none."""

    @property
    def first_differs(self) -> bool:
        """Whether the first sample alone differs and all later ones agree."""
        return self.leading == 1

    @property
    def display_level(self) -> Level:
        """The level on which groups are shown: tokens when visible, else text."""
        return Level.TOKENS if self.levels[Level.TOKENS].visible else Level.TEXT

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups on the display level, largest first."""
        return self.levels[self.display_level].groups

    @property
    def visible(self) -> tuple[Level, ...]:
        """The visible levels, strongest first."""
        return tuple(level for level in LEVELS if self.levels[level].visible)

    @property
    def modal(self) -> Group | None:
        """The largest group on the display level."""
        return self.groups[0] if self.groups else None

    @property
    def changed(self) -> bool:
        """Whether answers came from servers that call themselves differently: such a run is invalid."""
        return len(self.servers) > 1

    def holds(self, level: Level) -> bool | None:
        """Returns whether `level` holds; None when that could not be told.

        A weaker visible level that fails refutes a stronger one that is not shown. Failed requests without any
        difference leave it open, and so does a server that changed.
        """
        if self.changed:
            return None
        weaker = [self.levels[step].holds for step in LEVELS if step.height <= level.height]
        if not weaker:
            return True
        if False in weaker:
            return False
        if self.failed or weaker[0] is None:
            return None
        return True

    def cells(self, level: Level | None = None) -> tuple[int | None, ...]:
        """Returns for each index the number of its group (0 = modal, then by size); None for failed or missing."""
        cells: list[int | None] = [None] * len(self.seconds)
        for place, group in enumerate(self.levels[level or self.display_level].groups):
            for index in group.indexes:
                cells[index] = place
        return tuple(cells)


@dataclass(frozen=True)
class RunSummary:
    """One arm over all questions of a run."""

    questions: tuple[Summary, ...]
    """By `Sample.question`."""

    @property
    def n(self) -> int:
        """Samples recorded."""
        return sum(each.n for each in self.questions)

    @property
    def ok(self) -> int:
        """Samples with an answer."""
        return sum(each.ok for each in self.questions)

    @property
    def failed(self) -> int:
        """Samples without one."""
        return sum(each.failed for each in self.questions)

    @property
    def cut(self) -> int:
        """Answers that ended at max_tokens."""
        return sum(each.cut for each in self.questions)

    @property
    def level(self) -> Level:
        """The strongest level that holds for every question."""
        return min((each.level for each in self.questions), key=lambda level: level.height, default=Level.NONE)

    @property
    def visible(self) -> tuple[Level, ...]:
        """The levels that every question shows, strongest first."""
        return tuple(level for level in LEVELS if all(level in each.visible for each in self.questions))

    @property
    def servers(self) -> tuple[str, ...]:
        """Every name that answers carried, over all questions; see `Summary.servers`."""
        return tuple(dict.fromkeys(server for each in self.questions for server in each.servers))

    @property
    def changed(self) -> bool:
        """Whether answers came from servers that call themselves differently."""
        return len(self.servers) > 1

    def tar(self, level: Level) -> float | None:
        """Returns the total agreement rate: the share of questions whose answers all agree (arXiv 2408.04667).

        TARr@N is `tar(Level.TEXT)`, TARa@N is `tar(Level.ANSWER)`. Questions with fewer than two answers do not
        count; None when there is no other.
        """
        told = [view.holds for view in (each.levels[level] for each in self.questions) if view.holds is not None]
        return sum(told) / len(told) if told else None

    def interval(self, level: Level) -> Interval:
        """Returns the interval for the flips of all questions together."""
        views = [each.levels[level].interval for each in self.questions]
        return flip_interval(sum(view.flips for view in views), sum(view.comparisons for view in views))

    def holds(self, level: Level) -> bool | None:
        """Returns whether `level` holds for every question; None when that could not be told."""
        if self.changed:
            return None
        told = [each.holds(level) for each in self.questions]
        if False in told:
            return False
        return None if None in told or not told else True
