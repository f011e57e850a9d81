"""`vqa page`: the page of app.py, from wherever the package is installed."""

from __future__ import annotations

import os
from importlib.util import find_spec

import typer

from vqa.errors import InputError

QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
"""What keeps gradio and the hub's client from telling anybody anything; they read it when they are imported."""


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command()(page)


def page() -> int:
    """Open the page in this terminal until Ctrl-C; its engine ends with it unless told otherwise."""
    if find_spec("gradio") is None:
        raise InputError("page_not_installed")
    os.environ |= QUIET
    from vqa.cli.serving import main

    return main()
