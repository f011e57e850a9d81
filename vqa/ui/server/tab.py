"""The Server tab: the engine's state, start and stop, flags, log, figures, models. Renders and binds; no logic."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import gradio as gr

from vqa.engine.machine import Machine
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState, Snapshot
from vqa.engine.vllm_args import help_texts, learn, must_ask
from vqa.errors import VQAError
from vqa.models.serve import plan_start
from vqa.models.share import plan_share, share_again
from vqa.settings import DEMO_MODEL
from vqa.text import Language
from vqa.ui.server import environment_field, models_tab, presets_tab, profile_note, server_form, server_views
from vqa.ui.server.models_view import choices
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets import status
from vqa.ui.widgets.blocks import when_drawn
from vqa.ui.widgets.notices import safely
from vqa.ui.widgets.parts import empty, error_card

SECONDS_BUSY, SECONDS_CALM = 1.0, 3.0
LOG_LINES = 300


def build(services: Services, lang: Language) -> gr.Timer:
    """Fills the tab; returns the timer that shall tick while the tab is open."""
    tr = words(lang)
    attached = services.settings.base_url is not None
    with gr.Row(equal_height=False):
        with gr.Column(scale=6, min_width=340):
            state = gr.HTML(elem_id="vqa-state", padding=False)
            with gr.Row(visible=not attached):
                start = gr.Button(tr("server.start"), variant="primary", elem_id="vqa-start")
                stop = gr.Button(tr("server.stop"), variant="stop", interactive=False, elem_id="vqa-stop")
                restart = gr.Button(tr("server.restart"), interactive=False, elem_id="vqa-restart")
            with gr.Accordion(tr("server.log"), open=True, visible=not attached):
                log = gr.Textbox(
                    show_label=False, label=tr("server.log"), lines=12, max_lines=12, interactive=False,
                    autoscroll=False, buttons=["copy"], elem_id="vqa-log", placeholder=tr("server.log_empty"),
                )  # fmt: skip
            with gr.Accordion(tr("server.metrics"), open=True):
                metrics = gr.HTML(elem_id="vqa-metrics", padding=False)
        with gr.Column(scale=6, min_width=340):
            if attached:
                gr.HTML(empty(tr("server.attached_title"), tr("server.attached_hint")), padding=False)
            else:
                plan, profile, note = _controls(services, lang, start, restart, state)
    shown = gr.State(("", "", ""))
    timer = gr.Timer(SECONDS_CALM, active=False)
    if not attached:
        profile_note.follow(note, plan, profile, timer)

    def poll(before: tuple[str, str, str]) -> Any:
        now = _look(services, lang)
        changed = [gr.skip() if old == new else new for old, new in zip(before, now[:3], strict=True)]
        return [*changed, now[:3], *now[3:]]

    outputs = [state, log, metrics, shown, start, stop, restart, timer]
    timer.tick(poll, shown, outputs, show_progress="hidden", queue=False)
    when_drawn(lambda: poll(("", "", "")), outputs)
    log.change(None, None, None, js="() => window.vqaFollow()")
    stop.click(safely(lang)(services.engine.stop), None, None, show_progress="hidden")
    return timer


def _look(services: Services, lang: Language) -> tuple[Any, ...]:
    """Returns the card, the log, the figures, and what follows for the buttons and the timer."""
    try:
        snapshot = services.engine.snapshot()
        log = "\n".join(services.engine.log_tail(LOG_LINES))
        figures = server_views.metrics_html(services.engine.metrics_history(), lang) if snapshot.serving else ""
    except VQAError as problem:
        return error_card(problem, lang), "", "", gr.skip(), gr.skip(), gr.skip(), gr.Timer(SECONDS_CALM)
    figures = figures or server_views.metrics_html((), lang)
    calm = snapshot.settled
    return (
        server_views.state_html(snapshot, lang), log, figures,
        gr.Button(interactive=snapshot.state in status.STARTABLE),
        gr.Button(interactive=_stoppable(snapshot)),
        gr.Button(interactive=_stoppable(snapshot) and snapshot.state is not EngineState.STOPPING),
        gr.Timer(SECONDS_CALM if calm else SECONDS_BUSY),
    )  # fmt: skip


def _stoppable(snapshot: Snapshot) -> bool:
    return (
        not snapshot.attached and snapshot.state is not EngineState.STOPPED and snapshot.state is not EngineState.FAILED
    )


def _controls(
    services: Services, lang: Language, start: gr.Button, restart: gr.Button, state: gr.HTML
) -> tuple[gr.State, server_form.FormField, profile_note.ProfileNote]:
    """Draws what decides how the engine is started, and binds Start and Restart to it.

    Returns what is planned, the profile's field, and the note of what is kept.
    """
    tr, settings = words(lang), services.settings
    wanted = settings.model or "demo"
    spec = first_spec(services, wanted)
    with gr.Accordion(tr("server.what_to_start"), open=True):
        listed = choices(settings, lang)
        known = [value for _, value in listed]
        model = gr.Dropdown(
            listed if wanted in known else [(wanted, wanted), *listed], value=wanted, label=tr("server.model"),
            info=tr("server.model_info"), allow_custom_value=True, elem_id="vqa-model",
        )  # fmt: skip
        environment_field.build(services, lang)
        note = profile_note.build(services, lang, "server")
        form = server_form.render(spec, lang, help_texts(settings))
        base = gr.State(spec)
        share = plan_share(spec, Machine.load(settings))
        command = gr.HTML(server_views.command_html(spec, lang, share), elem_id="vqa-command", padding=False)
        with gr.Accordion(tr("server.paste"), open=False):
            pasted = gr.Textbox(
                show_label=False, label=tr("server.paste"), placeholder="vllm serve …", lines=2, max_lines=8,
                elem_id="vqa-paste",
            )  # fmt: skip
            take = gr.Button(tr("server.paste_take"), size="sm")
    told, fields = safely(lang), form.components()

    def explained(plan: EngineSpec) -> str:
        return server_views.command_html(plan, lang, plan_share(plan, Machine.load(settings)))

    def planned(chosen: str) -> Any:
        plan = plan_start(settings, chosen)[0]
        return [plan, explained(plan), *server_form.fill(plan)]

    def written(plan: EngineSpec, *values: Any) -> Any:
        wanted = server_form.read(plan, values)
        left = wanted.gpu_memory_utilization == plan.gpu_memory_utilization is not None
        return explained(wanted) if left else server_views.command_html(wanted, lang)

    def filled(plan: EngineSpec, told: str) -> Any:
        chosen = wanted if plan.model == spec.model else plan.model
        return [gr.Dropdown(value=chosen), plan, told, *server_form.fill(plan)]

    def parsed(text: str) -> Any:
        return filled(plan := EngineSpec.from_command(text or ""), server_views.command_html(plan, lang))

    async def checkable(wanted: EngineSpec, usual: EngineSpec) -> EngineSpec:
        if await asyncio.to_thread(must_ask, wanted, usual, settings):
            gr.Info(tr("engine.asking_vllm"))
            await asyncio.to_thread(learn, settings)
        return wanted

    async def formed(plan: EngineSpec, values: tuple[Any, ...], usual: EngineSpec) -> EngineSpec:
        wanted = as_planned(server_form.read(plan, values), usual)
        return share_again(wanted, plan, await asyncio.to_thread(Machine.load, settings))

    async def begin(chosen: str, plan: EngineSpec, *values: Any) -> str:
        spec, prepare = await asyncio.to_thread(plan_start, settings, chosen)
        wanted = await checkable(await formed(plan, values, spec), spec)
        await asyncio.to_thread(services.engine.start, wanted, prepare)
        return server_views.state_html(services.engine.snapshot(), lang)

    async def again(chosen: str, plan: EngineSpec, *values: Any) -> str:
        spec, _ = await asyncio.to_thread(plan_start, settings, chosen)
        wanted = await checkable(await formed(plan, values, spec), spec)
        await asyncio.to_thread(services.engine.restart, wanted)
        return server_views.state_html(services.engine.snapshot(), lang)

    # The engine may run otherwise than when the page was built.
    when_drawn(lambda: filled(now := first_spec(services, wanted), explained(now)), [model, base, command, *fields])
    quick: dict[str, Any] = {"show_progress": "hidden"}
    model.input(told(planned), model, [base, command, *fields], trigger_mode="always_last", **quick)
    gr.on([field.change for field in fields], told(written), [base, *fields], command, **quick)
    take.click(told(parsed), pasted, [model, base, command, *fields], **quick)
    start.click(told(begin), [model, base, *fields], state, **quick)
    restart.click(told(again), [model, base, *fields], state, **quick)
    presets_tab.build(services, lang, base, fields, model, command)
    models_tab.build(services, lang, model, state, (planned, [base, command, *fields]))
    return base, form.fields["profile"], note


def as_planned(wanted: EngineSpec, planned: EngineSpec) -> EngineSpec:
    """Returns what the form says, of the chosen model, and with the operator's own flags before a pasted command's."""
    name, own = wanted.served_model_name or planned.served_model_name, planned.extra_args
    extra_args = wanted.extra_args if wanted.extra_args[: len(own)] == own else (*own, *wanted.extra_args)
    return replace(wanted, model=planned.model, served_model_name=name, extra_args=extra_args)


def first_spec(services: Services, model: str) -> EngineSpec:
    """Returns the spec that the form shows at first; of the running engine when there is one."""
    try:
        running = services.engine.snapshot().spec
        return running or plan_start(services.settings, model)[0]
    except VQAError:
        return EngineSpec(model=str(DEMO_MODEL), port=services.settings.engine_port)
