"""What every component of the Ask tab shows of a conversation. Asks nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import gradio as gr

from vqa.text import Language
from vqa.ui.ask import ask_views, structured
from vqa.ui.ask.components import AskParts
from vqa.ui.ask.conversation import Conversation
from vqa.ui.ask.picture_files import thumbnails
from vqa.ui.pictures import grounding


async def shown(parts: AskParts, conversation: Conversation, lang: Language) -> dict[Any, Any]:
    """Returns the components' next values: the chat, its title, and the panels of the newest answer."""
    files = await asyncio.to_thread(thumbnails, conversation)
    reply = conversation.last_answer()
    images = conversation.images()
    answer = reply.answer if reply else None
    marks = grounding.find_marks(reply.text, images[-1], answer.model if answer else "") if reply and images else ()
    table = structured.table_html(reply, lang) if reply else ""
    several = len(conversation.versions()) > 1
    return {
        parts.conversation: conversation,
        parts.chatbot: ask_views.chat_messages(conversation, files, lang),
        parts.title: ask_views.title_html(conversation),
        parts.received: await asyncio.to_thread(ask_views.received_html, images, reply, lang),
        parts.sure: ask_views.sure_html(answer, lang),
        parts.marks: gr.HTML(grounding.marks_html(images[-1], marks) if marks else "", visible=bool(marks)),
        parts.table: gr.HTML(table, visible=bool(table)),
        parts.versions: ask_views.versions_html(conversation, lang) if several else "",
        parts.versions_row: gr.Row(visible=several),
    }
