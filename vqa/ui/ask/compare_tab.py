"""Compare: the last question to this server and settings, and beside it to others. Renders and binds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import gradio as gr

from vqa.client import Client
from vqa.errors import InputError
from vqa.markup import Markup, escape, html, joined
from vqa.text import Language
from vqa.ui.ask import ask_views, asking, fitting
from vqa.ui.ask.comparing import both_pieces, marked
from vqa.ui.ask.components import AskParts
from vqa.ui.ask.conversation import Conversation, Message
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.web.visitors import waiting
from vqa.ui.widgets.notices import safely
from vqa.ui.widgets.parts import badge


def build(services: Services, lang: Language, parts: AskParts) -> None:
    """Draws the section and binds it."""
    tr, public = words(lang), services.settings.public
    with gr.Accordion(tr("ask.compare"), open=False, elem_id="vqa-compare"):
        gr.Markdown(tr("ask.compare_about"))
        address = gr.Textbox(
            label=tr("ask.compare_address"), info=tr("ask.compare_address_info"), max_lines=1, visible=not public,
            placeholder="http://127.0.0.1:8001/v1",
        )  # fmt: skip
        with gr.Row():
            temperature = gr.Slider(0, 2, value=1, step=0.05, label="temperature", info=tr("ask.temperature_info"))
            top_p = gr.Slider(0.05, 1, value=0.9, step=0.05, label="top_p")
        seed = gr.Textbox(label="seed", max_lines=1)
        system = gr.Textbox(label=tr("ask.system"), lines=1, max_lines=6)
        with gr.Row():
            start = gr.Button(tr("ask.compare_start"), variant="primary", size="sm")
            end = gr.Button(tr("ask.stop"), size="sm", variant="stop")
        shown = gr.HTML(elem_id="vqa-compared", padding=False)
    stops: dict[str, asyncio.Event] = {}

    async def compare(
        request: gr.Request, conversation: Conversation, other_address: str | None, warm: float, share: float,
        number: str | None, prompt: str | None, *values: Any,
    ) -> AsyncIterator[str]:  # fmt: skip
        yield ""  # what was compared before is no result of this
        here = asking.read_options(services.settings, *values)
        there = asking.read_options(services.settings, warm, share, values[2], number, prompt, *values[5:])
        stop = stops[request.session_hash or ""] = asyncio.Event()
        addresses = (
            services.base_url(),
            services.base_url() if public else (other_address or "").strip() or services.base_url(),
        )
        async for drawn in _compared(services, lang, conversation, (here, there), addresses, stop):
            yield drawn

    async def halt(request: gr.Request) -> None:
        if stop := stops.get(request.session_hash or ""):
            stop.set()

    inputs = [parts.conversation, address, temperature, top_p, seed, system, *parts.options]
    options: dict[str, Any] = {"show_progress": "hidden"} | waiting(services.settings, "ask", shown)
    start.click(safely(lang)(compare), inputs, shown, **options)
    end.click(halt, None, None, show_progress="hidden", queue=False)


async def _compared(
    services: Services,
    lang: Language,
    conversation: Conversation,
    options: tuple[asking.AskOptions, asking.AskOptions],
    addresses: tuple[str, str],
    stop: asyncio.Event,
) -> AsyncIterator[str]:
    asked = [message for message in conversation.path() if message.role == "user"]
    if not asked:
        raise InputError("conversation_none")
    before = conversation.until(asked[-1].parent)
    settings = services.settings
    key = settings.api_key.get_secret_value()
    # Our key belongs to our own server only.
    keys = [key if address == addresses[0] else "EMPTY" for address in addresses]
    clients = [
        Client(address, each, timeout=settings.request_timeout) for address, each in zip(addresses, keys, strict=True)
    ]
    try:
        with services.visitors.asking():
            sides = []
            for client, chosen, address in zip(clients, options, addresses, strict=True):
                question = asking.make_question(before, asked[-1].text, asked[-1].images, chosen)
                fitted = fitting.demanded(await fitting.fit(client, question, settings.max_tokens))
                sides.append((client, fitted, services.engine if address == addresses[0] else None))
            async for pieces in both_pieces(sides, stop, seconds=settings.max_seconds):
                # The differences of two long answers take a while to find.
                yield await asyncio.to_thread(compared_html, pieces, options, lang)
    finally:
        for client in clients:
            await client.close()


def compared_html(
    pieces: tuple[asking.Piece, ...], options: tuple[asking.AskOptions, asking.AskOptions], lang: Language
) -> Markup:
    """Returns both answers side by side; once both are there, with their differences marked."""
    tr = words(lang)
    finished = all(piece.done for piece in pieces)
    texts = [piece.text for piece in pieces]
    columns = []
    for place, (piece, chosen) in enumerate(zip(pieces, options, strict=True)):
        body = marked(texts[place], texts[1 - place]) if finished else escape(piece.text)
        line = Markup()
        if piece.done:
            reply = Message(0, None, "assistant", piece.text, (), piece.answer, (), None, piece.stopped)
            line = html("<small>{}</small>", ask_views.answer_line(reply, lang))
        if piece.problem is not None:
            body += html("<p>{}</p>", badge(piece.problem.message(lang), "bad"))
        settings = " · ".join(f"{name} {value}" for name, value in replace(chosen, system="").asked())
        section = html('<section><h4>{}</h4><div class="answer">{}</div>{}</section>', settings, body or "…", line)
        columns.append(section)
    verdict = Markup()
    if finished and not any(piece.problem or piece.stopped for piece in pieces):
        same = texts[0] == texts[1]
        told = badge(tr("ask.compare_same" if same else "ask.compare_differ"), "good" if same else "warn")
        verdict = html("<p>{}</p>", told)
    return html('<div class="vqa-compared">{}</div>{}', joined(columns), verdict)
