"""The first frames of a video as pictures, decoded by a process of its own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from vqa.errors import InputError
from vqa.media.images import ImageLimits, ImagePayload, load_image

SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv")
FRAMES = 4
FIRST_SECONDS = 10.0
SECONDS = 20
"""How long decoding may take; the same on every processor of it."""
AT_ONCE = threading.BoundedSemaphore(2)
"""Decoding takes the processors that the engine needs."""


def is_video(path: Path) -> bool:
    """Returns whether a file has frames to choose from: a video by its name, or an animated GIF."""
    if path.suffix.lower() in SUFFIXES:
        return True
    if path.suffix.lower() != ".gif":
        return False
    try:
        with Image.open(path, formats=("GIF",)) as picture:
            return bool(getattr(picture, "is_animated", False))
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        return False  # whoever loads it as a picture says what is wrong with it


def video_frames(path: Path, limits: ImageLimits, *, at_most: int = FRAMES) -> list[ImagePayload]:
    """Returns frames evenly spaced over the first ten seconds, as PNG payloads whose names say their times.

    Raises:
        InputError: it is missing, too large, no video, damaged, takes too long, or the library is missing.
    """
    if not path.is_file():
        raise InputError("image_missing", path=path.name)
    if path.stat().st_size > limits.max_bytes:
        size, limit = f"{path.stat().st_size / 1e6:.1f}", f"{limits.max_bytes / 1e6:.1f}"
        raise InputError("video_too_large", name=path.name, size=size, limit=limit)
    if importlib.util.find_spec("av") is None:
        raise InputError("video_unsupported", name=path.name)
    kind = _kind(path)
    if kind is None:
        raise InputError("video_unknown", name=path.name)
    if not AT_ONCE.acquire(timeout=SECONDS):
        raise InputError("video_busy")
    try:
        with tempfile.TemporaryDirectory(prefix="vqa-video-") as folder:
            asked = {"path": str(path), "kind": kind, "folder": folder, "at_most": at_most}
            report = _decode(asked | {"first_seconds": FIRST_SECONDS, "max_pixels": limits.max_pixels}, path.name)
            if not report["frames"]:
                raise InputError("video_empty", name=path.name)
            return [
                load_image(Path(file), limits, name=f"{path.stem[:60]} {seconds:.2f} s.png")
                for file, seconds in report["frames"]
            ]
    finally:
        AT_ONCE.release()


def _kind(path: Path) -> str | None:
    """Returns the demuxer for what the file begins with; playlists and the like, which name other files, have none."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free"}:
        return "mov"
    return "matroska" if head.startswith(b"\x1aE\xdf\xa3") else "gif" if head.startswith(b"GIF8") else None


def _decode(video: Any, name: str) -> Any:
    command = [sys.executable, "-P", str(Path(__file__).with_name("video_child.py"))]
    request = json.dumps({"seconds": SECONDS, "video": video}) + "\n"
    try:
        done = subprocess.run(command, input=request, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as problem:
        raise InputError("video_slow", name=name, seconds=SECONDS) from problem
    try:
        report = json.loads(done.stdout)
    except ValueError as problem:
        raise InputError("video_damaged", name=name, reason=f"exit status {done.returncode}") from problem
    if code := report.get("code"):
        limit = video["max_pixels"] // 1_000_000
        raise InputError(code, name=name, reason=report.get("reason", ""), limit=limit)
    return report
