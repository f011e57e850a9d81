"""A second answer to each question, beside the first: its settings, how both grow, and how they are shown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from vqa.answers import Answer, Question
from vqa.client import Client, Collector
from vqa.engine.state import Engine
from vqa.text import Language
from vqa.ui.ask import asking, fitting
from vqa.ui.ask.comparing import both_pieces
from vqa.ui.services import Services
from vqa.ui.text import words

Side = tuple[Client, Question, Engine | None]
VALUES = 6
"""How many values `read` takes."""


@dataclass(frozen=True)
class Beside:
    """What the second answer is asked with, and where; with an empty address of the same server."""

    options: asking.AskOptions
    address: str = ""


def render(services: Services, lang: Language) -> tuple[gr.components.Component, ...]:
    """Returns the components of the mode, drawn and switched off, in the order in which `read` takes their values."""
    tr, public = words(lang), services.settings.public
    with gr.Accordion(tr("ask.compare"), open=False, elem_id="vqa-compare"):
        on = gr.Checkbox(False, label=tr("ask.compare_on"), elem_id="vqa-compare-on")
        gr.Markdown(tr("ask.compare_about"))
        with gr.Row():
            temperature = gr.Slider(0, 2, value=1, step=0.05, label="temperature")
            top_p = gr.Slider(0.05, 1, value=0.9, step=0.05, label="top_p")
        with gr.Row():
            seed = gr.Textbox(label="seed", max_lines=1, min_width=120)
            address = gr.Textbox(
                label=tr("ask.compare_address"), info=tr("ask.compare_address_info"), max_lines=1, visible=not public,
                placeholder="http://127.0.0.1:8001/v1",
            )  # fmt: skip
        system = gr.Textbox(label=tr("ask.system"), lines=1, max_lines=6)
    return on, address, temperature, top_p, seed, system


def read(services: Services, values: Sequence[Any], options: Sequence[Any]) -> Beside | None:
    """Returns what the second answer is asked with, whose other settings are those of the first; None without one.

    Raises:
        InputError: a value cannot be used.
    """
    on, address, temperature, top_p, seed, system = values
    if not on:
        return None
    chosen = asking.read_options(services.settings, temperature, top_p, options[2], seed, system, *options[5:])
    return Beside(chosen, "" if services.settings.public else str(address or "").strip())


@asynccontextmanager
async def side_of(services: Services, beside: Beside, question: Question, client: Client) -> AsyncIterator[Side]:
    """Yields whom the second answer comes from and the question for it; a client of its own is closed at the end.

    Raises:
        InputError: the question does not fit there.
    """
    chosen, settings = beside.options, services.settings
    sampling = replace(question.sampling, temperature=chosen.temperature, top_p=chosen.top_p, seed=chosen.seed)
    asked = replace(question, system=chosen.system, sampling=sampling)
    elsewhere = beside.address and beside.address != services.base_url()
    # Our key belongs to our own server only.
    other = Client(beside.address, "EMPTY", timeout=settings.request_timeout) if elsewhere else client
    try:
        fitted = fitting.demanded(await fitting.fit(other, asked, settings.max_tokens))
        yield other, fitted, None if elsewhere else services.engine
    finally:
        if elsewhere:
            await other.close()


class PairedPieces:
    """The pieces of an answer that is asked for at once, with another one that grows beside it; as `asking.Pieces`."""

    def __init__(self, first: Side, second: Side, stop: asyncio.Event, *, seconds: float) -> None:
        """Sends both questions. To be closed, whether or not all pieces were taken."""
        self._collected = Collector(), Collector()
        self._source = both_pieces((first, second), stop, seconds=seconds, into=self._collected)
        self._latest: tuple[asking.Piece, ...] = (asking.Piece(""), asking.Piece(""))
        self._next = asyncio.ensure_future(anext(self._source))

    def __aiter__(self) -> PairedPieces:
        return self

    async def __anext__(self) -> asking.Piece:
        self._latest = await self._next
        self._next = asyncio.ensure_future(anext(self._source))
        first, second = self._latest
        # Only with the later of them both are the answers there.
        return first if second.done else replace(first, done=False, answer=None)

    @property
    def other(self) -> asking.Piece:
        """How far the second answer is; whole or not, what of it has arrived once nobody waits for it any more."""
        return self._latest[1]

    def so_far(self) -> Answer:
        """Returns what has arrived of the first answer."""
        return self._collected[0].answer()

    async def close(self) -> None:
        """Ends both answers where they are; the servers abort the requests."""
        self._next.cancel()
        with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
            await self._next
        await self._source.aclose()
        if not self.other.done:
            so_far = self._collected[1].answer()
            self._latest = (self._latest[0], replace(self.other, text=so_far.text, answer=so_far))
