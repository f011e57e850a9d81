"""What the page's own scripts tell with an event, read as something that anybody may have sent."""

from __future__ import annotations

from typing import TypeVar

import gradio as gr

from vqa.errors import InputError

Kind = TypeVar("Kind", bound=object)


def sent(event: gr.EventData, name: str, kind: type[Kind]) -> Kind:
    """Returns the value that the page's script gave an event under `name`.

    Gradio's own access by attribute breaks with a TypeError or AttributeError where an event comes without its data.

    Raises:
        InputError: there is none, or it is of another kind (True is no int): no page of ours sends this.
    """
    data = event._data
    value = data.get(name) if isinstance(data, dict) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError("event_unreadable")
    return value
