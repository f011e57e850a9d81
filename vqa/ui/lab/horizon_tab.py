"""The horizon's part of the Diagnose tab: which profiles, how many at a time at most, and the button."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from vqa.errors import InputError
from vqa.lab.plan.arms import MAX_CONCURRENCY
from vqa.text import Language, t
from vqa.ui.lab import diagnose_views, lab_views
from vqa.ui.lab.remedy import reasons, trial_reasons
from vqa.ui.lab.run_view import newest_ended
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets.notices import safely


def build(services: Services, lang: Language, show: Callable[[str | None], Any], opened: list[Any]) -> None:
    """Renders the section; `show` draws the run that it starts, or that goes on, into `opened`."""
    tr = words(lang)
    free = [name for name, reason in reasons(services.settings).items() if reason is None]
    every = {**reasons(services.settings), **trial_reasons(services.settings)}
    able = [name for name, reason in every.items() if reason is None]
    with gr.Accordion(tr("horizon.head"), open=False, elem_id="diagnose-horizon"):
        gr.Markdown(tr("horizon.about"))
        with gr.Row():
            profiles = gr.CheckboxGroup(able, value=free[:1], label=tr("diagnose.certificate_profiles"))
            most = gr.Number(
                32, label=tr("horizon.most"), minimum=1, maximum=MAX_CONCURRENCY, precision=0, elem_id="horizon-most"
            )
        gr.HTML(diagnose_views.unable(every, lang))
        cost = gr.Markdown(_foretold(free[:1], 32, lang), elem_id="horizon-cost")
        with gr.Row():
            start = gr.Button(tr("horizon.start"), elem_id="horizon-start")
            resume = gr.Button(tr("horizon.resume"), elem_id="horizon-resume")

    def foretell(names: list[str], at_most: float | None) -> str:
        return _foretold(names, int(at_most or 1), lang)

    @safely(lang)
    def begin(names: list[str], at_most: float | None) -> Any:
        from vqa.lab.horizon.asked import Asked
        from vqa.lab.horizon.start import horizon_spec, start_horizon

        known = tuple(name for name in able if name in names)
        if not known or not at_most:
            raise InputError("certificate_empty")
        asked = Asked(horizon_spec(), int(at_most), profiles=known)
        return show(start_horizon(services.runs, asked, services.settings, engine=services.engine))

    @safely(lang)
    def go_on() -> Any:
        from vqa.lab.horizon.start import ended_horizon, start_horizon

        run, asked = ended_horizon(services.store, newest_ended(services.store, "horizon"))
        address = None if asked.profiles else run.header.get("base_url")
        return show(
            start_horizon(services.runs, asked, services.settings, engine=services.engine, base_url=address, resume=run)
        )

    for change in (profiles.change, most.change):
        change(foretell, [profiles, most], cost, show_progress="hidden", queue=False)
    for started in (
        start.click(begin, [profiles, most], opened, show_progress="minimal"),
        resume.click(go_on, None, opened, show_progress="minimal"),
    ):
        started.success(None, None, None, js=lab_views.address("diagnose"))


def _foretold(names: list[str], most: int, lang: Language) -> str:
    """Returns how many requests it will take, and about how long."""
    from vqa.lab.horizon.asked import Asked
    from vqa.lab.horizon.start import foretold, horizon_spec

    return t("horizon.foretold", lang, **foretold(Asked(horizon_spec(), max(1, most), profiles=tuple(names))))
