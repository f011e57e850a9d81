"""Turns samples into summaries, one by one as they land, so that ten thousand can be redrawn at any moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from vqa.answers import Answer, Sample
from vqa.lab.stats.agreement import LEVELS, Level, level_key, normalize_answer, shown_levels
from vqa.lab.stats.intervals import Interval, flip_interval
from vqa.lab.stats.paths import Path, divergence, margins
from vqa.lab.stats.summary import Candidate, Divergence, Drift, Group, Latency, LevelView, RunSummary, Summary
from vqa.lab.stats.timing import Timing

__all__ = [
    "LEVELS",
    "Candidate",
    "Divergence",
    "Drift",
    "Group",
    "Interval",
    "Latency",
    "Level",
    "LevelView",
    "RunSummarizer",
    "RunSummary",
    "Summarizer",
    "Summary",
    "flip_interval",
    "normalize_answer",
    "summarize",
    "summarize_run",
]

DETAILED = 200
"""Groups that are compared token by token; with more than that, no reader wants the rest."""
BROKEN = frozenset({"stream_broken", "stream_cut", "truncated"})


@dataclass(slots=True)
class _Bucket:
    """The samples of one group on one level."""

    number: int
    path: Path
    text: str
    finish_reason: str | None
    first: int
    indexes: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    made: tuple[bool, Group] | None = None
    """What was told last, and whether in detail: of ten thousand groups, few change from one redraw to the next."""

    def group(self, *, detailed: bool) -> Group:
        if self.made is not None and self.made[0] == detailed and self.made[1].count == len(self.indexes):
            return self.made[1]
        group = Group(
            self.number,
            len(self.indexes),
            tuple(self.indexes),
            tuple(self.ids),
            self.first,
            self.text,
            self.path.token_ids if detailed else None,
            self.finish_reason,
        )
        self.made = detailed, group
        return group


class Summarizer:
    """Takes the samples of one question in any order; adding one costs the same however many came before."""

    def __init__(self) -> None:
        self.n = 0
        self.failed = 0
        self._broken = 0
        self._cut = 0
        self._answers = 0
        self._shown: Counter[Level] = Counter()
        self._buckets: dict[Level, dict[bytes, _Bucket]] = {level: {} for level in LEVELS}
        self._paths: dict[bytes, Path] = {}
        self._kept = 0
        self._known: dict[int, tuple[Answer, dict[Level, bytes]]] = {}
        self._errors: Counter[str] = Counter()
        self._error_example = ""
        self._timing = Timing()
        self._cached: dict[int, int] = {}
        self._length = 0
        self._servers: dict[str, None] = {}
        self._prompts: dict[str, None] = {}
        self._image_tokens: dict[int, None] = {}
        self._sampled = 0

    def add(self, sample: Sample) -> None:
        """Takes in one sample; an error, or an answer with a fault, is never counted as an answer."""
        self.n += 1
        self._length = max(self._length, sample.index + 1)
        answer = sample.answer
        if answer is None or not counts(sample):
            self.failed += 1
            code = _why_not(answer) if sample.error is None else sample.error.code
            self._broken += code in BROKEN
            self._errors[code] += 1
            if sample.error is not None:
                self._error_example = self._error_example or sample.error.message
            return
        self._answers += 1
        self._cut += answer.finish_reason == "length"
        self._timing.add(sample, answer)
        if answer.cached_tokens is not None:
            self._cached[sample.index] = answer.cached_tokens
        self._origin(answer)
        self._classify(sample, answer)

    def _origin(self, answer: Answer) -> None:
        self._servers[f"{answer.model} {answer.system_fingerprint or ''}".strip()] = None
        if answer.prompt_token_ids_sha256 is not None:
            self._prompts[answer.prompt_token_ids_sha256] = None
        if answer.image_tokens is not None:
            self._image_tokens[answer.image_tokens] = None
        self._sampled += any(
            token.logprob < max((value for _, value in token.top), default=token.logprob)
            for token in answer.tokens or ()
        )

    def _classify(self, sample: Sample, answer: Answer) -> None:
        keys = self._keys(answer)
        path = self._path(keys.get(Level.TOKENS) or keys[Level.TEXT], answer)
        for level, key in keys.items():
            self._shown[level] += 1
            buckets = self._buckets[level]
            bucket = buckets.get(key)
            if bucket is None:
                bucket = buckets[key] = _Bucket(len(buckets), path, answer.all_text, answer.finish_reason, sample.index)
            bucket.first = min(bucket.first, sample.index)
            bucket.indexes.append(sample.index)
            bucket.ids.append(sample.id)

    def _keys(self, answer: Answer) -> dict[Level, bytes]:
        """Returns the answer's key on each level that it shows; remembered for answers that share their tokens.

        The store hands out one tuple of tokens for all bitwise identical answers.
        """
        known = self._known.get(id(answer.tokens))
        if known is not None and known[0].token_ids == answer.token_ids and known[0].parts == answer.parts:
            return known[1]
        keys = {level: level_key(answer, level) for level in shown_levels(answer)}
        if answer.tokens is not None and len(self._known) < DETAILED:
            self._known[id(answer.tokens)] = answer, keys
        return keys

    def _path(self, key: bytes, answer: Answer) -> Path:
        path = self._paths.get(key)
        if path is None:
            path = self._paths[key] = Path.of(answer, kept=self._kept < DETAILED)
            self._kept += path.answer is not None
            path.add(answer)
            return path
        path.add(answer)
        if path.answer is None:
            # A path that comes again may become the modal one, whose tokens are always shown.
            path.answer = answer
        return path

    def summary(self) -> Summary:
        """Returns what can be said by now."""
        views = {level: self._view(level) for level in LEVELS}
        level = next((level for level in LEVELS if views[level].holds), Level.NONE)
        display = Level.TOKENS if views[Level.TOKENS].visible else Level.TEXT
        order = self._by_size(display)
        modal = order[0] if order else None
        drift = self._drift(modal, order)
        tokens = modal.path.tokens if modal else None
        margin = margins(tokens) if tokens else ()
        return Summary(
            n=self.n,
            ok=self._answers,
            failed=self.failed,
            broken=self._broken,
            cut=self._cut,
            levels=views,
            level=level,
            compared=self._answers > 1,
            divergences=tuple(divergence(b.number, b.path, order[0].path) for b in order[1 : DETAILED + 1]),
            drift=drift,
            margins=margin,
            modal_tokens=tuple(token.text for token in tokens or ()),
            fragile=_fragile(margin, drift),
            leading=_leading(order, self._answers),
            latency=self._timing.latency(),
            seconds=tuple(self._timing.seconds.get(index) for index in range(self._length)),
            cached_tokens=tuple(self._cached.get(index) for index in range(self._length)),
            errors=dict(self._errors),
            error_example=self._error_example,
            servers=tuple(self._servers),
            prompts=tuple(self._prompts),
            image_tokens=tuple(self._image_tokens),
            together=self._timing.together(),
            not_most_probable=self._sampled,
        )

    def _by_size(self, level: Level) -> list[_Bucket]:
        return sorted(self._buckets[level].values(), key=lambda bucket: (-len(bucket.indexes), bucket.first))

    def _view(self, level: Level) -> LevelView:
        visible = self._answers > 0 and self._shown[level] == self._answers
        if not visible:
            return LevelView(level, False, (), flip_interval(0, 0))
        buckets = self._by_size(level)
        groups = tuple(bucket.group(detailed=place < DETAILED) for place, bucket in enumerate(buckets))
        return LevelView(level, True, groups, flip_interval(self._answers - groups[0].count, self._answers - 1))

    def _drift(self, modal: _Bucket | None, order: list[_Bucket]) -> Drift | None:
        if modal is None:
            return None
        found = [bucket.path.drift() for bucket in order]
        for bucket in order[1 : DETAILED + 1]:
            before, unit = bucket.path.leaves(modal.path)
            if unit == "token":
                found.append(bucket.path.drift_from(modal.path, before))
        told = [drift for drift in found if drift is not None]
        return max(told, key=lambda drift: drift.epsilon, default=None)


def _fragile(margin: tuple[float | None, ...], drift: Drift | None) -> tuple[int, ...]:
    if drift is None:
        return ()
    return tuple(place for place, value in enumerate(margin) if value is not None and value <= 2 * drift.epsilon)


def _leading(order: list[_Bucket], total: int) -> int:
    """Returns k when exactly the first k answers are outside the modal group, with k <= total / 3; else 0."""
    if not order:
        return 0
    outside = total - len(order[0].indexes)
    if not 0 < outside <= total / 3:
        return 0
    start = order[0].first
    return outside if all(index < start for bucket in order[1:] for index in bucket.indexes) else 0


def counts(sample: Sample) -> bool:
    """Returns whether a sample has an answer that counts: no error, and no fault of the answer."""
    return sample.error is None and sample.answer is not None and sample.answer.fault is None


def _why_not(answer: Answer | None) -> str:
    """Returns the code of why an answer without an error does not count."""
    fault = None if answer is None else answer.fault
    return "truncated" if fault in {None, "unfinished"} else f"answer_{fault}"


class RunSummarizer:
    """The same for several questions of one arm."""

    def __init__(self) -> None:
        self._questions: dict[int, Summarizer] = {}

    def add(self, sample: Sample) -> None:
        """Takes in one sample."""
        self._questions.setdefault(sample.question, Summarizer()).add(sample)

    def summary(self) -> RunSummary:
        """Returns what can be said by now."""
        return RunSummary(tuple(self._questions[number].summary() for number in sorted(self._questions)))


def summarize(samples: Iterable[Sample]) -> Summary:
    """Returns the summary of samples of one question; order does not matter, indexes may have holes."""
    summarizer = Summarizer()
    for sample in samples:
        summarizer.add(sample)
    return summarizer.summary()


def summarize_run(samples: Iterable[Sample]) -> RunSummary:
    """Returns the summaries of all questions of one arm."""
    summarizer = RunSummarizer()
    for sample in samples:
        summarizer.add(sample)
    return summarizer.summary()
