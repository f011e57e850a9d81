"""Pages of a PDF as pictures, rendered by a process of its own."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from vqa.errors import InputError
from vqa.media.images import ImageLimits, ImagePayload, payloads
from vqa.media.runner import decode
from vqa.media.treatment import Treatment, page_places

SECONDS = 20.0
"""How long rendering may take."""


def pdf_pages(
    path: Path, limits: ImageLimits, *, at_most: int, treatment: Treatment | None = None
) -> list[ImagePayload]:
    """Returns pages as PNG payloads: those that the treatment names, else the first ones.

    Raises:
        InputError: it is missing, too large, empty or damaged, takes too long, or the library is missing.
    """
    if not path.is_file():
        raise InputError("image_missing", path=path.name)
    if (size := path.stat().st_size) > limits.max_bytes:
        told, limit = f"{size / 1e6:.1f}", f"{limits.max_bytes / 1e6:.1f}"
        raise InputError("image_too_large", name=path.name, size=told, limit=limit)
    if importlib.util.find_spec("pypdfium2") is None:
        raise InputError("pdf_unsupported", name=path.name)
    chosen = (treatment or Treatment()).check()
    pages = page_places(chosen.pages)
    answered = decode(
        "pdf",
        name=path.name,
        seconds=SECONDS,
        slow="pdf_slow",
        once=True,
        path=str(path.resolve()),
        bounds=limits.bounds(),
        wanted=chosen.wanted(at_most),
        pages=pages,
        at_most=at_most,
    )
    return list(payloads(*answered, name=path.name, given_bytes=size))
