"""Two answers side by side, and what happens to them when nobody listens any more."""

from __future__ import annotations

import asyncio

from tests.fakes.openai_server import FakeServer
from vqa.answers import Question
from vqa.client import Client
from vqa.ui.ask.comparing import both_pieces


async def test_whoever_stops_listening_ends_both_answers_and_hears_of_no_error() -> None:
    with FakeServer(seconds_per_token=0.05, prefill_seconds=0.0) as server:
        clients = [Client(server.base_url), Client(server.base_url)]
        sides = [(client, Question("What is this?"), None) for client in clients]
        pieces = both_pieces(sides, asyncio.Event(), seconds=30)
        before = asyncio.all_tasks()
        await anext(pieces)
        await pieces.aclose()
        assert asyncio.all_tasks() <= before | {asyncio.current_task()}
        for client in clients:
            await client.close()


async def test_both_answers_come_to_their_end() -> None:
    with FakeServer(answer="one two") as server:
        clients = [Client(server.base_url), Client(server.base_url)]
        sides = [(client, Question("What?"), None) for client in clients]
        grown = [pieces async for pieces in both_pieces(sides, asyncio.Event(), seconds=30)]
        assert [piece.text for piece in grown[-1]] == ["one two", "one two"]
        for client in clients:
            await client.close()
