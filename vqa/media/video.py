"""The first frames of a video as pictures, decoded by a process of its own."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from vqa.errors import InputError
from vqa.media.images import ImageLimits, ImagePayload, payloads, read_source
from vqa.media.runner import decode

SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv")
FRAMES = 4
FIRST_SECONDS = 10.0
SECONDS = 20.0
"""How long decoding may take; the same on every processor of it."""


def is_video(path: Path) -> bool:
    """Returns whether a file has frames to choose from: a video by its name, or an animated GIF."""
    if path.suffix.lower() in SUFFIXES:
        return True
    if path.suffix.lower() != ".gif":
        return False
    try:
        data, name = read_source(path, ImageLimits())
        answered, _ = decode("count", [data], name=name)
    except InputError:
        return False  # whoever loads it as a picture says what is wrong with it
    return bool(answered["format"] == "GIF" and answered["count"] > 1)


def video_frames(path: Path, limits: ImageLimits, *, at_most: int = FRAMES) -> list[ImagePayload]:
    """Returns frames evenly spaced over the first ten seconds, as PNG payloads whose names say their times.

    Raises:
        InputError: it is missing, too large, no video, damaged, takes too long, or the library is missing.
    """
    if not path.is_file():
        raise InputError("image_missing", path=path.name)
    if (size := path.stat().st_size) > limits.max_bytes:
        told, limit = f"{size / 1e6:.1f}", f"{limits.max_bytes / 1e6:.1f}"
        raise InputError("video_too_large", name=path.name, size=told, limit=limit)
    if importlib.util.find_spec("av") is None:
        raise InputError("video_unsupported", name=path.name)
    kind = _kind(path)
    if kind is None:
        raise InputError("video_unknown", name=path.name)
    answered = decode(
        "video",
        name=path.name,
        seconds=SECONDS,
        slow="video_slow",
        once=True,
        path=str(path.resolve()),
        kind=kind,
        bounds=limits.bounds(),
        at_most=at_most,
        first_seconds=FIRST_SECONDS,
    )
    found = payloads(*answered, name=path.name, given_bytes=size)
    if not found:
        raise InputError("video_empty", name=path.name)
    return list(found)


def _kind(path: Path) -> str | None:
    """Returns the demuxer for what the file begins with; playlists and the like, which name other files, have none."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free"}:
        return "mov"
    return "matroska" if head.startswith(b"\x1aE\xdf\xa3") else "gif" if head.startswith(b"GIF8") else None
