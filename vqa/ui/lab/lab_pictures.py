"""The pictures of a run: a document's pages, how they are made ready, and what is sent. Renders, binds, handles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from vqa.errors import InputError
from vqa.media.images import ImageLimits, ImagePayload
from vqa.media.notes import values_of
from vqa.media.several import has_several, load_file
from vqa.settings import Settings
from vqa.text import Language
from vqa.ui.pictures import MAX_PICTURES, tray, treatment_box
from vqa.ui.pictures.known import known
from vqa.ui.pictures.written import write
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.web.visitors import PICTURE_EVENTS
from vqa.ui.widgets.notices import safely

FILE_TYPES = ["image", ".pdf"]
Update = dict[Any, Any]
Given = Sequence[Any] | None
"""What a gallery holds: paths, each with its caption or alone."""
Opened = tuple[str, tuple[str, ...], tuple[Any, ...]]
"""The last document, the files of its pages, and what was chosen when they were made."""


def paths_of(given: Given) -> list[str]:
    """Returns the paths of the files in a gallery."""
    return [str(item[0] if isinstance(item, tuple | list) else item) for item in given or ()]


def load(given: Given, chosen: Sequence[Any], settings: Settings) -> tuple[ImagePayload, ...]:
    """Returns the pictures of a run, made ready as is chosen: of documents their first pages, of long ones the tiles.

    Raises:
        InputError: there is none, one cannot be used, or they are more than a visitor may send.
    """
    paths, limits, wanted = paths_of(given), ImageLimits.of(settings), treatment_box.read(chosen)
    if not paths:
        raise InputError("image_none")
    most = settings.public_max_pictures if settings.public else MAX_PICTURES * len(paths)
    images: list[ImagePayload] = []
    for path in paths:
        if len(images) >= most:
            raise InputError("too_many_pictures", limit=most)
        room = min(most - len(images), MAX_PICTURES)
        images += load_file(Path(path), limits, treatment=wanted, at_most=room)
    return tuple(known.recalled(image) for image in images)


@dataclass(frozen=True)
class LabPictures:
    """What belongs to the gallery of a form."""

    gallery: gr.Gallery
    made: gr.HTML
    """The pictures as they are sent, where something is done to one."""
    opened: gr.State
    pages_row: gr.Row
    pages: gr.Textbox
    treatment: treatment_box.TreatmentParts


def render(lang: Language, prefix: str, seconds: int) -> LabPictures:
    """Returns the gallery with its choices, drawn; what was opened is kept for so many seconds."""
    tr = words(lang)
    gallery = gr.Gallery(
        label=tr("repeat.images"),
        type="filepath",
        file_types=FILE_TYPES,
        sources=["upload", "webcam", "clipboard"],
        columns=3,
        height=190,
        object_fit="contain",
        interactive=True,
        elem_classes="vqa-gallery",
    )
    made = gr.HTML("", elem_id=f"{prefix}-pictures", elem_classes="vqa-made", padding=False)
    with gr.Row(visible=False) as row:
        pages = gr.Textbox(label=tr("ask.pages"), max_lines=1, max_length=200, elem_id=f"{prefix}-pages")
    treatment = treatment_box.render(lang, prefix, "ask.treatment", "repeat.treatment_about")
    return LabPictures(gallery, made, gr.State(None, time_to_live=seconds), row, pages, treatment)


def bind(services: Services, lang: Language, parts: LabPictures) -> None:
    """Binds what happens when other pictures stand in the gallery, or something else is chosen for them."""
    flow, told = LabPictureFlow(services, parts, lang), safely(lang)
    chosen = parts.treatment.inputs
    given = [parts.gallery, parts.opened, parts.pages, *chosen]
    shown: list[Any] = [
        parts.gallery, parts.made, parts.opened, parts.pages_row, parts.pages, parts.treatment.section,
    ]  # fmt: skip
    quick: dict[str, Any] = {
        "show_progress": "hidden", "trigger_mode": "always_last", "concurrency_id": "pictures",
        "concurrency_limit": PICTURE_EVENTS,
    }  # fmt: skip

    @told
    async def changed(*values: Any) -> Any:
        async for update in flow.changed(*values):
            yield update

    parts.gallery.change(changed, given, shown, **quick | {"show_progress": "minimal"})
    choices = [parts.pages.submit, parts.pages.blur, *(each.change for each in chosen)]
    gr.on(choices, told(flow.treated), given, shown, **quick)


class LabPictureFlow:
    """The handlers that change which pictures stand in the gallery of one form."""

    def __init__(self, services: Services, parts: LabPictures, lang: Language) -> None:
        self._services, self._parts, self._lang = services, parts, lang
        settings = services.settings
        self._most = min(MAX_PICTURES, settings.public_max_pictures) if settings.public else MAX_PICTURES

    async def changed(
        self, given: Given, opened: Opened | None, pages: str | None, *chosen: Any
    ) -> AsyncIterator[Update]:
        """Puts the pages of a document in its place, and shows pictures to which something is done as they are sent.

        Raises:
            InputError: a document cannot be read; it is out of the gallery by then.
        """
        paths = paths_of(given)
        seen = paths[: self._most] if self._services.settings.public else paths
        place = await asyncio.to_thread(_document, seen)
        if place is None:
            gone = opened is not None and not any(path in opened[1] for path in paths)
            left = {self._parts.opened: None, self._parts.pages_row: gr.Row(visible=False)} if gone else {}
            yield left | await self._made(paths, chosen)
            return
        document, before, after = paths[place], paths[:place], paths[place + 1 :]
        try:
            images = await self._unfolded(document, "", chosen)
        except InputError:
            yield {self._parts.gallery: _shown(before + after)}
            raise
        found = [await asyncio.to_thread(write, image) for image in images]
        total = values_of("page", images[0].notes).get("pages", "1") if images else "1"
        info = words(self._lang)("ask.pages_info", total=total)
        yield {
            self._parts.gallery: _shown(before + found + after),
            self._parts.opened: (document, tuple(found), ("", *chosen)),
            self._parts.pages_row: gr.Row(visible=int(total) > 1),
            self._parts.pages: gr.Textbox(info=info, value=""),
        }

    async def treated(self, given: Given, opened: Opened | None, pages: str | None, *chosen: Any) -> Update:
        """Shows the pictures made ready as it was chosen now, and of the last document the pages that are named.

        Raises:
            InputError: what is chosen makes no sense, or the document has none of these pages.
        """
        paths, now = paths_of(given), ((pages or "").strip(), *chosen)
        if opened is None or now == opened[2] or not any(path in opened[1] for path in paths):
            return await self._made(paths, chosen)
        document, old, _ = opened
        images = await self._unfolded(document, now[0], chosen)
        found = [await asyncio.to_thread(write, image) for image in images]
        place = next(n for n, path in enumerate(paths) if path in old)
        rest = [path for path in paths if path not in old]
        files = rest[:place] + found + rest[place:]
        told = {self._parts.gallery: _shown(files), self._parts.opened: (document, tuple(found), now)}
        return told | await self._made(files, chosen)

    async def _unfolded(self, path: str, pages: str, chosen: Sequence[Any]) -> tuple[ImagePayload, ...]:
        self._services.visitors.admit()
        wanted = treatment_box.read(chosen, pages)
        with self._services.visitors.reading(self._most):
            return await asyncio.to_thread(
                load_file, Path(path), self._services.limits, treatment=wanted, at_most=self._most
            )

    async def _made(self, paths: list[str], chosen: Sequence[Any]) -> Update:
        """Returns the pictures as they are sent where something is done to one, and the choices opened where it may
        be wanted otherwise.
        """
        limits, wanted, seen = self._services.limits, treatment_box.read(chosen), paths[: self._most]
        if not seen:
            return {self._parts.made: ""}
        with self._services.visitors.reading(len(seen)):
            notes = await asyncio.to_thread(tray.notes_of, seen, limits, wanted)
            html = await asyncio.to_thread(tray.tray_html, seen, limits, self._lang, wanted, acts=False)
        section = {self._parts.treatment.section: gr.Accordion(open=True)} if treatment_box.calls_for(notes) else {}
        return {self._parts.made: html if notes else ""} | section


def _document(paths: list[str]) -> int | None:
    return next((n for n, path in enumerate(paths) if has_several(Path(path))), None)


def _shown(paths: list[str]) -> list[tuple[str, None]]:
    return [(path, None) for path in paths]
