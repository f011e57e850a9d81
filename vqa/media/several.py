"""Pictures of files of any kind: one of a picture, pages of a PDF or TIFF, frames of a video. Knows no page of ours."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from vqa.errors import InputError
from vqa.media.images import ImageLimits, ImagePayload, load_tiles, payloads, read_source
from vqa.media.pdf import pdf_pages
from vqa.media.runner import decode
from vqa.media.treatment import Treatment, page_places
from vqa.media.video import FRAMES, is_video, video_frames

MAX_PICTURES = 16
"""Pictures that one question may carry."""
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_document(path: Path) -> bool:
    """Returns whether a file has pages to choose from: a PDF, or a TIFF of several."""
    if path.suffix.lower() == ".pdf":
        return True
    try:
        if not path.is_file():  # opening a pipe that nobody writes into would wait without end
            return False
        with path.open("rb") as file:
            if file.read(4) not in TIFF_STARTS:
                return False
        data, name = read_source(path, ImageLimits())
        return int(decode("count", [data], name=name)[0]["count"]) > 1
    except (OSError, InputError):
        return False  # whoever loads it says what is wrong with it


def has_several(path: Path) -> bool:
    """Returns whether a file gives several pictures: a PDF or TIFF its pages, a video its frames."""
    return is_video(path) or is_document(path)


def tiff_pages(
    source: Path | bytes, limits: ImageLimits, *, at_most: int, name: str = "", treatment: Treatment | None = None
) -> tuple[ImagePayload, ...]:
    """Returns pages of a TIFF: those that the treatment names, else the first ones.

    Raises:
        InputError: it cannot be used, or has none of these pages.
    """
    chosen = (treatment or Treatment()).check()
    data, name = read_source(source, limits, name)
    wanted, pages = chosen.wanted(at_most), page_places(chosen.pages)
    answered = decode("tiff", [data], name=name, bounds=limits.bounds(), wanted=wanted, pages=pages, at_most=at_most)
    return payloads(*answered, name=name, given_bytes=len(data))


def load_pictures(
    paths: Iterable[str | Path],
    limits: ImageLimits,
    *,
    frames: int = FRAMES,
    treatment: Treatment | None = None,
    at_most: int = MAX_PICTURES,
) -> tuple[ImagePayload, ...]:
    """Returns the pictures in the given files, checked; a document gives its pages, a video its first `frames` frames.

    Raises:
        InputError: one is no usable picture, or there are too many.
    """
    loaded: list[ImagePayload] = []
    for path in map(Path, paths):
        room = at_most - len(loaded)
        if room <= 0:
            raise InputError("too_many_pictures", limit=at_most)
        loaded += load_file(path, limits, frames=frames, treatment=treatment, at_most=room)
    return tuple(loaded)


def load_data(
    data: bytes,
    name: str,
    limits: ImageLimits,
    *,
    treatment: Treatment | None = None,
    at_most: int = MAX_PICTURES,
) -> tuple[ImagePayload, ...]:
    """Returns the pictures in what was fetched from somewhere, as `load_file` does of a file of that name."""
    suffix = ".pdf" if data.startswith(b"%PDF") else Path(name).suffix[:8]
    with tempfile.TemporaryDirectory(prefix="vqa-picture-") as folder:
        path = Path(folder) / f"{Path(name).stem[:60] or 'image'}{suffix}"
        path.write_bytes(data)
        return load_file(path, limits, treatment=treatment, at_most=at_most)


def load_file(
    path: Path,
    limits: ImageLimits,
    *,
    frames: int = FRAMES,
    treatment: Treatment | None = None,
    at_most: int = MAX_PICTURES,
) -> tuple[ImagePayload, ...]:
    """Returns the pictures in one file."""
    if path.suffix.lower() == ".pdf":
        return tuple(pdf_pages(path, limits, at_most=at_most, treatment=treatment))
    if is_video(path):
        return tuple(video_frames(path, limits, at_most=min(at_most, frames)))
    if is_document(path):
        return tiff_pages(path, limits, at_most=at_most, treatment=treatment)
    return load_tiles(path, limits, treatment=treatment, at_most=at_most)
