"""A choice whose choices change while it is shown."""

from __future__ import annotations

from typing import Any

import gradio as gr


def chooser(**options: Any) -> gr.Radio:
    """Returns a hidden radio whose handlers get whatever text or whole number was chosen, else None.

    Gradio answers HTTP 500 where a choice is none of those that it knows by now, and so at every tick once another run
    with other choices is shown. What the value means now is the handler's to look up.
    """
    radio = gr.Radio(visible=False, **options)
    radio.preprocess = _plain  # type: ignore[method-assign]
    return radio


def _plain(payload: Any) -> Any:
    return payload if isinstance(payload, str | int) and not isinstance(payload, bool) else None
