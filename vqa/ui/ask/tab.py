"""The Ask tab: a conversation with a model about pictures. Renders and binds; what happens is in ask_flow."""

from __future__ import annotations

from typing import Any, Literal

import gradio as gr

from vqa.text import Language
from vqa.ui.ask import conversations, picture_tab, sending
from vqa.ui.ask.components import AskParts, render
from vqa.ui.ask.fit_note import hidden
from vqa.ui.ask.flow import AskFlow
from vqa.ui.ask.keeping import ConversationKeeper
from vqa.ui.ask.picture_flow import PictureFlow
from vqa.ui.ask.tour_ask import bind_ask
from vqa.ui.examples import load_examples
from vqa.ui.pictures.carrier import take_over
from vqa.ui.services import Services
from vqa.ui.web.visitors import waiting
from vqa.ui.widgets.notices import safely
from vqa.ui.widgets.page_event import sent


def build(services: Services, lang: Language) -> gr.State:
    """Fills the tab; returns what holds the conversation, for the tabs that go on from an answer."""
    examples = load_examples()
    keeper = ConversationKeeper(None if services.settings.public else services.store)
    parts = render(services, lang, examples, keeps=keeper.keeps)
    flow = AskFlow(services, lang, parts, keeper, examples)
    _bind_asking(services, parts, flow, lang)
    pictures = PictureFlow(services, parts, lang)
    _bind_pictures(parts, flow, pictures, lang)
    picture_tab.bind(services, parts, pictures, lang)
    bind_ask(parts, flow, lang)
    if parts.talks is not None:

        async def reopen(request: gr.Request) -> Any:
            chat_id = request.query_params.get("chat")
            return await flow.open(request.session_hash, chat_id) if chat_id else gr.skip()

        # Pressed by assets/page.js where the address names a conversation.
        reopening = gr.Button(visible="hidden", elem_id="vqa-reopen")
        reopening.click(safely(lang)(reopen), None, parts.outputs(), show_progress="hidden")
        conversations.bind(services, lang, parts, parts.talks, flow, keeper)
    return parts.conversation


def _bind_asking(services: Services, parts: AskParts, flow: AskFlow, lang: Language) -> None:
    told, outputs = safely(lang), parts.outputs()
    shared: dict[str, Any] = {"show_progress": "hidden"} | waiting(services.settings, "ask", parts.composer)

    @told
    async def send(request: gr.Request, written: Any, conversation: Any, *options: Any) -> Any:
        async for update in flow.send(written, conversation, *options, request.session_hash):
            yield update

    @told
    async def again(data: gr.RetryData, request: gr.Request, conversation: Any, *options: Any) -> Any:
        async for update in flow.again(data.index, conversation, *options, request.session_hash):
            yield update

    @told
    async def edited(data: gr.EditData, request: gr.Request, conversation: Any, *options: Any) -> Any:
        async for update in flow.edited(data.index, data.value, conversation, *options, request.session_hash):
            yield update

    @told
    async def send_fitting(held: Any, written: Any, conversation: Any, *chosen: Any) -> Any:
        async for update in flow.send_fitting(held, written, conversation, *chosen):
            yield update

    async def stop(request: gr.Request) -> None:
        await flow.stop(request.session_hash or "")

    with_options = [parts.conversation, *parts.options, *parts.beside]
    # Gradio's "once" drops what is sent before it has wound up the event before, whose answer is on the page by then.
    # In a public demo it also keeps a second Enter out of the queue.
    mode: Literal["once", "multiple"] = "once" if services.settings.public else "multiple"
    chosen = parts.treatment.inputs
    way, box = parts.sending, parts.composer
    asked = [way.held, *with_options, *chosen, way.ticket]
    here: dict[str, Any] = {"show_progress": "hidden", "queue": False}
    if services.settings.public:
        # What waits for its turn says so on the composer, which Gradio does only while it holds what is asked.
        box.submit(send, [box, *asked[1:]], outputs, trigger_mode=mode, **shared)
    else:
        # Gradio handles the listeners of one event one after the other: what is sent has left the composer by then.
        box.submit(None, box, [box, way.held], js=sending.TAKE, **here)
        way.resume.click(None, None, way.held, js=sending.RESUME, **here)
        for event in (box.submit, way.resume.click):
            going = event(send, asked, outputs, js=sending.NAMED, trigger_mode=mode, **shared)
            for ended in (going.then, going.failure):
                ended(None, box, box, js=sending.ENDED, **here)
    parts.chatbot.retry(again, with_options, outputs, **shared)
    parts.chatbot.edit(edited, with_options, outputs, **shared)
    fitting = [parts.fit.held, parts.composer, parts.conversation, *chosen]
    parts.fit.accept.click(send_fitting, fitting, outputs, **shared)
    parts.fit.dismiss.click(lambda: hidden(parts.fit), None, parts.fit.outputs(), show_progress="hidden")
    parts.composer.stop(stop, None, None, show_progress="hidden", queue=False)
    quick: dict[str, Any] = {"show_progress": "hidden"}
    for button, step in ((parts.earlier, -1), (parts.later, 1)):

        async def turn(request: gr.Request, conversation: Any, step: int = step) -> Any:
            return await flow.turn(request.session_hash, conversation, step)

        button.click(told(turn), parts.conversation, outputs, **quick)

    async def clear(request: gr.Request) -> Any:
        return await flow.clear(request.session_hash)

    parts.new.click(told(clear), None, outputs, **quick)


def _bind_pictures(parts: AskParts, flow: AskFlow, pictures: PictureFlow, lang: Language) -> None:
    told = safely(lang)
    quick: dict[str, Any] = {"show_progress": "minimal"}
    if parts.gallery is not None:

        async def chosen(event: gr.EventData, written: Any) -> Any:
            return await flow.example(sent(event, "index", int), written)

        last: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}
        filled = [parts.composer, parts.options[0]]
        parts.gallery.select(told(chosen), parts.composer, filled, **last)
        # A card is asked at once, by the same button that a person would press.
        card = parts.chatbot.example_select(told(chosen), parts.composer, filled, **last)
        card.then(None, None, None, js="() => window.vqaSending.press()", show_progress="hidden", queue=False)
    asked, fetching = [parts.fetch.click, parts.address.submit], [parts.carrier, parts.address]
    for filling in (
        gr.on(asked, told(pictures.fetch), [parts.address, parts.composer, *parts.treatment.inputs], fetching, **quick),
        parts.shoot.click(told(pictures.take), [parts.camera, parts.composer], [parts.carrier, parts.camera], **quick),
    ):
        take_over(filling, parts.carrier, parts.composer, parts.tray.tray)
    there: dict[str, Any] = {"show_progress": "hidden", "queue": False}
    parts.camera.change(lambda taken: gr.Button(interactive=bool(taken)), parts.camera, parts.shoot, **there)
