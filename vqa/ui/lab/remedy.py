"""What can be done on a managed engine after a diagnosis: restart it under a profile, check again, keep or go back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import gradio as gr

from vqa.engine.kept_profile import USUAL, keep_profile, kept_profile
from vqa.engine.machine import Machine
from vqa.engine.profiles import PROFILES, TRIALS
from vqa.errors import EngineError, InputError
from vqa.lab.report import outcomes
from vqa.lab.run.documents import spec_from_record
from vqa.settings import Settings
from vqa.store import Run
from vqa.text import Language
from vqa.ui.lab import diagnose_views, lab_views
from vqa.ui.server import profile_note
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets.notices import safely


@dataclass(frozen=True)
class Aids:
    """The components of this section, and what they do."""

    services: Services
    lang: Language
    section: gr.Column
    listed: gr.HTML
    choice: gr.Radio
    check: gr.Button
    settled: gr.Row
    note: profile_note.ProfileNote
    inputs: list[Any]

    @property
    def outputs(self) -> list[Any]:
        """What `state` returns values for."""
        return [self.section, self.listed, self.choice, self.settled, *self.note.outputs]

    def state(self, run_id: str | None, changed: bool) -> tuple[Any, ...]:
        """Returns what to show for a run: nothing while it is under way, the profiles once it has concluded."""
        if run_id is None or not changed:
            return (gr.skip(),) * 7
        run = self.services.store.run(run_id)
        found = outcomes.diagnosis_of(run)
        spec = self.services.engine.snapshot().spec
        # Under another model a second diagnosis would compare two models instead of two profiles.
        if run.status == "running" or found is None or spec is None or spec.model != model_of(run):
            return gr.Column(visible=False), gr.skip(), gr.skip(), gr.Row(visible=False), *self.note.state(None)
        current = spec.profile
        why = reasons(self.services.settings)
        free = [name for name, reason in why.items() if reason is None and name != current]
        offered = next((name for name in found.profiles if name in free), free[0] if free else None)
        listed = diagnose_views.profiles(why, current, found.profiles, self.lang)
        checked = bool((run.result or {}).get("before"))
        choice = gr.Radio(choices=free, value=offered)
        return gr.Column(visible=True), listed, choice, gr.Row(visible=checked), *self.note.state(spec.model)

    def again(self, run_id: str | None, profile: str | None) -> str:
        """Starts the same diagnosis under a profile; returns the new run's id."""
        from vqa.lab.run.diagnose_job import diagnose_work

        if run_id is None or profile not in PROFILES:
            raise InputError("profile_unknown", name=profile or "–", known=", ".join(PROFILES))
        services = self.services
        run = services.store.run(run_id)
        spec = spec_from_record(run.plan["spec"], services.store)
        work = diagnose_work(spec, profile=profile, before=run_id)
        return services.runs.start_work(work, spec, services.base_url(), kind="diagnose", engine=services.engine)


def build(services: Services, lang: Language, run_id: gr.State) -> Aids:
    """Renders the section, hidden until a diagnosis has concluded."""
    tr = words(lang)
    with gr.Column(visible=False, elem_id="diagnose-remedy") as section:
        listed = lab_views.panel("diagnose-profiles")
        choice = gr.Radio(label=tr("diagnose.profile"), elem_id="diagnose-profile")
        check = gr.Button(tr("diagnose.check_again"), variant="primary", elem_id="diagnose-again")
        with gr.Row(visible=False) as settled:
            keep = gr.Button(tr("diagnose.keep"), elem_id="diagnose-keep")
            back = gr.Button(tr("diagnose.go_back"), elem_id="diagnose-back")
        note = profile_note.build(services, lang, "diagnose")

    @safely(lang)
    def keep_shown(run_id: str | None) -> Any:
        run = services.store.run(run_id or "")
        model = model_of(run)
        if model is None:
            raise EngineError("engine_not_managed")
        return note.keep(model, (run.result or {}).get("profile") or USUAL)

    @safely(lang)
    def go_back(run_id: str | None) -> Any:
        run, spec = services.store.run(run_id or ""), services.engine.snapshot().spec
        former = ((run.result or {}).get("before") or {}).get("result") or {}
        profile = former.get("profile") or USUAL
        if spec is None:
            raise EngineError("engine_not_managed")
        if kept_profile(services.settings, spec.model) == (run.result or {}).get("profile"):
            keep_profile(services.settings, spec.model, profile)
        services.engine.restart(spec.with_profile(profile))
        gr.Info(tr("diagnose.going_back", profile=profile))
        return note.state(spec.model)

    keep.click(keep_shown, run_id, note.outputs, show_progress="hidden")
    back.click(go_back, run_id, note.outputs, show_progress="hidden")
    return Aids(services, lang, section, listed, choice, check, settled, note, [run_id, choice])


def model_of(run: Run) -> str | None:
    """Returns the folder of the model that a run asked on an engine managed here, or None."""
    found: str | None = (run.header.get("engine") or {}).get("model_path")
    return found


@cache
def trial_reasons(settings: Settings) -> dict[str, str | None]:
    """Returns for each trial why it cannot run on this machine (a text key), or None when it can."""
    machine = Machine.load(settings)
    return {name: profile.available(machine) for name, profile in TRIALS.items()}


@cache
def reasons(settings: Settings) -> dict[str, str | None]:
    """Returns for each profile why it cannot run on this machine (a text key), or None when it can."""
    machine = Machine.load(settings)
    return {name: profile.available(machine) for name, profile in PROFILES.items()}
