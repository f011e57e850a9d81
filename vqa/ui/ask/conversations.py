"""Stored conversations on the Ask tab: find, open, rename, export, delete. Renders and binds."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import gradio as gr

from vqa.errors import InputError
from vqa.store import Store
from vqa.text import Language
from vqa.ui.ask.components import AskParts
from vqa.ui.ask.conversation import Conversation, as_json, as_markdown
from vqa.ui.ask.flow import AskFlow
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.web.folder import owned
from vqa.ui.widgets import exports
from vqa.ui.widgets.notices import safely


def build(services: Services, lang: Language, parts: AskParts, flow: AskFlow) -> None:
    """Draws the section and binds it."""
    tr, told, store = words(lang), safely(lang), services.store
    with gr.Accordion(tr("ask.conversations"), open=False, elem_id="vqa-conversations") as section:
        search = gr.Textbox(label=tr("ask.search"), placeholder=tr("ask.search_placeholder"))
        found = gr.Dropdown([], label=tr("ask.stored"), interactive=True, value=None)
        with gr.Row():
            opened = gr.Button(tr("ask.open"), size="sm", variant="primary")
            delete = gr.Button(tr("ask.delete"), size="sm")
        with gr.Row(visible=False) as confirm:
            gr.Markdown(tr("ask.delete_sure"))
            yes = gr.Button(tr("ask.delete_yes"), size="sm", variant="stop")
            no = gr.Button(tr("ask.delete_no"), size="sm")
        name = gr.Textbox(label=tr("ask.rename"), placeholder=tr("ask.rename_placeholder"), max_length=200)
        with gr.Row():
            markdown = gr.Button(tr("ask.export_markdown"), size="sm")
            plain = gr.Button(tr("ask.export_json"), size="sm")
            titles = {"untitled": tr("ask.untitled"), "user": tr("ask.you"), "assistant": tr("ask.model")}
            for button, suffix in ((markdown, ".md"), (plain, ".json")):
                make = told(partial(_file, suffix=suffix, titles=titles))
                exports.hand_out(button, make, parts.conversation, f"vqa-save{suffix.replace('.', '-')}")

    async def listed(sought: str | None) -> Any:
        rows = await asyncio.to_thread(_choices, store, sought or "", tr("ask.untitled"))
        return gr.Dropdown(rows, info=tr("ask.found", n=len(rows)))

    async def open_it(request: gr.Request, chat_id: str | None) -> Any:
        return await flow.open(request.session_hash, _wanted(chat_id))

    async def rename(text: str | None, conversation: Conversation, sought: str | None) -> Any:
        chat_id, wanted = _wanted(conversation.chat_id), (text or "").strip()
        if not wanted:
            return gr.skip()
        await asyncio.to_thread(store.rename_chat, chat_id, wanted)
        gr.Info(tr("ask.renamed"), duration=3)
        return {**flow.named(conversation, wanted), found: await listed(sought), name: ""}

    async def remove(request: gr.Request, chat_id: str | None, conversation: Conversation, sought: str | None) -> Any:
        await asyncio.to_thread(store.delete_chat, _wanted(chat_id))
        shown = await flow.clear(request.session_hash) if conversation.chat_id == chat_id else {}
        rows = await asyncio.to_thread(_choices, store, sought or "", tr("ask.untitled"))
        listed_now = gr.Dropdown(rows, value=None, info=tr("ask.found", n=len(rows)))
        return {**shown, found: listed_now, confirm: gr.Row(visible=False)}

    quick: dict[str, Any] = {"show_progress": "hidden"}
    outputs = parts.outputs()
    gr.on([section.expand, search.change], told(listed), search, found, trigger_mode="always_last", **quick)
    opened.click(told(open_it), found, outputs, **quick)
    name.submit(told(rename), [name, parts.conversation, search], [*outputs, found, name], **quick)
    delete.click(lambda chat: gr.Row(visible=bool(chat)), found, confirm, **quick)
    no.click(lambda: gr.Row(visible=False), None, confirm, **quick)
    yes.click(told(remove), [found, parts.conversation, search], [*outputs, found, confirm], **quick)


def _choices(store: Store, sought: str, untitled: str) -> list[tuple[str, str]]:
    rows = store.chats(search=sought, visitor="")
    return [(f"{row['name'] or untitled} · {row['updated_at']:%Y-%m-%d %H:%M}", row["id"]) for row in rows]


def _wanted(chat_id: str | None) -> str:
    if not chat_id:
        raise InputError("conversation_none")
    return chat_id


def _file(conversation: Conversation, suffix: str, titles: dict[str, str]) -> str:
    """Returns the path of a file with the shown conversation, which the page then hands out."""
    if not conversation.messages:
        raise InputError("conversation_none")
    if suffix == ".md":
        text = as_markdown(conversation, titles)
    else:
        text = json.dumps(as_json(conversation), ensure_ascii=False, indent=1)
    return str(owned().write(f"conversation-{conversation.chat_id or 'shown'}{suffix}", text))
