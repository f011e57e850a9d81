"""What had arrived is kept when an answer is stopped, and what is written is stored though its conversation is gone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fakes.openai_server import FakeServer
from vqa.answers import Answer, Question
from vqa.client import Client
from vqa.errors import StoreError
from vqa.store import Store
from vqa.ui.ask.ask_views import chat_messages
from vqa.ui.ask.asking import Piece, answer_pieces
from vqa.ui.ask.conversation import Conversation, Message
from vqa.ui.ask.keeping import ConversationKeeper


async def test_a_stopped_answer_keeps_the_logprobs_and_counts_that_had_come() -> None:
    stop = asyncio.Event()
    with FakeServer(seconds_per_token=0.2, prefill_seconds=0.0) as server:
        async with Client(server.base_url) as client:
            async for piece in answer_pieces(client, Question("What?"), stop, seconds=60):
                last = piece
                if piece.text:
                    stop.set()
    assert last.stopped
    assert last.answer is not None and last.answer.tokens is not None
    assert last.answer.prompt_tokens
    assert (last.answer.completion_tokens, last.answer.finish_reason) == (len(last.answer.tokens), None)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'kept.db'}")


def test_a_conversation_that_was_deleted_meanwhile_is_stored_anew(store: Store) -> None:
    keeper = ConversationKeeper(store)
    one = keeper.add(Conversation(), Message(1, None, "user", "What?"))
    store.delete_chat(one.chat_id)
    answer = Message(one.next_id(), one.leaf, "assistant", "Red.", answer=Answer("Red.", "stop", reasoning="Hm."))
    two = keeper.add(one, answer)
    assert two.chat_id != one.chat_id
    opened = keeper.open(two.chat_id)
    assert [message.text for message in opened.path()] == ["What?", "Red."]
    kept = opened.path()[1].answer
    assert kept is not None and kept.reasoning == "Hm."


def test_a_conversation_that_is_not_there_is_told(store: Store) -> None:
    with pytest.raises(StoreError) as told:
        ConversationKeeper(store).open("0123456789ab")
    assert told.value.code == "chat_missing"


def test_reasoning_refusals_and_tool_calls_are_shown_and_harmless() -> None:
    answer = Answer("", "stop", reasoning="<img src=x>", refusal="I <b>will</b> not.")
    conversation = Conversation().add(Message(1, None, "assistant", "", answer=answer))
    shown = str(chat_messages(conversation, {}, "en"))
    assert "Reasoning" in shown and "&lt;img" in shown and "Refused:" in shown
    assert "<img" not in shown and "<b>will" not in shown
    growing = str(chat_messages(Conversation(), {}, "en", growing=Piece("", reasoning="Let me see")))
    assert "Let me see" in growing
