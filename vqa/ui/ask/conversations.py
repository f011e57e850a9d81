"""Stored conversations beside the chat: find, open, rename, export, delete and take back. Binds only."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import gradio as gr

from vqa.errors import InputError
from vqa.text import Language
from vqa.ui.ask.components import SESSION_SECONDS, AskParts
from vqa.ui.ask.conversation import Conversation, as_json, as_markdown
from vqa.ui.ask.flow import AskFlow
from vqa.ui.ask.keeping import ConversationKeeper
from vqa.ui.ask.picture_files import BLANK
from vqa.ui.ask.talks import NAME_LENGTH, TalksParts, list_html
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.web.folder import owned
from vqa.ui.widgets import exports
from vqa.ui.widgets.blocks import root
from vqa.ui.widgets.notices import safely
from vqa.ui.widgets.page_event import sent


def bind(
    services: Services, lang: Language, parts: AskParts, talks: TalksParts, flow: AskFlow, keeper: ConversationKeeper
) -> None:
    """Binds the list; what was deleted last can be taken back until something else is done with the list."""
    tr, told, store = words(lang), safely(lang), services.store
    gone = gr.State(None, time_to_live=SESSION_SECONDS)
    titles = {"untitled": tr("ask.untitled"), "user": tr("ask.you"), "assistant": tr("ask.model")}
    for button, suffix in ((talks.markdown, ".md"), (talks.plain, ".json")):
        make = told(partial(_file, suffix=suffix, titles=titles))
        exports.hand_out(button, make, parts.conversation, f"vqa-save{suffix.replace('.', '-')}")

    async def listed(sought: str | None, shown: str, deleted: Conversation | None = None) -> Any:
        rows = await asyncio.to_thread(partial(store.chats, search=sought or "", visitor=""))
        gone_by = None if deleted is None else deleted.name
        return list_html(rows, shown, lang, sought=sought or "", deleted=gone_by)

    async def look(sought: str | None, conversation: Conversation, before: Conversation | None) -> Any:
        return await listed(sought, conversation.chat_id, before)

    async def delete(session: str | None, chat_id: str, conversation: Conversation, sought: str | None) -> Any:
        before = await asyncio.to_thread(keeper.open, chat_id)
        await asyncio.to_thread(store.delete_chat, chat_id)
        open_one = conversation.chat_id == chat_id
        shown = await flow.clear(session) if open_one else {}
        rest = "" if open_one else conversation.chat_id
        return shown | {gone: before, talks.listed: await listed(sought, rest, before)}

    async def undo(
        session: str | None, before: Conversation | None, conversation: Conversation, sought: str | None
    ) -> Any:
        if before is None:
            return gr.skip()
        back = await asyncio.to_thread(keeper.restored, before)
        update: dict[Any, Any] = {gone: None, talks.listed: await listed(sought, conversation.chat_id)}
        return update | ({} if conversation.messages else await flow.show(session, back, BLANK))

    async def act(
        event: gr.EventData, request: gr.Request, before: Conversation | None, conversation: Conversation,
        sought: str | None,
    ) -> Any:  # fmt: skip
        what, chat_id, name = (sent(event, key, str) for key in ("act", "chat", "name"))
        if what == "undo":
            return await undo(request.session_hash, before, conversation, sought)
        if what == "look":
            return {talks.listed: await listed(name, conversation.chat_id, before)}
        if not chat_id:
            raise InputError("conversation_none")
        if what == "delete":
            return await delete(request.session_hash, chat_id, conversation, sought)
        if what == "rename":
            wanted = name.strip()[:NAME_LENGTH] or tr("ask.untitled")
            await asyncio.to_thread(store.rename_chat, chat_id, wanted)
            shown = flow.named(conversation, wanted) if conversation.chat_id == chat_id else {}
            return shown | {gone: None, talks.listed: await listed(sought, conversation.chat_id)}
        opened = await flow.open(request.session_hash, chat_id)
        return opened | {gone: None, talks.listed: await listed(sought, chat_id)}

    quick: dict[str, Any] = {"show_progress": "hidden"}
    seen = [talks.search, parts.conversation, gone]
    changes = [talks.search.change, parts.title.change, root().load]
    # Not through the queue, whose stream of events may close under a search that was typed right after the page came.
    gr.on(changes, told(look), seen, talks.listed, trigger_mode="always_last", queue=False, **quick)
    talks.listed.select(
        told(act), [gone, parts.conversation, talks.search], [*parts.outputs(), gone, talks.listed], **quick
    )


def _file(conversation: Conversation, suffix: str, titles: dict[str, str]) -> str:
    """Returns the path of a file with the shown conversation, which the page then hands out."""
    if not conversation.messages:
        raise InputError("conversation_none")
    if suffix == ".md":
        text = as_markdown(conversation, titles)
    else:
        text = json.dumps(as_json(conversation), ensure_ascii=False, indent=1)
    return str(owned().write(f"conversation-{conversation.chat_id or 'shown'}{suffix}", text))
