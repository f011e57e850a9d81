"""The lab as a library: repeat a question and look at what came back, without app, store or page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from vqa.answers import Sample, Sampling
from vqa.client import Client
from vqa.lab.diagnosis.verdict import engineer_sentence, manager_sentence
from vqa.lab.plan.arms import RunSpec
from vqa.lab.plan.plans import plan_repeat
from vqa.lab.run.runner import LabRunner
from vqa.lab.run.server import ServerView
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summarize import summarize_run
from vqa.lab.stats.summary import RunSummary
from vqa.media.images import ImagePayload, load_image
from vqa.text import Language

ImageSource = str | Path | bytes | ImagePayload


@dataclass(frozen=True)
class Repeats:
    """What `repeat` returns."""

    samples: tuple[Sample, ...]
    summary: RunSummary

    @property
    def level(self) -> Level:
        """The strongest level of the levels of agreement that holds."""
        return self.summary.level

    def holds(self, level: Level | str = Level.TEXT) -> bool | None:
        """Returns whether all answers are the same on `level`; None when that could not be told."""
        return self.summary.holds(Level(level))

    def sentence(self, language: Language = "en", *, technical: bool = False) -> str:
        """Returns the verdict in one sentence."""
        return (engineer_sentence if technical else manager_sentence)(self.summary, language)


def repeat(
    images: ImageSource | Iterable[ImageSource],
    questions: str | Iterable[str],
    *,
    n: int = 20,
    base_url: str = "http://127.0.0.1:8000/v1",
    api_key: str = "EMPTY",
    sampling: Sampling | None = None,
    on_sample: Callable[[Sample], object] | None = None,
    **fields: Any,
) -> Repeats:
    """Asks n times and returns samples and summary; `fields` are further ones of `RunSpec`, such as `concurrency`.

    Raises:
        InputError: an image, a question or a number cannot be used.
        ServerError: the server does not answer at all.
    """
    given = [images] if isinstance(images, str | Path | bytes | ImagePayload) else list(images)
    payloads = tuple(image if isinstance(image, ImagePayload) else load_image(image) for image in given)
    asked = (questions,) if isinstance(questions, str) else tuple(questions)
    spec = RunSpec(asked, payloads, n=n, sampling=sampling or Sampling(), **fields)

    async def collect() -> list[Sample]:
        landed = []
        async with aclosing(stream_samples(spec, base_url, api_key)) as samples:
            async for sample in samples:
                landed.append(sample)
                if on_sample is not None:
                    on_sample(sample)
        return landed

    landed = tuple(asyncio.run(collect()))
    return Repeats(landed, summarize_run(landed))


async def stream_samples(spec: RunSpec, base_url: str, api_key: str = "EMPTY") -> AsyncGenerator[Sample]:
    """Yields each sample of a repeat run as it lands; closing the iterator aborts what is under way.

    Raises:
        InputError: the spec cannot be run.
        ServerError: the server does not answer at all.
    """
    async with Client(base_url, api_key, model=spec.model, tries_fields=True) as client:
        plan = plan_repeat(spec, await ServerView(client).capabilities(learn=spec.cache != "as_is"))
        async with aclosing(LabRunner(plan, client, nonce=uuid4().hex).run()) as samples:
            async for sample in samples:
                yield sample
