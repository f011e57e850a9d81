"""A run of ten thousand samples as a server that mostly repeats itself would leave it; asks nobody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from vqa.answers import Answer, Sample, Token
from vqa.lab.report.export import Report
from vqa.store import Run

LONG = 10_000
VARIANTS = 300
WORDS = [f"word{place}" for place in range(31)]
"""With the word that differs, 32 tokens an answer."""


def samples(count: int = LONG) -> Iterator[Sample]:
    """Yields samples of which every twentieth says one of VARIANTS other things; logprobs take three values."""
    for index in range(count):
        variant = index % VARIANTS if index % 20 == 0 else 0
        yield Sample(
            "repeat", index, _answer([*WORDS, f"v{variant}"], -0.1 - index % 3 / 1000, 0.5 + index % 11 / 10),
            started_at=float(index), concurrency=8,
        )  # fmt: skip


def _answer(words: list[str], logprob: float, seconds: float) -> Answer:
    return Answer(
        text=" ".join(words),
        finish_reason="stop",
        tokens=tuple(Token(word, logprob, ((word, logprob), ("?", -2.0))) for word in words),
        token_ids=(*range(len(words) - 1), int(words[-1][1:]) + 100),
        model="vqa-demo",
        seconds=seconds,
        seconds_to_first_token=seconds / 2,
        completion_tokens=len(words),
    )


def report(count: int = LONG) -> Report:
    """Returns such a run as it is stored, without a picture."""
    now = datetime.now(UTC)
    spec = {"questions": ["What?"], "images": [], "n": count, "concurrency": 8, "sampling": {"temperature": 0.0}}
    header = {"model": "vqa-demo", "base_url": "http://127.0.0.1:8000/v1"}
    run = Run(f"bench{count}", "repeat", "", "finished", now, now, header, {"spec": spec}, None, None, count)
    return Report(run, tuple(sample.stored_as(place) for place, sample in enumerate(samples(count), 1)))
