"""An answer on its way: what can end it, and what of it is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vqa.answers import Json
from vqa.ui.ask import ask_views, asking
from vqa.ui.ask.conversation import BESIDE, Conversation, Message
from vqa.ui.ask.fit_note import Asked


@dataclass
class Running:
    """An answer on its way."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    left: bool = False
    """Whether the page shows something else by now."""


def replies(
    conversation: Conversation, last: asking.Piece, other: asking.Piece | None, asked: Asked
) -> tuple[Callable[[Conversation], Message], ...]:
    """Returns what makes an answer, whole or as far as it came, a message of the conversation as it is by then.

    The one beside it comes first, so that the answer itself can name it.
    """
    parent = conversation.leaf

    def message(piece: asking.Piece, to: Conversation, settings: tuple[tuple[str, Json], ...]) -> Message:
        problem = ask_views.problem_of(piece.problem) if piece.problem is not None else None
        stopped = piece.stopped or not piece.done
        return Message(to.next_id(), parent, "assistant", piece.text, (), piece.answer, settings, problem, stopped)

    mine, beside = asked.options.asked(), asked.beside
    if other is None or beside is None:
        return (lambda to: message(last, to, mine),)
    where = (("server", beside.address),) if beside.address else ()
    return (
        lambda to: message(other, to, (*beside.options.asked(), *where)),
        lambda to: message(last, to, (*mine, (BESIDE, to.leaf))),
    )


def place_of(index: Any) -> int:
    """Returns which message Gradio means: it names one by its place, or by that and a part within it."""
    return int(index[0] if isinstance(index, list | tuple) else index)
