"""The processes that an app under test has started."""

from __future__ import annotations

import psutil

DECODER = "vqa.media.decoding.child"


def works_below(app: psutil.Process) -> list[psutil.Process]:
    """What an app runs for an engine, a download or a check: all below it, without the children that decode pictures.

    Those stay for the next picture, and the first is there before anybody sent one.
    """
    kept = {process.pid for process in app.children() if _decodes(process)}
    return [process for process in app.children(recursive=True) if process.pid not in kept]


def _decodes(process: psutil.Process) -> bool:
    try:
        return any(DECODER in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False
