"""The choice among the models of somebody else's server, above all tabs; there only where it lists several."""

from __future__ import annotations

from typing import Any

import gradio as gr

from vqa.engine.attach import AttachedEngine
from vqa.engine.state import Snapshot
from vqa.errors import VQAError
from vqa.text import Language
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets.blocks import root
from vqa.ui.widgets.notices import safely

SECONDS = 4.0
Shown = tuple[tuple[str, ...], str | None]
"""The models that are listed, and the one that is asked."""


def build(services: Services, lang: Language) -> None:
    """Draws the choice and keeps it true; draws nothing where the engine is our own, or visitors look at it."""
    engine = services.engine
    if not isinstance(engine, AttachedEngine):
        return
    tr = words(lang)
    field = gr.Dropdown(
        [], label=tr("ui.served_model"), info=tr("ui.served_model_info"), visible=False, elem_id="vqa-served-model"
    )
    shown, timer = gr.State(((), None)), gr.Timer(SECONDS)

    def poll(before: Shown) -> Any:
        now = listed(engine.snapshot())
        return (gr.skip(), gr.skip()) if now == (tuple(before[0]), before[1]) else (_drawn(now), now)

    @safely(lang)
    def take(chosen: str) -> Any:
        try:
            engine.choose(chosen)
        except VQAError:
            gr.Warning(tr("ui.served_model_gone", model=chosen))
        now = listed(engine.snapshot())
        return _drawn(now), now

    quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False}
    timer.tick(poll, shown, [field, shown], **quiet)
    root().load(poll, shown, [field, shown], **quiet)
    field.input(take, field, [field, shown], **quiet)


def listed(snapshot: Snapshot) -> Shown:
    """Returns what is listed, as the server orders it but embedders and their like last, and which of it is asked."""
    return snapshot.model_ids, snapshot.model_id


def _drawn(now: Shown) -> Any:
    models, model = now
    return gr.Dropdown(choices=list(models), value=model, visible=len(models) > 1)
