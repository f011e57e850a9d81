"""Named presets on the Server tab: save what stands in the form, take one back, delete. Renders and binds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr

from vqa.engine.access import engine_args
from vqa.engine.presets import delete_preset, get_preset, load_presets, save_preset
from vqa.engine.spec import EngineSpec
from vqa.text import Language
from vqa.ui.server import server_form, server_views
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets.notices import safely


def build(
    services: Services,
    lang: Language,
    base: gr.State,
    fields: list[server_form.FormField],
    model: gr.Dropdown,
    command: gr.HTML,
) -> None:
    """Draws the section and binds it."""
    tr, told, settings = words(lang), safely(lang), services.settings
    with gr.Accordion(tr("server.presets"), open=False):
        with gr.Row():
            saved = gr.Dropdown(list(load_presets(settings)), label=tr("server.preset"), value=None, scale=3)
            use = gr.Button(tr("server.preset_use"), size="sm", scale=1, min_width=90)
            drop = gr.Button(tr("server.preset_delete"), size="sm", scale=1, min_width=90)
        with gr.Row():
            name = gr.Textbox(label=tr("server.preset_name"), max_lines=1, max_length=60, scale=3)
            save = gr.Button(tr("server.preset_save"), size="sm", scale=2, min_width=90)

    def keep(title: str, plan: EngineSpec, *values: Any) -> Any:
        save_preset(settings, title or "", server_form.read(plan, values))
        return gr.Dropdown(list(load_presets(settings)), value=(title or "").strip()), ""

    def take(title: str | None) -> Any:
        plan = get_preset(settings, title or "")
        plan = replace(plan, extra_args=(*engine_args(settings), *plan.extra_args))  # they are kept in .env alone
        shown = server_views.command_html(plan, lang)
        return [gr.Dropdown(value=plan.model), plan, shown, *server_form.fill(plan)]

    def remove(title: str | None) -> Any:
        delete_preset(settings, title or "")
        return gr.Dropdown(list(load_presets(settings)), value=None)

    quick: dict[str, Any] = {"show_progress": "hidden"}
    save.click(told(keep), [name, base, *fields], [saved, name], **quick)
    use.click(told(take), saved, [model, base, command, *fields], **quick)
    drop.click(told(remove), saved, saved, **quick)
