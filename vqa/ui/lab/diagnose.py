"""The Diagnose tab: why answers differ and what makes them agree. Renders and binds; runs live in the RunManager."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from vqa.errors import InputError
from vqa.text import Language
from vqa.ui.ask.conversation import Conversation
from vqa.ui.lab import certify_tab, from_answer, horizon_tab, lab_form, lab_views, matrix_tab, remedy, where_tab
from vqa.ui.lab.diagnose_run import PARTS, DiagnoseView
from vqa.ui.lab.repeat import managed
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets import exports
from vqa.ui.widgets.blocks import when_drawn
from vqa.ui.widgets.chooser import chooser
from vqa.ui.widgets.notices import safely

TICK_SECONDS = 1.0
OF_EACH = 6
"""Requests to each of the servers behind one address."""


def build(services: Services, lang: Language, conversation: gr.State) -> None:
    """Renders the tab and binds it; `conversation` holds what is shown on the Ask tab."""
    view = DiagnoseView(services, lang)
    own = services.settings.base_url is None and not services.settings.public
    run_id, seen = gr.State(None), gr.State({})
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            form, start, stop, planned, restarts, each = _left(services, lang, own)
        with gr.Column(scale=7, min_width=320):
            progress = lab_views.panel("diagnose-progress", view.empty())
            panels = [progress, *(lab_views.panel(f"diagnose-{name}") for name in PARTS[1:-1])]
            aids = remedy.build(services, lang, run_id) if own else None
            choice = chooser(label=words(lang)("diagnose.look_into"), elem_id="diagnose-arm")
            panels.append(lab_views.panel("diagnose-detail"))
            downloads = exports.build(services, lang, run_id, "diagnose")
    timer = gr.Timer(TICK_SECONDS, active=False)
    aid_outputs = aids.outputs if aids else []
    watched = [seen, *panels, choice, stop, timer, downloads, *aid_outputs]
    opened = [run_id, *watched]
    looked = [run_id, seen, choice]
    quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False}

    def draw(run: str | None, before: dict[str, str], arm: str | None) -> Any:
        drawn = view.draw(run, before, arm)
        if drawn is None:
            return gr.skip()
        return *drawn, *(aids.state(run, drawn[0]["mark"] != before.get("mark")) if aids else ())

    def show(run: str | None) -> Any:
        return gr.skip() if run is None else (run, *draw(run, {}, None))

    @safely(lang)
    def begin(with_restarts: bool, *values: Any) -> Any:
        return show(_start(services, values, restarts=own and with_restarts))

    @safely(lang)
    def begin_asked(which: str, shown: Conversation) -> Any:
        values = from_answer.values(form, which, shown, services.settings)
        return *values, *show(_start(services, values, restarts=False))

    @safely(lang)
    def begin_each(*values: Any) -> Any:
        return show(_start_each(services, values))

    @safely(lang)
    def show_plan(*values: Any) -> Any:
        spec = lab_form.as_diagnosis(lab_form.read(values, services.settings, services.asked_model()))
        return view.plan(services.runs.plan(spec, services.base_url(), engine=managed(services)))

    @safely(lang)
    def tick(run: str | None, before: dict[str, str], arm: str | None) -> Any:
        return draw(run, before, arm)

    @safely(lang)
    def load(request: gr.Request) -> Any:
        asked = request.query_params
        run = view.found(asked.get("run")) if asked.get("tab") == "diagnose" else None
        source = view.known(run or asked.get("from"))
        if source is None:
            return gr.skip()
        beside = [view.again(source) if part is progress else gr.skip() for part in opened]
        return *lab_form.filled(services.store, source), *(show(run) if run else beside)

    press_asked, which = from_answer.render("diagnose")
    asked, filled = [which, conversation], [*form.inputs, *opened]
    for started in (
        start.click(begin, [restarts, *form.inputs], opened, show_progress="minimal"),
        each.click(begin_each, form.inputs, opened, show_progress="minimal"),
        press_asked.click(begin_asked, asked, filled, js=from_answer.WHICH, show_progress="minimal"),
    ):
        started.success(None, None, None, js=lab_views.address("diagnose"))
    planned.click(show_plan, form.inputs, panels[2], show_progress="minimal")
    stop.click(services.stop_run, run_id, None, **quiet).then(tick, looked, watched, **quiet)
    timer.tick(tick, looked, watched, **quiet)
    choice.input(tick, looked, watched, trigger_mode="always_last", **quiet)
    if aids is not None:
        checked = aids.check.click(safely(lang)(lambda *values: show(aids.again(*values))), aids.inputs, opened)
        checked.success(None, None, None, js=lab_views.address("diagnose"))
    _of_the_engine(services, lang, own, show, opened)
    when_drawn(load, [*form.inputs, *opened])


def _of_the_engine(
    services: Services, lang: Language, own: bool, show: Callable[[str | None], Any], opened: list[Any]
) -> None:
    """Renders what is measured of the engine itself, whatever is asked of it; `own` is whether it is ours to start."""
    if own:
        certify_tab.build(services, lang, show, opened)
        horizon_tab.build(services, lang, show, opened)
    if not services.settings.public:
        matrix_tab.build(services, lang, own, show, opened)
        where_tab.build(services, lang)


def _left(
    services: Services, lang: Language, own: bool
) -> tuple[lab_form.LabForm, gr.Button, gr.Button, gr.Button, gr.Checkbox, gr.Button]:
    """Renders the form; returns it with Diagnose, Stop, the plan's button, the box for restarts, and the button that
    asks each server.
    """
    tr = words(lang)
    with gr.Column(render=False, min_width=200) as buttons:
        with gr.Row():
            start = gr.Button(tr("diagnose.start"), variant="primary", elem_id="diagnose-start", min_width=120)
            stop = gr.Button(
                tr("repeat.stop"), variant="stop", interactive=False, elem_id="diagnose-stop", min_width=90
            )
        planned = gr.Button(tr("diagnose.show_plan"), size="sm", elem_id="diagnose-plan-only")
        attached = not own and not services.settings.public
        each = gr.Button(tr("diagnose.each_server"), size="sm", elem_id="diagnose-each", visible=attached)
        restarts = gr.Checkbox(label=tr("diagnose.restarts"), info=tr("diagnose.restarts_info"), visible=own)
    form = lab_form.build(services, lang, prefix="diagnose", buttons=buttons.render, repeats=False)
    return form, start, stop, planned, restarts, each


def _start(services: Services, values: Sequence[Any], *, restarts: bool) -> str:
    """Starts the diagnosis that the form's values give; returns its id."""
    from vqa.lab.run.diagnose_job import diagnose_work

    spec = lab_form.as_diagnosis(lab_form.read(values, services.settings, services.asked_model()))
    work = diagnose_work(spec, restarts=restarts)
    return services.runs.start_work(work, spec, services.base_url(), kind="diagnose", engine=managed(services))


def _start_each(services: Services, values: Sequence[Any]) -> str:
    """Starts what asks each server behind the address what the form's values say; returns the run's id.

    Raises:
        InputError: the address does not tell which servers are behind it.
    """
    from vqa.lab.run.each_server import each_work, servers_behind

    spec = lab_form.as_diagnosis(lab_form.read(values, services.settings, services.asked_model()))
    spec = replace(spec, n=OF_EACH)
    address = services.base_url()
    servers = asyncio.run(servers_behind(services.settings, address))
    if not servers:
        raise InputError("workers_untold", address=address)
    return services.runs.start_work(each_work(spec, servers), spec, address, kind="diagnose")
