"""The pictures of the question: the tray, a video's frames, and the box on a picture. Binds only."""

from __future__ import annotations

from typing import Any

import gradio as gr

from vqa.text import Language
from vqa.ui.ask.components import AskParts
from vqa.ui.ask.picture_flow import PictureFlow
from vqa.ui.pictures.carrier import take_over
from vqa.ui.services import Services
from vqa.ui.web.visitors import PICTURE_EVENTS
from vqa.ui.widgets.notices import safely
from vqa.ui.widgets.page_event import sent


def bind(services: Services, parts: AskParts, flow: PictureFlow, lang: Language) -> None:
    """Binds what the visitor does to pictures before they are sent."""
    told, tray, box = safely(lang), parts.tray, parts.region_box
    shown: list[Any] = [parts.carrier, tray.tray]
    chosen = parts.treatment.inputs
    opened: list[Any] = [box.section, box.area, box.chosen]
    clip: list[Any] = [tray.clip, tray.frames_row, tray.pages_row, tray.pages]
    quick: dict[str, Any] = {
        "show_progress": "hidden",
        "concurrency_limit": PICTURE_EVENTS,
        "concurrency_id": "pictures",
    }

    @told
    async def changed(written: Any, frames: float, *chosen: Any) -> Any:
        async for update in flow.changed(written, frames, *chosen):
            yield update

    @told
    async def pressed(event: gr.EventData, written: Any, *chosen: Any) -> Any:
        act, place, to = sent(event, "act", str), sent(event, "place", int), sent(event, "to", int)
        return await flow.pressed(act, place, to, written, *chosen)

    @told
    async def boxed(event: gr.EventData, picture: Any, written: Any, *chosen: Any) -> Any:
        return await flow.boxed(sent(event, "act", str), sent(event, "box", dict), picture, written, *chosen)

    again = [tray.clip, tray.frames, parts.composer, *chosen]
    otherwise: list[Any] = [tray.clip, tray.pages, parts.composer, *chosen]
    choices = [tray.pages.submit, tray.pages.blur, *(each.change for each in chosen)]
    for filling in (
        tray.tray.upload(
            changed,
            [parts.composer, tray.frames, *chosen],
            [*shown, *clip],
            trigger_mode="always_last",
            **quick | {"show_progress_on": tray.tray},
        ),
        tray.tray.select(pressed, [parts.composer, *chosen], [*shown, *opened], **quick),
        tray.frames.input(told(flow.other_frames), again, [*shown, *clip], trigger_mode="always_last", **quick),
        gr.on(choices, told(flow.treated), otherwise, [*shown, *clip], trigger_mode="always_last", **quick),
        box.area.submit(boxed, [box.chosen, parts.composer, *chosen], [*shown, box.section], **quick),
    ):
        take_over(filling, parts.carrier, parts.composer, parts.tray.tray)
    box.load.click(told(flow.latest), [parts.composer, parts.conversation, *chosen], opened, **quick)
