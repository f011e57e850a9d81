"""An answer on its way: what can end it, and what of it is kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from vqa.ui.ask import ask_views, asking
from vqa.ui.ask.conversation import Conversation, Message
from vqa.ui.ask.fit_note import Asked


@dataclass
class Running:
    """An answer on its way."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    left: bool = False
    """Whether the page shows something else by now."""


def reply_of(conversation: Conversation, last: asking.Piece, asked: Asked) -> Message:
    """Returns an answer, whole or as far as it came, as the message that the conversation keeps."""
    problem = ask_views.problem_of(last.problem) if last.problem is not None else None
    return Message(
        conversation.next_id(), conversation.leaf, "assistant", last.text, (), last.answer, asked.options.asked(),
        problem, last.stopped or not last.done,
    )  # fmt: skip


def place_of(index: Any) -> int:
    """Returns which message Gradio means: it names one by its place, or by that and a part within it."""
    return int(index[0] if isinstance(index, list | tuple) else index)
