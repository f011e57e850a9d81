"""Keeps what visitors send out of the log: Gradio would print the traceback of a refused event, data and all."""

from __future__ import annotations

import logging
import sys
import traceback
from types import SimpleNamespace
from typing import Any

import gradio.queueing
import gradio.routes

log = logging.getLogger("vqa.ui")


def one_line(*_: Any, **__: Any) -> None:
    """Logs which kind of error is being handled, without its message."""
    log.warning("an event was refused: %s", type(sys.exception()).__name__)


def keep_events_out_of_the_log() -> None:
    """Lets Gradio log one line for an event that it cannot handle; our own handlers log their faults themselves."""
    quiet = SimpleNamespace(**{**vars(traceback), "print_exc": one_line})
    for module in (gradio.queueing, gradio.routes):
        module.traceback = quiet  # type: ignore[attr-defined]
