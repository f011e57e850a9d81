"""Pictures, answers and samples made to order."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence

from PIL import Image, ImageDraw

from vqa.answers import Answer, Sample, SampleError, Token
from vqa.media.images import ImagePayload, load_image

CERTIFICATES = (
    "cpu-certificate",
    "h100-certificate",
    "h200-certificate",
    "h100-tensor-parallel-1",
    "h100-tensor-parallel-2",
)
"""The recorded runs that are certificates; `test_recorded` holds that there is no other."""


def picture() -> ImagePayload:
    canvas = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(canvas).ellipse((16, 16, 48, 48), fill=(220, 30, 30))
    out = io.BytesIO()
    canvas.save(out, "PNG")
    return load_image(out.getvalue(), name="circle.png")


def answer(
    words: Sequence[str] | str,
    *,
    logprobs: Sequence[float] | None = None,
    second: float = -2.0,
    ids: bool = True,
    shown: bool = True,
    finish_reason: str | None = "stop",
    cached: int | None = None,
    seconds: float = 0.1,
) -> Answer:
    """An answer whose tokens are the words; token ids are made from the words."""
    tokens = words.split() if isinstance(words, str) else list(words)
    values = list(logprobs) if logprobs is not None else [-0.1] * len(tokens)
    told = tuple(Token(word, value, ((word, value), ("?", second))) for word, value in zip(tokens, values, strict=True))
    return Answer(
        text=" ".join(tokens),
        finish_reason=finish_reason,
        tokens=told if shown else None,
        token_ids=tuple(zlib.crc32(word.encode()) for word in tokens) if ids else None,
        cached_tokens=cached,
        model="m",
        seconds=seconds,
        seconds_to_first_token=seconds / 2,
        completion_tokens=len(tokens),
    )


def samples(*answers: Answer | str, arm: str = "repeat", question: int = 0) -> list[Sample]:
    load = arm.rpartition("_")[2] if "concurrent_" in arm else "1"  # so many begin together
    return [
        Sample(
            arm,
            index,
            answer(each) if isinstance(each, str) else each,
            question=question,
            started_at=float(index // int(load)),
        )
        for index, each in enumerate(answers)
    ]


def failed(index: int, *, arm: str = "repeat", code: str = "server_failed") -> Sample:
    return Sample(arm, index, None, SampleError(code, "it failed"))
