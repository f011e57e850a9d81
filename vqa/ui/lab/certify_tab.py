"""The engine certificate's part of the Diagnose tab: which profiles, which loads, and the button. Renders and binds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import gradio as gr

from vqa.engine.environments import environments
from vqa.errors import InputError
from vqa.text import Language
from vqa.ui.lab import diagnose_views, lab_views
from vqa.ui.lab.remedy import reasons, trial_reasons
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets.notices import safely

LOADS = (1, 2, 8, 32)
USUAL_LOADS = (1, 8)


def build(services: Services, lang: Language, show: Callable[[str | None], Any], opened: list[Any]) -> None:
    """Renders the section; `show` draws the run that it starts into `opened`."""
    tr = words(lang)
    free = [name for name, reason in reasons(services.settings).items() if reason is None]
    every = {**reasons(services.settings), **trial_reasons(services.settings)}
    able = [name for name, reason in every.items() if reason is None]
    with gr.Accordion(tr("diagnose.certificate_head"), open=False, elem_id="diagnose-certificate"):
        gr.Markdown(tr("diagnose.certificate_about"))
        with gr.Row():
            profiles = gr.CheckboxGroup(able, value=free, label=tr("diagnose.certificate_profiles"))
            loads = gr.CheckboxGroup(list(LOADS), value=list(USUAL_LOADS), label=tr("diagnose.certificate_loads"))
        gr.HTML(diagnose_views.unable(every, lang))
        ready = [each.name for each in environments(services.settings) if each.state == "ready"]
        engines = gr.CheckboxGroup(
            ready, label=tr("diagnose.certificate_engines"), info=tr("diagnose.certificate_engines_info"),
            visible=len(ready) > 1, elem_id="certificate-engines",
        )  # fmt: skip
        start = gr.Button(tr("diagnose.certify"), elem_id="diagnose-certify")

    @safely(lang)
    def begin(names: list[str], at_a_time: list[int], compared: list[str]) -> Any:
        from vqa.lab.certificate.certify import start_certificate

        known = [name for name in able if name in names]
        chosen = sorted(load for load in LOADS if load in at_a_time)
        if not known or not chosen:
            raise InputError("certificate_empty")
        # Sorted by version: the earlier one first. A single one is the one that is used anyway.
        of = sorted(compared, key=_version) if len(compared) > 1 else ()
        run = start_certificate(services.runs, services.engine, services.settings, known, chosen, engines=of)
        return show(run)

    started = start.click(begin, [profiles, loads, engines], opened, show_progress="minimal")
    started.success(None, None, None, js=lab_views.address("diagnose"))


def _version(name: str) -> list[int]:
    """Returns the numbers in the name of an environment, such as `vllm-0.33.0`, for sorting."""
    return [int(part) for part in re.findall(r"\d+", name)]
