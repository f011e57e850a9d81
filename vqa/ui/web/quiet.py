"""Keeps Gradio quiet: the traceback of a refused event, data and all, out of the log, and an idle page off the core."""

from __future__ import annotations

import logging
import sys
import traceback
from types import SimpleNamespace
from typing import Any

import gradio as gr
import gradio.queueing
import gradio.routes

QUEUE_SECONDS, PROGRESS_SECONDS = 0.005, 0.25
"""An event waits half of the first on average; of Gradio's progress bars there is none on the page."""

log = logging.getLogger("vqa.ui")


def one_line(*_: Any, **__: Any) -> None:
    """Logs which kind of error is being handled, without its message."""
    log.warning("an event was refused: %s", type(sys.exception()).__name__)


def keep_events_out_of_the_log() -> None:
    """Lets Gradio log one line for an event that it cannot handle; our own handlers log their faults themselves."""
    quiet = SimpleNamespace(**{**vars(traceback), "print_exc": one_line})
    for module in (gradio.queueing, gradio.routes):
        module.traceback = quiet  # type: ignore[attr-defined]


def look_less_often(page: gr.Blocks) -> None:
    """Lets the queue, which looks for new events a thousand times a second, do so two hundred times."""
    page._queue.sleep_when_free = QUEUE_SECONDS
    page._queue.progress_update_sleep_when_free = PROGRESS_SECONDS
