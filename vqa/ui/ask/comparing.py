"""One question to two settings or servers at once: both answers as they grow, and where they differ."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from difflib import SequenceMatcher

from vqa.answers import Question
from vqa.client import Client, Collector
from vqa.engine.state import Engine
from vqa.markup import Markup, escape, html, joined
from vqa.ui.ask.asking import Piece, answer_pieces

WORD = re.compile(r"\s+|\w+|[^\w\s]")


async def both_pieces(
    sides: Sequence[tuple[Client, Question, Engine | None]],
    stop: asyncio.Event,
    *,
    seconds: float,
    into: Sequence[Collector] = (),
) -> AsyncGenerator[tuple[Piece, ...]]:
    """Yields how far the answers are, whenever one of them grew; ends when all are done.

    A side's engine is the managed one behind its client, if there is one; what arrives is collected `into` what is
    given for each.
    """
    latest = [Piece("") for _ in sides]
    changed: asyncio.Queue[tuple[int, Piece | Exception]] = asyncio.Queue()

    async def follow(place: int, client: Client, question: Question, engine: Engine | None) -> None:
        try:
            mine = into[place] if into else None
            async for piece in answer_pieces(client, question, stop, seconds=seconds, into=mine, engine=engine):
                await changed.put((place, piece))
        except Exception as problem:
            await changed.put((place, problem))

    # No task group: whoever stops listening closes this at its yield, which a group turns into an error of its own.
    tasks = [asyncio.create_task(follow(place, *side)) for place, side in enumerate(sides)]
    try:
        while not all(piece.done for piece in latest):
            place, grown = await changed.get()
            if isinstance(grown, Exception):
                raise grown
            latest[place] = grown
            yield tuple(latest)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def growing_html(first: Piece, second: Piece) -> Markup:
    """Returns two answers side by side, as far as they are."""
    texts = (one_line(escape(piece.text or piece.reasoning or "…")) for piece in (first, second))
    return html('<div class="vqa-compared">{}</div>', joined(html("<div>{}</div>", text) for text in texts))


def one_line(text: Markup) -> Markup:
    """Returns HTML in which Markdown finds nothing to do."""
    return Markup(html("<p>{}</p>", text).replace("\n", "<br>"))


def marked(text: str, other: str) -> Markup:
    """Returns `text` as HTML with what `other` has not got marked, word by word (by character in Chinese)."""
    here, there = _words(text), _words(other)
    parts = []
    for kind, start, end, _, _ in SequenceMatcher(None, here, there, autojunk=False).get_opcodes():
        piece = escape("".join(here[start:end]))
        parts.append(piece if kind == "equal" or not piece.strip() else html("<mark>{}</mark>", piece))
    return joined(parts)


def _words(text: str) -> list[str]:
    found: list[str] = []
    for word in WORD.findall(text):
        found += list(word) if any("\u3400" <= letter <= "\u9fff" for letter in word) else [word]
    return found
