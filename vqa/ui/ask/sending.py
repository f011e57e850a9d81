"""A question on its way: the browser draws and holds it until the server says that it has it, so that none is lost.

assets/sending.js does the browser's part. Each question gets a ticket there; what is sent again after a break, since
nobody knows whether it arrived, comes with the ticket that it had, and is not asked twice.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import gradio as gr

from vqa.markup import Markup, html
from vqa.text import Language
from vqa.ui.text import words

TAKE = "(written) => window.vqaSending.take(written)"
"""From the composer's value to its next one and to that of what is sent; draws the question."""
NAMED = "(...given) => window.vqaSending.named(given)"
"""Puts the ticket into the last of the values that go to the server."""
ENDED = "(written) => window.vqaSending.ended(written)"
"""Puts what the server did not take back into the composer, before whatever was written meanwhile."""
RESUME = "() => window.vqaSending.resume()"
"""Returns what was held before the page was loaded again."""
TICKETS = 2048
TICKET_LENGTH = 64


@dataclass(frozen=True)
class SendingParts:
    """The components between composer and server."""

    held: gr.MultimodalTextbox
    """What is being sent, away from the composer, in which the next question may be written by then."""
    ticket: gr.Textbox
    taken: gr.HTML
    resume: gr.Button


def render(lang: Language) -> SendingParts:
    """Returns the components, drawn; all that is ever seen of them is the note."""
    note = html('<p class="vqa-note" role="status" data-note="{}"></p>', words(lang)("ask.too_early"))
    gr.HTML(note, elem_id="vqa-too-early", padding=False)
    return SendingParts(
        gr.MultimodalTextbox(visible="hidden", show_label=False, file_count="multiple", elem_id="vqa-held"),
        gr.Textbox("", visible="hidden", max_length=TICKET_LENGTH, elem_id="vqa-ticket"),
        gr.HTML("", visible="hidden", elem_id="vqa-taken", padding=False),
        gr.Button(visible="hidden", elem_id="vqa-send-again"),
    )


def mark(ticket: str) -> Markup:
    """Returns what tells the browser that a question need not be held any longer."""
    return html('<i data-ticket="{}"></i>', ticket[:TICKET_LENGTH])


class Tickets:
    """The newest questions' tickets, and which of them were taken. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: OrderedDict[str, bool] = OrderedDict()

    def known(self, ticket: str) -> bool | None:
        """Returns whether a question that came before was taken; None for a new one, which is known from now on."""
        if not ticket:
            return None
        with self._lock:
            if ticket in self._taken:
                return self._taken[ticket]
            self._taken[ticket] = False
            while len(self._taken) > TICKETS:
                self._taken.popitem(last=False)
            return None

    def take(self, ticket: str) -> None:
        """Keeps that a question is on the page and in the store."""
        with self._lock:
            if ticket:
                self._taken[ticket] = True

    def refuse(self, ticket: str) -> None:
        """Forgets a question that was not taken: it may come again."""
        with self._lock:
            if not self._taken.get(ticket, True):
                del self._taken[ticket]
