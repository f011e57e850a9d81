"""From an answer on the Ask tab to a run of its question: same pictures, same settings, one press."""

from __future__ import annotations

from typing import Any

import gradio as gr

from vqa.errors import InputError
from vqa.settings import Settings
from vqa.ui.ask.asking import AskOptions
from vqa.ui.ask.conversation import Conversation
from vqa.ui.lab.lab_form import LabForm
from vqa.ui.pictures.written import write

REPEATS = 20
WHICH = "(which, ...others) => [String(window.vqaAsked ?? ''), ...others]"
"""Puts the id of the answer that was pressed into the first of the values that go to the server."""


def render(prefix: str) -> tuple[gr.Button, gr.Textbox]:
    """Returns what the page's script presses when an answer's link was, and what names the answer; both unseen."""
    which = gr.Textbox("", visible="hidden", max_length=20)
    return gr.Button(visible="hidden", elem_id=f"{prefix}-from-answer"), which


def values(form: LabForm, which: str | None, conversation: Conversation | None, settings: Settings) -> list[Any]:
    """Returns values for all fields of the form that ask an answer's question again, as it was asked.

    Raises:
        InputError: the conversation that is shown has no such answer, or its pictures cannot be written.
    """
    shown = conversation or Conversation()
    by_id = {message.id: message for message in shown.messages}
    reply = next((each for each in shown.messages if str(each.id) == which and each.role == "assistant"), None)
    asked = by_id.get(reply.parent) if reply is not None and reply.parent is not None else None
    if reply is None or asked is None:
        raise InputError("event_unreadable")
    options = AskOptions.of(reply.asked)
    usual = {name: part.value for name, part in vars(form).items()}
    found: dict[str, Any] = {
        "images": [(write(image), None) for image in shown.until(asked.id).images()],
        "questions": " ".join(asked.text.split()),
        "n": min(REPEATS, settings.max_repeats),
        "temperature": options.temperature,
        "top_p": options.top_p,
        "seed": options.seed,
        "max_tokens": options.max_tokens or min(usual["max_tokens"], settings.max_tokens),
        "system": options.system,
    }
    return list((usual | found).values())
