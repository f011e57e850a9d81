"""Crop a picture or draw on it before asking about that region: what the editor in ask_parts does. Binds only."""

from __future__ import annotations

import asyncio
from typing import Any

from vqa.errors import InputError
from vqa.text import Language
from vqa.ui.ask.components import AskParts
from vqa.ui.ask.conversation import Conversation
from vqa.ui.ask.picture_flow import PictureFlow
from vqa.ui.pictures.carrier import take_over
from vqa.ui.widgets.notices import safely


def bind(parts: AskParts, flow: PictureFlow, lang: Language) -> None:
    """Binds the section: the last picture goes into the editor, and what is left of it back to the question."""
    told, (load, editor, use) = safely(lang), parts.region

    async def take(written: dict[str, Any] | None, conversation: Conversation) -> Any:
        return {editor: {"background": await flow.last_picture(written, conversation), "layers": [], "composite": None}}

    async def give(edited: dict[str, Any] | None, written: dict[str, Any] | None) -> Any:
        path = (edited or {}).get("composite")
        if not path:
            raise InputError("image_none")
        return await asyncio.to_thread(flow.with_region, str(path), written)

    load.click(told(take), [parts.composer, parts.conversation], [editor], show_progress="minimal")
    used = use.click(told(give), [editor, parts.composer], [parts.carrier], show_progress="minimal")
    take_over(used, parts.carrier, parts.composer, parts.tray.tray)
