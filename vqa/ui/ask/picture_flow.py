"""The ways for a picture into the composer: each method is one handler, from the components' values to their next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from vqa.answers import Json
from vqa.errors import InputError
from vqa.media.fetch import fetch_file
from vqa.media.images import ImageLimits, ImagePayload, load_image
from vqa.media.notes import values_of
from vqa.media.several import has_several, load_data, load_pictures
from vqa.media.treatment import Treatment
from vqa.media.video import is_video
from vqa.text import Language
from vqa.ui.ask import asking
from vqa.ui.ask.components import AskParts
from vqa.ui.ask.conversation import Conversation
from vqa.ui.ask.picture_files import files_of
from vqa.ui.pictures import MAX_PICTURES, region, region_box, tray, treatment_box
from vqa.ui.pictures.carrier import carried
from vqa.ui.pictures.known import known
from vqa.ui.pictures.written import write
from vqa.ui.services import Services
from vqa.ui.text import words

Update = dict[Any, Any]
Written = dict[str, Any] | None
Clip = tuple[str, tuple[str, ...]]
Chosen = tuple[str, str, int | None]


class PictureFlow:
    """The handlers that change which pictures stand in the composer of one Ask tab."""

    def __init__(self, services: Services, parts: AskParts, lang: Language) -> None:
        self._services, self._parts, self._lang = services, parts, lang

    async def fetch(self, address: str, written: Written, *chosen: Any) -> Update:
        """Adds the picture at a web address to the composer, made ready as is chosen now; of a document its pages."""
        self._services.visitors.admit()
        settings, limits = self._services.settings, self._services.limits
        data, name = await fetch_file(address or "", limits, allow_local=settings.allow_local_urls)
        files, wanted = files_of(written), treatment_box.read(chosen) if chosen else None
        room = max(1, asking.most_pictures(settings) - len(files))
        images = await asyncio.to_thread(load_data, data, name, limits, treatment=wanted, at_most=room)
        added = [await asyncio.to_thread(write, image) for image in images]
        return self._composed(written, [*files, *added]) | {self._parts.address: ""}

    async def take(self, path: str | None, written: Written) -> Update:
        """Adds the camera's picture to the composer."""
        files = [path] if path else []
        with self._services.visitors.reading():
            await asyncio.to_thread(load_pictures, files, self._services.limits)
        return self._composed(written, [*files_of(written), *files]) | {self._parts.camera: None}

    async def changed(self, written: Written, frames: float, *chosen: Any) -> AsyncIterator[Update]:
        """Shows which pictures stand in the composer; a video's frames, a PDF's pages take the place of the file.

        Raises:
            InputError: a video or PDF cannot be read, or there are too many pictures; what is too much is out of the
                composer by then.
        """
        parts, files = self._parts.tray, files_of(written)
        if len(files) > (most := asking.most_pictures(self._services.settings)):
            yield await self._laid_out(written, files[:most], chosen)
            raise InputError("too_many_pictures", limit=most)
        place = next((n for n, path in enumerate(files) if has_several(Path(path))), None)
        if place is None:
            gone = {parts.frames_row: gr.Row(visible=False), parts.pages_row: gr.Row(visible=False), parts.clip: None}
            yield await self._tray(files, chosen) | ({} if files else gone)
            return
        given, before, after = files[place], files[:place], files[place + 1 :]
        try:
            images = await self._unfolded(given, round(frames), chosen)
        except InputError:
            yield await self._laid_out(written, before + after, chosen)
            raise
        found = [await asyncio.to_thread(write, image) for image in images]
        files = before + found + after
        told = {parts.clip: (given, tuple(found))} | self._choices_of(given, images)
        yield await self._laid_out(written, files, chosen) | told

    def _choices_of(self, given: str, images: tuple[ImagePayload, ...]) -> Update:
        """Returns what is to be seen of a video's frames or a document's pages, to choose others."""
        parts, video = self._parts.tray, is_video(Path(given))
        total = values_of("page", images[0].notes).get("pages", "1") if images else "1"
        info = words(self._lang)("ask.pages_info", total=total)
        pages = {parts.pages: gr.Textbox(info=info, value="")} if not video else {}
        several = gr.Row(visible=not video and int(total) > 1)
        return {parts.frames_row: gr.Row(visible=video), parts.pages_row: several} | pages

    async def other_frames(self, clip: Clip | None, frames: float, written: Written, *chosen: Any) -> Update:
        """Puts another number of frames of the last video in the place of those that still stand in the composer."""
        if clip is None:
            return {self._parts.tray.frames_row: gr.Row(visible=False)}
        return await self._others(clip, written, round(frames), chosen)

    async def treated(self, clip: Clip | None, pages: str, written: Written, *chosen: Any) -> Update:
        """Shows the pictures made ready as it was chosen now, and of the last document the pages that are named."""
        files = files_of(written)
        if clip is None or is_video(Path(clip[0])) or not any(each in clip[1] for each in files):
            return await self._tray(files, chosen)
        return await self._others(clip, written, MAX_PICTURES, chosen, pages)

    async def _others(
        self, clip: Clip, written: Written, frames: int, chosen: Sequence[Any], pages: str = ""
    ) -> Update:
        files = files_of(written)
        path, old = clip
        images = await self._unfolded(path, frames, chosen, pages)
        found = [await asyncio.to_thread(write, image) for image in images]
        place = next((n for n, each in enumerate(files) if each in old), len(files))
        rest = [each for each in files if each not in old]
        files = rest[:place] + found + rest[place:]
        told = {self._parts.tray.clip: (path, tuple(found))}
        return await self._laid_out(written, files, chosen) | told

    async def _unfolded(
        self, path: str, frames: int, chosen: Sequence[Any], pages: str = ""
    ) -> tuple[ImagePayload, ...]:
        self._services.visitors.admit()
        limits, most = self._services.limits, asking.most_pictures(self._services.settings)
        wanted = treatment_box.read(chosen, pages) if chosen else None
        with self._services.visitors.reading(most):
            return await asyncio.to_thread(
                load_pictures, [path], limits, frames=max(1, min(frames, most)), treatment=wanted, at_most=most
            )

    async def pressed(self, act: str, place: int, to: int, written: Written, *chosen: Any) -> Update:
        """Moves a picture of the composer to another place, takes it out, or opens it to draw a box on it."""
        files = files_of(written)
        if act == "region" and 0 <= place < len(files):
            return await self._opened(files[place], place, chosen)
        return await self._laid_out(written, tray.moved(files, act, place, to), chosen)

    async def latest(self, written: Written, conversation: Conversation, *chosen: Any) -> Update:
        """Opens the newest picture to draw a box on it."""
        files = files_of(written)
        if files:
            return await self._opened(files[-1], len(files) - 1, chosen)
        return await self._opened(await self.last_picture(written, conversation), None, chosen)

    async def _opened(self, path: str, place: int | None, chosen: Sequence[Any]) -> Update:
        parts, wanted = self._parts.region_box, treatment_box.read(chosen) if chosen else None
        with self._services.visitors.reading():
            image = await asyncio.to_thread(load_image, Path(path), self._services.limits, treatment=wanted)
            html = await asyncio.to_thread(region_box.area_html, image, self._lang)
        chosen = (await asyncio.to_thread(write, image), path, place)
        return {parts.section: gr.Accordion(open=True), parts.area: html, parts.chosen: chosen}

    async def boxed(
        self, act: str, box: dict[str, Json], chosen: Chosen | None, written: Written, *treatment: Any
    ) -> Update:
        """Puts the region into the composer: in the picture's place (`crop`, or `mark` with the whole), or after it.

        Raises:
            InputError: there is no picture, or no area within the box.
        """
        if chosen is None:
            raise InputError("image_none")
        opened, given, place = chosen
        with self._services.visitors.reading():
            wanted = treatment_box.read(treatment) if treatment else None
            made = await asyncio.to_thread(_region, opened, given, act, box, self._services.limits, wanted)
        files = files_of(written)
        here = place is not None and place < len(files) and files[place] == given
        at = place if here and place is not None else len(files)
        keep = at + 1 if here and act == "add" else at
        files = [*files[:keep], made, *files[at + 1 :]]
        section = {} if act == "add" else {self._parts.region_box.section: gr.Accordion(open=False)}
        return await self._laid_out(written, files, treatment) | section

    async def last_picture(self, written: Written, conversation: Conversation) -> str:
        """Returns a file of the newest picture: of the composer, else of the conversation; checked.

        Raises:
            InputError: there is none.
        """
        files = files_of(written)[-1:]
        with self._services.visitors.reading():
            given = await asyncio.to_thread(load_pictures, files, self._services.limits, frames=1)
        pictures = given or conversation.images()
        if not pictures:
            raise InputError("image_none")
        return await asyncio.to_thread(write, pictures[-1])

    def _composed(self, written: Written, files: list[str]) -> Update:
        return {self._parts.carrier: carried(written, files)}

    async def _laid_out(self, written: Written, files: list[str], chosen: Sequence[Any]) -> Update:
        """Returns composer and tray with these files: both at once, for what is shown is what is sent."""
        drawn = await self._tray(files, chosen)
        html = drawn.pop(self._parts.tray.tray)
        return {self._parts.carrier: carried(written, files, html)} | drawn

    async def _tray(self, files: list[str], chosen: Sequence[Any]) -> Update:
        """Returns the tray; where something was done that may be wanted otherwise, it says so to the page."""
        limits, treatment = self._services.limits, treatment_box.read(chosen) if chosen else None
        with self._services.visitors.reading(len(files)):
            return {
                self._parts.tray.tray: await asyncio.to_thread(tray.tray_html, files, limits, self._lang, treatment)
            }


def _region(
    opened: str, given: str, act: str, box: dict[str, Json], limits: ImageLimits, treatment: Treatment | None
) -> str:
    """Returns a file with the region of the picture `given`, of which `opened` is what the box was drawn on."""
    shown = known.recalled(load_image(Path(opened), limits))
    found = region.box_of(box, shown)
    if act == "mark":
        return write(region.marked(shown, found))
    return write(region.cut_out(Path(given), shown, found, limits, treatment))
