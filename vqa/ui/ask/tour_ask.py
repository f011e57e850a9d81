"""What the guided tour needs of the Ask tab: the example put into it, and back what a visitor had there before."""

from __future__ import annotations

from typing import Any

import gradio as gr

from vqa.text import Language
from vqa.ui.ask.components import AskParts
from vqa.ui.ask.conversation import Conversation
from vqa.ui.ask.flow import AskFlow
from vqa.ui.ask.picture_files import BLANK
from vqa.ui.examples import example
from vqa.ui.widgets.notices import safely

OWN_MESSAGES = 2
"""The question and the answer of the tour."""
QUIET: dict[str, Any] = {"show_progress": "hidden", "queue": False}


def bind_ask(parts: AskParts, flow: AskFlow, lang: Language) -> None:
    """Adds to the Ask tab what puts the example into it, and what puts back what was there before."""
    kept = gr.State(None)
    begin = gr.Button(visible="hidden", elem_id="tour-ask")
    back = gr.Button(visible="hidden", elem_id="tour-ask-back")
    usual = [part.value for part in parts.options]
    options = list(parts.options)
    outputs = [kept, *options, *parts.outputs()]

    @safely(lang)
    async def fill(request: gr.Request, before: Any, written: Any, conversation: Conversation, *values: Any) -> Any:
        path, question = example(lang)
        shown = await flow.show(request.session_hash, Conversation(), {"text": question, "files": [path]})
        return {kept: before or (written, conversation, values), **dict(zip(options, usual, strict=True)), **shown}

    @safely(lang)
    async def put_back(request: gr.Request, before: Any, written: Any, conversation: Conversation) -> Any:
        if before is None:
            return gr.skip()
        old_written, old_conversation, values = before
        put: dict[Any, Any] = {kept: None, **dict(zip(options, values, strict=True))}
        question = example(lang)[1]
        used = len(conversation.messages) > OWN_MESSAGES or (written or BLANK)["text"] not in {"", question}
        drafted = any((old_written or BLANK).values())
        if used or not (drafted or old_conversation.messages):
            return put  # what was made of the tour's conversation since is not taken away
        return put | await flow.show(request.session_hash, old_conversation, old_written or BLANK)

    begin.click(fill, [kept, parts.composer, parts.conversation, *options], outputs, **QUIET)
    back.click(put_back, [kept, parts.composer, parts.conversation], outputs, **QUIET)
