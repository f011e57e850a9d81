"""One question to two settings or servers at once: both answers as they grow, and where they differ."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from difflib import SequenceMatcher
from html import escape

from vqa.answers import Question
from vqa.client import Client
from vqa.ui.ask.asking import Piece, answer_pieces

WORD = re.compile(r"\s+|\w+|[^\w\s]")


async def both_pieces(
    sides: Sequence[tuple[Client, Question]], stop: asyncio.Event, *, seconds: float
) -> AsyncIterator[tuple[Piece, ...]]:
    """Yields how far the answers are, whenever one of them grew; ends when all are done."""
    latest = [Piece("") for _ in sides]
    changed: asyncio.Queue[tuple[int, Piece]] = asyncio.Queue()

    async def follow(place: int, client: Client, question: Question) -> None:
        async for piece in answer_pieces(client, question, stop, seconds=seconds):
            await changed.put((place, piece))

    async with asyncio.TaskGroup() as tasks:
        for place, (client, question) in enumerate(sides):
            tasks.create_task(follow(place, client, question))
        while not all(piece.done for piece in latest):
            place, piece = await changed.get()
            latest[place] = piece
            yield tuple(latest)


def marked(text: str, other: str) -> str:
    """Returns `text` as HTML with what `other` has not got marked, word by word (by character in Chinese)."""
    here, there = _words(text), _words(other)
    parts = []
    for kind, start, end, _, _ in SequenceMatcher(None, here, there, autojunk=False).get_opcodes():
        piece = escape("".join(here[start:end]))
        parts.append(piece if kind == "equal" or not piece.strip() else f"<mark>{piece}</mark>")
    return "".join(parts)


def _words(text: str) -> list[str]:
    found: list[str] = []
    for word in WORD.findall(text):
        found += list(word) if any("\u3400" <= letter <= "\u9fff" for letter in word) else [word]
    return found
