"""Pages of a PDF as pictures, rendered by a process of its own."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from vqa.errors import InputError
from vqa.media.images import ImageLimits, ImagePayload, load_image

SECONDS = 20
"""How long rendering may take."""
OUT_OF_TIME = {-signal.SIGXCPU, -signal.SIGKILL}
"""How a process ends that used up its seconds of a processor."""
AT_ONCE = threading.BoundedSemaphore(2)
"""Rendering takes the processors that the engine needs."""


def pdf_pages(path: Path, limits: ImageLimits, *, at_most: int) -> list[ImagePayload]:
    """Returns the first pages as PNG payloads.

    Raises:
        InputError: it is missing, too large, empty or damaged, takes too long, or the library is missing.
    """
    if not path.is_file():
        raise InputError("image_missing", path=path.name)
    if path.stat().st_size > limits.max_bytes:
        size, limit = f"{path.stat().st_size / 1e6:.1f}", f"{limits.max_bytes / 1e6:.1f}"
        raise InputError("image_too_large", name=path.name, size=size, limit=limit)
    if importlib.util.find_spec("pypdfium2") is None:
        raise InputError("pdf_unsupported", name=path.name)
    if not AT_ONCE.acquire(timeout=SECONDS):
        raise InputError("pdf_busy")
    try:
        with tempfile.TemporaryDirectory(prefix="vqa-pdf-") as folder:
            files = _render(path, {"folder": folder, "at_most": at_most, "max_side": limits.max_side})
            return [
                load_image(Path(file), limits, name=f"{path.stem}-{place}.png") for place, file in enumerate(files, 1)
            ]
    finally:
        AT_ONCE.release()


def _render(path: Path, wanted: dict[str, object]) -> list[str]:
    command = [sys.executable, "-P", str(Path(__file__).with_name("pdf_child.py"))]
    request = json.dumps({"seconds": SECONDS, "pdf": {"path": str(path), **wanted}}) + "\n"
    try:
        done = subprocess.run(command, input=request, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as problem:
        raise InputError("pdf_slow", name=path.name, seconds=SECONDS) from problem
    if done.returncode in OUT_OF_TIME:
        raise InputError("pdf_slow", name=path.name, seconds=SECONDS)
    try:
        report = json.loads(done.stdout)
    except ValueError as problem:
        raise InputError("image_damaged", name=path.name, reason=f"exit status {done.returncode}") from problem
    if not report.get("pages"):
        raise InputError("image_damaged", name=path.name, reason=report.get("reason", "0"))
    return list(report["pages"])
