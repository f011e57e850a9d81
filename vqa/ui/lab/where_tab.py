"""What holds where, on the Diagnose tab: filled when it is opened, from all runs that are stored. Renders and binds."""

from __future__ import annotations

import gradio as gr

from vqa.lab.certificate.where import KINDS, what_holds
from vqa.lab.report.where import where_table
from vqa.text import Language
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets.notices import safely


def build(services: Services, lang: Language) -> None:
    """Renders the section."""
    with gr.Accordion(words(lang)("lab.where_head"), open=False, elem_id="diagnose-where") as section:
        table = gr.HTML(elem_classes="vl")

    @safely(lang)
    def look() -> str:
        return where_table(what_holds(run for kind in KINDS for run in services.store.runs(kind=kind)), lang)

    section.expand(look, None, table, show_progress="hidden")
