"""The components of the Ask tab and where they stand; binds nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from vqa.media.video import SUFFIXES
from vqa.text import Language
from vqa.ui.ask import ask_views, beside, fit_note, sending, talks
from vqa.ui.ask.asking import most_pictures
from vqa.ui.ask.conversation import Conversation
from vqa.ui.ask.harmless import LATEX
from vqa.ui.examples import Example
from vqa.ui.pictures import carrier, region_box, tray, treatment_box
from vqa.ui.services import Services
from vqa.ui.text import words

PICTURES = ["image", ".pdf", *SUFFIXES]
SESSION_SECONDS = 6 * 3600
CARDS = 4
"""Examples in an empty conversation, each asked in one press; the others stand below."""


@dataclass(frozen=True)
class AskParts:
    """Every component that a handler of the Ask tab reads or writes."""

    conversation: gr.State
    chatbot: gr.Chatbot
    composer: gr.MultimodalTextbox
    carrier: gr.MultimodalTextbox
    sending: sending.SendingParts
    fit: fit_note.FitParts
    tray: tray.TrayParts
    treatment: treatment_box.TreatmentParts
    region_box: region_box.RegionParts
    options: tuple[gr.components.Component, ...]
    """In the order of `asking.read_options`."""
    beside: tuple[gr.components.Component, ...]
    """In the order of `beside.read`."""
    title: gr.HTML
    new: gr.Button
    versions: gr.HTML
    versions_row: gr.Row
    earlier: gr.Button
    later: gr.Button
    gallery: gr.Gallery | None
    address: gr.Textbox
    fetch: gr.Button
    camera: gr.Image
    shoot: gr.Button
    marks: gr.HTML
    table: gr.HTML
    received: gr.HTML
    sure: gr.HTML
    codes: tuple[gr.Code, gr.Code, gr.Code]
    talks: talks.TalksParts | None
    """The stored conversations, where any are kept."""

    def outputs(self) -> list[Any]:
        """Returns what a question, or showing another conversation, may change."""
        shown = [self.composer, self.chatbot, self.conversation, self.title, self.received, self.sure, self.marks]
        panels = [self.table, self.versions, self.versions_row, *self.fit.outputs(), *self.codes]
        return [*shown, *panels, self.sending.taken]


def render(services: Services, lang: Language, examples: tuple[Example, ...], *, keeps: bool = False) -> AskParts:
    """Returns the components, drawn; `keeps` says that conversations outlive the page, so that there is a list."""
    tr = words(lang)
    conversation = gr.State(Conversation(), time_to_live=SESSION_SECONDS)
    with gr.Row(equal_height=False, elem_id="vqa-ask"):
        kept = talks.render(lang) if keeps else None
        with gr.Column(scale=7, min_width=340, elem_id="vqa-talk"):
            with gr.Row(elem_classes="vqa-bar-row"):
                if keeps:
                    drawer = gr.Button(tr("ask.conversations"), size="sm", scale=0, min_width=40, elem_id="vqa-drawer")
                    drawer.click(None, None, None, js="() => window.vqaDrawer()", show_progress="hidden", queue=False)
                title = gr.HTML("", elem_id="vqa-chat-title", padding=False)
                new = gr.Button(tr("ask.new"), size="sm", scale=0, min_width=150, elem_id="vqa-new")
            chatbot = _chatbot(examples, lang)
            with gr.Row(visible=False, elem_classes="vqa-bar-row") as versions_row:
                versions = gr.HTML("", padding=False)
                earlier = gr.Button(tr("ask.earlier"), size="sm", scale=0, min_width=90)
                later = gr.Button(tr("ask.later"), size="sm", scale=0, min_width=90)
            with gr.Column(elem_id="vqa-dock"):
                fit = fit_note.render(lang, SESSION_SECONDS)
                on_its_way, shown_tray = sending.render(lang), tray.render_tray()
                pictures = tray.render(lang, most_pictures(services.settings), SESSION_SECONDS, shown_tray)
                composer, carried = _composer(lang), carrier.render()
                with gr.Row(elem_id="vqa-tools"):  # each opens above the composer: assets/ask.css
                    address, fetch, camera, shoot = _more_ways(lang)
                    box, treatment = region_box.render(lang, SESSION_SECONDS), treatment_box.render(lang)
                    second, options = beside.render(services, lang), _options(services, lang)
        with gr.Column(scale=5, min_width=320, elem_id="vqa-side"):
            marks, table = gr.HTML(visible=False, padding=False), gr.HTML(visible=False, padding=False)
            with gr.Accordion(tr("ask.received"), open=True, elem_id="vqa-received-part"):
                received = gr.HTML(ask_views.received_html((), None, lang), elem_id="vqa-received", padding=False)
            with gr.Accordion(tr("ask.sure"), open=True, elem_id="vqa-sure-part"):
                sure = gr.HTML(ask_views.sure_html(None, lang), elem_id="vqa-sure", padding=False)
            codes = _codes(lang)
            gallery = _gallery(examples, lang)
    return AskParts(
        conversation, chatbot, composer, carried, on_its_way, fit, pictures, treatment, box, options, second, title,
        new, versions, versions_row, earlier, later, gallery, address, fetch, camera, shoot, marks, table, received,
        sure, codes, kept,
    )  # fmt: skip


def _chatbot(examples: tuple[Example, ...], lang: Language) -> gr.Chatbot:
    tr = words(lang)
    cards = [{"text": each.caption(lang), "files": [str(each.thumbnail)]} for each in examples[:CARDS]]
    return gr.Chatbot(
        label=tr("ask.conversation"),
        show_label=False,
        height="100%",  # assets/ask.css: as high as the window leaves it
        layout="bubble",
        editable="user",
        buttons=["copy"],
        sanitize_html=True,
        allow_tags=False,
        render_markdown=True,
        latex_delimiters=LATEX,
        feedback_options=None,
        group_consecutive_messages=False,
        placeholder=f"**{tr('ask.empty')}**\n\n{tr('ask.empty_hint')}\n\n[{tr('tour.empty_link')}](#tour)",
        examples=cards,  # type: ignore[arg-type]
        elem_id="vqa-chat",
    )


def _composer(lang: Language) -> gr.MultimodalTextbox:
    tr = words(lang)
    return gr.MultimodalTextbox(
        label=tr("ask.question"),
        show_label=False,
        placeholder=tr("ask.placeholder"),
        sources=["upload"],
        file_types=PICTURES,
        file_count="multiple",
        lines=1,
        max_lines=8,
        submit_btn=tr("ask.send"),
        stop_btn=False,
        autofocus=True,
        max_plain_text_length=200_000,
        elem_id="vqa-composer",
    )


def _gallery(examples: tuple[Example, ...], lang: Language) -> gr.Gallery | None:
    tr = words(lang)
    if not examples:
        return None
    with gr.Accordion(tr("ask.examples"), open=True, elem_id="vqa-examples"):
        gr.Markdown(tr("ask.examples_about"))
        return gr.Gallery(
            value=[(str(example.thumbnail), example.caption(lang)) for example in examples],
            show_label=False,
            columns=6,
            height="auto",
            object_fit="contain",
            allow_preview=False,
            interactive=False,
            buttons=[],
            elem_id="vqa-gallery",
        )


def _more_ways(lang: Language) -> tuple[gr.Textbox, gr.Button, gr.Image, gr.Button]:
    tr = words(lang)
    with gr.Accordion(tr("ask.more_ways"), open=False, elem_id="vqa-ways"):
        gr.Markdown(tr("ask.more_ways_about"))
        with gr.Row(equal_height=True):
            address = gr.Textbox(
                label=tr("ask.address"),
                placeholder="https://…/picture.jpg",
                scale=4,
                elem_id="vqa-address",
                max_length=4096,
            )
            fetch = gr.Button(tr("ask.fetch"), scale=1, min_width=120)
        camera = gr.Image(
            label=tr("ask.camera"),
            sources=["webcam", "clipboard"],
            type="filepath",
            format="png",
            image_mode=None,  # anything else has Gradio decode the file in this process, and clip what is deep
            height=260,
            buttons=[],
            elem_id="vqa-camera",
        )
        shoot = gr.Button(tr("ask.use_picture"), interactive=False)
    return address, fetch, camera, shoot


def _options(services: Services, lang: Language) -> tuple[gr.components.Component, ...]:
    tr, settings = words(lang), services.settings
    with gr.Accordion(tr("ask.options"), open=False, elem_id="vqa-options"):
        with gr.Row():
            temperature = gr.Slider(0, 2, value=0, step=0.05, label="temperature", info=tr("ask.temperature_info"))
            top_p = gr.Slider(0.05, 1, value=0.9, step=0.05, label="top_p", info=tr("ask.top_p_info"))
        with gr.Row():
            most = settings.max_tokens
            max_tokens = gr.Textbox(label="max_tokens", info=tr("ask.max_tokens_info", most=most), max_lines=1)
            seed = gr.Textbox(label="seed", info=tr("ask.seed_info"), max_lines=1)
        system = gr.Textbox(label=tr("ask.system"), info=tr("ask.system_info"), lines=2, max_lines=8)
        with gr.Row():
            choices = gr.Textbox(label=tr("ask.choices"), info=tr("ask.choices_info"), lines=2, max_lines=8)
            schema = gr.Textbox(label=tr("ask.schema"), info=tr("ask.schema_info"), lines=2, max_lines=12)
    return temperature, top_p, max_tokens, seed, system, choices, schema


def _codes(lang: Language) -> tuple[gr.Code, gr.Code, gr.Code]:
    tr = words(lang)
    with gr.Accordion(tr("ask.code"), open=False, elem_id="vqa-code"):
        gr.Markdown(tr("ask.code_about"))
        with gr.Tabs():
            with gr.Tab("Python"):
                python = gr.Code(language="python", show_label=False, label="Python", interactive=False, max_lines=24)
            with gr.Tab("curl"):
                curl = gr.Code(language="shell", show_label=False, label="curl", interactive=False, max_lines=24)
            with gr.Tab("JavaScript"):
                script = gr.Code(
                    language="javascript", show_label=False, label="JavaScript", interactive=False, max_lines=24
                )
    return python, curl, script
