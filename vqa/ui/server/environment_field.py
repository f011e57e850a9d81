"""The choice of the environment whose vLLM is started next, where there are several."""

from __future__ import annotations

from typing import Any

import gradio as gr

from vqa.engine.environments import choose, chosen_name, engine_environment, environments
from vqa.text import Language
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets.notices import safely


def build(services: Services, lang: Language) -> None:
    """Draws the choice; it is hidden with less than two environments, and where VQA_VLLM_PYTHON has chosen."""
    tr, settings = words(lang), services.settings
    there = environments(settings)
    used = engine_environment(settings)
    listed = [(_label(each.name, each.state, lang), each.name) for each in there]
    field = gr.Dropdown(
        listed, value=chosen_name(settings) or (used.name if used else None), label=tr("server.engine"),
        info=tr("server.engine_info"), visible=len(there) > 1 and settings.vllm_python is None,
        elem_id="vqa-engine-environment",
    )  # fmt: skip

    def take(name: str) -> Any:
        choose(settings, name)
        gr.Info(tr("server.engine_taken", name=name))

    field.input(safely(lang)(take), field, None, show_progress="hidden")


def _label(name: str, state: str, lang: Language) -> str:
    return name if state == "ready" else f"{name} ({words(lang)(f'server.engine_state_{state}')})"
