"""What happens on the Ask tab: each method is one handler, from the components' values to their next values."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from vqa.answers import Question
from vqa.client import Client
from vqa.errors import InputError, StoreError
from vqa.media.images import ImagePayload
from vqa.media.several import load_pictures
from vqa.models.ratios import check_shapes
from vqa.text import Language
from vqa.ui.ask import ask_views, asking, beside, fit_note, fitting
from vqa.ui.ask.clients import Clients
from vqa.ui.ask.components import AskParts
from vqa.ui.ask.conversation import Conversation, Message
from vqa.ui.ask.fit_note import Asked
from vqa.ui.ask.harmless import restored
from vqa.ui.ask.keeping import ConversationKeeper
from vqa.ui.ask.picture_files import BLANK, thumbnails
from vqa.ui.ask.running import Running, place_of, replies
from vqa.ui.ask.sending import Tickets, mark
from vqa.ui.ask.shown import shown
from vqa.ui.ask.snippets import code_of
from vqa.ui.examples import Example
from vqa.ui.pictures import treatment_box
from vqa.ui.pictures.known import known
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets.notices import warn

Update = dict[Any, Any]
OPTIONS = 7
"""How many values `asking.read_options` takes; those of the section on how pictures are made ready follow them."""


class AskFlow:
    """The handlers of one Ask tab."""

    def __init__(
        self,
        services: Services,
        lang: Language,
        parts: AskParts,
        keeper: ConversationKeeper,
        examples: tuple[Example, ...],
    ) -> None:
        self._services, self._lang, self._parts, self._keeper, self._examples = services, lang, parts, keeper, examples
        self._clients = Clients(services)
        self._running: dict[str, Running] = {}
        self._sending: set[str] = set()
        self._tickets = Tickets()

    async def send(
        self, written: dict[str, Any] | None, conversation: Conversation, *options: Any
    ) -> AsyncIterator[Update]:
        """Asks what is sent, below what is shown; a question that comes again, with its ticket, is not asked again.

        An answer counts as come with its last piece: whoever sees it may ask on at once, whatever Gradio still does.

        Raises:
            InputError: another answer comes, or it is nothing to be asked.
        """
        values, rest, (ticket, session) = options[:OPTIONS], options[OPTIONS:-2], options[-2:]
        if (taken := self._tickets.known(ticket := str(ticket or ""))) is not None:
            yield {self._parts.sending.taken: mark(ticket)} if taken else {}
            return
        if session in self._sending or (session in self._running and not self._running[session].left):
            self._tickets.refuse(ticket)
            raise InputError("answer_running")
        self._sending.add(session)
        try:
            asked = asking.read_options(self._services.settings, *values)
            second, chosen = self._second(values, rest), rest[beside.VALUES :]
            text, pictures = await self._written(written, chosen)
            sent = Asked(conversation, text, pictures, asked, session, True, ticket, beside=second)
            async for update in self._ask(sent):
                yield update
        finally:
            self._sending.discard(session)
            self._tickets.refuse(ticket)

    def _second(self, values: Sequence[Any], rest: Sequence[Any]) -> beside.Beside | None:
        """Returns what a second answer is asked with, where the page has that switched on."""
        return beside.read(self._services, rest[: beside.VALUES], values) if rest else None

    async def _written(
        self, written: dict[str, Any] | None, chosen: Sequence[Any]
    ) -> tuple[str, tuple[ImagePayload, ...]]:
        text, files = (written or {}).get("text") or "", (written or {}).get("files") or []
        text = asking.check_text(text, self._services.settings)
        treatment = treatment_box.read(chosen) if chosen else None
        paths, limits = [str(path) for path in files], self._services.limits
        images = await asyncio.to_thread(load_pictures, paths, limits, treatment=treatment)
        return text, tuple(known.recalled(image) for image in images)

    async def _ask(self, asked: Asked) -> AsyncIterator[Update]:
        """Asks, or says that it does not fit; then nothing is stored, and what was written stays."""
        services = self._services
        services.visitors.check_pictures(len(asked.conversation.images()) + len(asked.pictures))
        question = asking.make_question(asked.conversation, asked.text, asked.pictures, asked.options)
        client = await self._clients.current()
        check_shapes(question.images, (await client.info()).model_ids[0])
        with services.visitors.asking():
            fitted = await fitting.fit(client, question, services.settings.max_tokens)
            if isinstance(fitted, fitting.Shortage):
                yield fit_note.shown(self._parts.fit, asked, fitted, self._lang)
                return
            if asked.beside is None:
                async for update in self._streamed(fitted, client, asked):
                    yield update
                return
            async with beside.side_of(services, asked.beside, fitted, client) as side:
                async for update in self._streamed(fitted, client, asked, side):
                    yield update

    async def _asked(self, asked: Asked) -> Conversation:
        """Returns the conversation up to the message that is asked, which is stored unless it was before."""
        conversation = asked.conversation
        if asked.again is not None:
            return conversation.until(asked.again)
        message = Message(conversation.next_id(), conversation.leaf, "user", asked.text, asked.pictures)
        return await self._add(conversation, message)

    async def send_fitting(
        self, held: fit_note.Held | None, written: dict[str, Any] | None, conversation: Conversation, *chosen: Any
    ) -> AsyncIterator[Update]:
        """Asks what did not fit in the way that was offered; of the composer, what stands there now."""
        if held is None:
            return
        asked = held.asked
        if asked.from_composer and any((written or {}).values()):
            text, pictures = await self._written(written, chosen)
            asked = replace(asked, conversation=conversation, text=text, pictures=pictures)
        asked = replace(asked, ticket="")
        async for update in self._ask(await asyncio.to_thread(fit_note.made_to_fit, asked, held.shortage)):
            yield update

    async def _streamed(
        self, question: Question, client: Client, asked: Asked, side: beside.Side | None = None
    ) -> AsyncIterator[Update]:
        parts, lang, tr = self._parts, self._lang, words(self._lang)
        ready = gr.MultimodalTextbox(submit_btn=tr("ask.send"), stop_btn=False)
        running = self._begin(asked.session)
        last, conversation = asking.Piece("", done=True, stopped=True), None
        # The server is at work while the question is stored and drawn.
        engine, seconds = self._services.engine, self._services.settings.max_seconds
        pieces: asking.Pieces | beside.PairedPieces
        if side is None:
            pieces = asking.Pieces(client, question, running.stop, seconds=seconds, engine=engine)
        else:
            pieces = beside.PairedPieces((client, question, engine), side, running.stop, seconds=seconds)
        try:
            try:
                conversation = await self._asked(asked)
                files = await asyncio.to_thread(thumbnails, conversation)
                answering: dict[str, Any] = {"submit_btn": False, "stop_btn": tr("ask.stop")}
                blank: dict[str, Any] = {"value": BLANK} if asked.from_composer and not asked.ticket else {}
                composer = gr.MultimodalTextbox(**answering, **blank)
                rows = ask_views.chat_messages(conversation, files, lang, growing=asking.Piece(""))
                self._tickets.take(asked.ticket)
                also = fit_note.hidden(parts.fit) | {parts.sending.taken: mark(asked.ticket)}
                yield {parts.composer: composer, parts.chatbot: rows, parts.conversation: conversation, **also}
                async for last in pieces:
                    if not last.done and not running.left:
                        rows = ask_views.chat_messages(conversation, files, lang, growing=last, beside=pieces.other)
                        yield {parts.chatbot: rows}
            finally:
                await pieces.close()
                if not last.done:  # the page was closed: what had come by then is not lost
                    so_far = pieces.so_far()
                    last = replace(last, text=so_far.text, answer=so_far)
                if conversation is not None:
                    for reply in replies(conversation, last, pieces.other, asked):
                        conversation = await self._add(conversation, reply(conversation))
            shown = {} if running.left else await self._shown(conversation, question)
        except Exception:
            yield {parts.composer: ready}
            raise
        finally:
            if self._running.get(asked.session) is running:
                del self._running[asked.session]
        if self._running.get(asked.session) is None:  # else the next answer has the composer already
            yield {parts.composer: ready, **shown}

    def _begin(self, session: str) -> Running:
        """Returns what can end the answer that begins; the visitor's one before it ends where it is."""
        self.leave(session)
        self._sending.discard(session)
        running = self._running[session] = Running()
        return running

    def leave(self, session: str | None) -> None:
        """Ends the visitor's running answer, which something else takes the place of: it is stored, and not shown."""
        if running := self._running.get(session or ""):
            running.left = True
            running.stop.set()

    async def stop(self, session: str) -> None:
        """Ends the visitor's running answer."""
        if running := self._running.get(session):
            running.stop.set()

    async def _add(self, conversation: Conversation, message: Message) -> Conversation:
        """Returns the conversation with the message; where it cannot be stored, that is said once and it goes on."""
        try:
            return await asyncio.to_thread(self._keeper.add, conversation, message)
        except StoreError as problem:
            warn(StoreError("conversation_unstored", reason=problem.message(self._lang)), self._lang)
            return replace(conversation, unstored=True).add(message)

    async def again(self, index: Any, conversation: Conversation, *options: Any) -> AsyncIterator[Update]:
        """Asks the question at a place of the conversation once more, as another version of its answer."""
        *values, session = options
        path = conversation.path()
        asked = asking.read_options(self._services.settings, *values[:OPTIONS])
        user = next(each for each in reversed(path[: place_of(index) + 1]) if each.role == "user")
        before = conversation.until(user.parent)
        second = self._second(values[:OPTIONS], values[OPTIONS:])
        sent = Asked(before, user.text, user.images, asked, session, again=user.id, beside=second)
        async for update in self._ask(sent):
            yield update

    async def edited(self, index: Any, text: str, conversation: Conversation, *options: Any) -> AsyncIterator[Update]:
        """Asks an edited question with the same pictures, as another version from there on."""
        *values, session = options
        message = conversation.path()[place_of(index)]
        asked = asking.read_options(self._services.settings, *values[:OPTIONS])
        text = asking.check_text(restored(text), self._services.settings)
        second, before = self._second(values[:OPTIONS], values[OPTIONS:]), conversation.until(message.parent)
        async for update in self._ask(Asked(before, text, message.images, asked, session, beside=second)):
            yield update

    async def turn(self, session: str | None, conversation: Conversation, step: int) -> Update:
        """Shows the version before or after the one that is shown."""
        versions = conversation.versions()
        if not versions:
            return {self._parts.conversation: conversation}
        self.leave(session)
        now = versions.index(conversation.leaf) if conversation.leaf in versions else len(versions)
        return await self._shown(conversation.until(versions[(now + step) % len(versions)]))

    async def clear(self, session: str | None) -> Update:
        """Begins a new conversation; the old one stays in the store."""
        return await self.show(session, Conversation(), BLANK)

    async def show(self, session: str | None, conversation: Conversation, written: dict[str, Any]) -> Update:
        """Shows a conversation, and what is being written below it."""
        self.leave(session)
        return {**await self._shown(conversation), self._parts.composer: gr.MultimodalTextbox(value=written)}

    async def open(self, session: str | None, chat_id: str) -> Update:
        """Shows a stored conversation.

        Raises:
            StoreError: there is none with this id.
        """
        opened = await asyncio.to_thread(self._keeper.open, chat_id)
        self.leave(session)
        return await self._shown(opened)

    def named(self, conversation: Conversation, name: str) -> Update:
        """Shows a conversation's new name."""
        renamed = replace(conversation, name=name)
        return {self._parts.conversation: renamed, self._parts.title: ask_views.title_html(renamed)}

    async def example(self, index: int, written: dict[str, Any] | None) -> Update:
        """Puts an example's picture and question into the composer, and its temperature into the settings.

        Raises:
            InputError: there is no such example.
        """
        if not 0 <= index < len(self._examples):
            raise InputError("event_unreadable")
        chosen = self._examples[index]
        value: dict[str, Any] = {"text": chosen.question[self._lang], "files": [str(chosen.picture)]}
        return {self._parts.composer: gr.MultimodalTextbox(value=value), self._parts.options[0]: chosen.temperature}

    async def _shown(self, conversation: Conversation, sent: Question | None = None) -> Update:
        """Returns what every component shows of a conversation; `sent` is the last question as it was sent."""
        codes = await code_of(self._services, self._clients, sent or asking.question_of(conversation))
        parts = self._parts
        hidden = fit_note.hidden(parts.fit)
        return await shown(parts, conversation, self._lang) | hidden | dict(zip(parts.codes, codes, strict=True))
