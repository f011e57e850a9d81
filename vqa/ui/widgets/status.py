"""The strip at the top of every tab: which model answers, or what it is waiting for. Renders and polls; no logic."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import PurePath
from typing import Any

import gradio as gr

from vqa.engine.kept_profile import USUAL
from vqa.engine.state import EngineState, Snapshot
from vqa.errors import VQAError
from vqa.markup import Markup, html, joined
from vqa.models.serve import DEMO_NAME, plan_start
from vqa.settings import DEMO_MODEL
from vqa.text import Language, t
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets.blocks import root
from vqa.ui.widgets.notices import safely
from vqa.ui.widgets.parts import Tone, error_card

TONES: dict[EngineState, Tone] = {
    EngineState.READY: "good",
    EngineState.UNHEALTHY: "warn",
    EngineState.BACKOFF: "warn",
    EngineState.FAILED: "bad",
    EngineState.STOPPED: "plain",
}
SECONDS_UNSETTLED, SECONDS_SETTLED = 1.0, 4.0
STARTABLE = frozenset({EngineState.STOPPED, EngineState.FAILED})
ACT_SCRIPT = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (!button || button.disabled) return;
  button.disabled = true;
  setTimeout(() => { button.disabled = false; }, 3000);
  trigger('click', {act: button.dataset.act});
});
"""
"""Tells the server which of the strip's buttons was pressed; one that changed nothing can soon be pressed again."""


def build(services: Services, lang: Language) -> None:
    """Renders the strip and keeps it true, often while something is under way and seldom when not."""
    public = services.settings.public
    looking = html('<div class="vqa-looking">…</div>')  # until the page has loaded
    strip = gr.HTML(looking, elem_id="vqa-strip", padding=False, js_on_load=None if public else ACT_SCRIPT)
    shown = gr.State("")
    timer = gr.Timer(SECONDS_UNSETTLED)

    def poll(before: str) -> Any:
        try:
            snapshot = services.engine.snapshot()
        except VQAError as problem:
            return error_card(problem, lang), "", gr.Timer(SECONDS_SETTLED)
        drawn = strip_html(snapshot, lang, public=public)
        if drawn == before:
            return gr.skip(), gr.skip(), gr.skip()
        return drawn, drawn, gr.Timer(SECONDS_SETTLED if snapshot.settled else SECONDS_UNSETTLED)

    outputs = [strip, shown, timer]
    timer.tick(poll, shown, outputs, show_progress="hidden", queue=False)
    root().load(poll, shown, outputs, show_progress="hidden", queue=False)
    if not public and services.settings.base_url is None:
        strip.click(safely(lang)(_acting(services, lang)), None, [strip, shown], show_progress="hidden")


def _acting(services: Services, lang: Language) -> Callable[[gr.EventData], Awaitable[tuple[str, str]]]:
    """Returns what the strip's buttons do: the engine is started as it starts by itself, or stopped."""

    async def act(event: gr.EventData) -> tuple[str, str]:
        if event._data.get("act") == "stop":
            await asyncio.to_thread(services.engine.stop)
        else:
            spec, prepare = await asyncio.to_thread(plan_start, services.settings)
            await asyncio.to_thread(services.engine.start, spec, prepare)
        drawn = strip_html(services.engine.snapshot(), lang)
        return drawn, drawn

    return act


def model_name(snapshot: Snapshot) -> str:
    """Returns the short name of the model that runs or is being started; empty when there is none."""
    given = snapshot.model_id or (snapshot.spec.model if snapshot.spec else "")
    return PurePath(given).name if given.startswith(("/", ".")) else given


def is_demo(snapshot: Snapshot) -> bool:
    """Returns whether it is the bundled model, which knows drawn shapes only."""
    return snapshot.model_id == DEMO_NAME or bool(snapshot.spec and snapshot.spec.model == str(DEMO_MODEL))


def strip_html(snapshot: Snapshot, lang: Language, *, public: bool = False) -> Markup:
    """Returns the strip for a snapshot; text that moves with the clock is left to the page's script."""
    tr = words(lang)
    tone = TONES.get(snapshot.state, "busy")
    name = model_name(snapshot)
    parts = [html("<strong>{}</strong>", name)] if name else []
    parts.append(html("<span>{}</span>", state_text(snapshot, lang)))
    if snapshot.state in {EngineState.STARTING, EngineState.DOWNLOADING} and snapshot.started:
        parts.append(html('<span class="clock" data-since="{:.0f}"></span>', snapshot.started))
    own = snapshot.spec if not snapshot.attached and snapshot.state not in STARTABLE else None
    if own is not None and own.profile != USUAL:
        parts.append(html("<span>{}</span>", tr("ui.profile", profile=own.profile)))
    if snapshot.state is EngineState.READY and is_demo(snapshot):
        parts.append(html('<span class="aside">{}</span>', tr("ui.demo_short")))
    if not public and not snapshot.attached:
        act = "start" if snapshot.state in STARTABLE else "stop"
        if snapshot.state is not EngineState.STOPPING:
            name = tr(f"server.{act}")
            parts.append(html('<button type="button" class="act" data-act="{}">{}</button>', act, name))
    if not public and snapshot.state not in {EngineState.READY, EngineState.STARTING}:
        parts.append(html('<a href="?tab=server" data-vqa-tab="server">{}</a>', tr("ui.open_server")))
    return html(
        '<div class="vqa-strip {}" role="status"><i class="dot" aria-hidden="true"></i>{}</div>', tone, joined(parts)
    )


def state_text(snapshot: Snapshot, lang: Language) -> str:
    """Returns the state in a few words, with the phase of a start or the share of a download."""
    text = t(f"server.state_{snapshot.state.value}", lang)
    if snapshot.state is EngineState.STARTING and snapshot.phase is not None:
        return f"{text} · {t(f'server.phase_{snapshot.phase.value}', lang)}"
    progress = snapshot.progress
    if snapshot.state is EngineState.DOWNLOADING and progress is not None and progress.installing:
        return t("server.state_installing", lang)
    if snapshot.state is EngineState.DOWNLOADING and progress is not None and progress.total_bytes:
        return f"{text} · {100 * progress.done_bytes / progress.total_bytes:.0f}%"
    if snapshot.attached and snapshot.state is EngineState.READY:
        return f"{text} · {t('server.attached', lang)}"
    return text
