"""Says under which profile a model starts from now on, with the way to undo it. Renders and binds; keeps nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import gradio as gr

from vqa.engine.kept_profile import USUAL, forget_profile, keep_profile, kept_profile
from vqa.engine.spec import EngineSpec
from vqa.models.serve import DEMO_NAME
from vqa.settings import DEMO_MODEL, Settings
from vqa.text import Language, t
from vqa.ui.server.server_form import FormField
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets.notices import safely
from vqa.ui.widgets.parts import card


@dataclass(frozen=True)
class ProfileNote:
    """The components of one note; hidden while no profile is kept for the model that it is about."""

    settings: Settings
    lang: Language
    place: gr.Column
    text: gr.HTML
    model: gr.State
    """The folder of the model that the note is about; None for none."""

    @property
    def outputs(self) -> list[Any]:
        """What `state` returns values for."""
        return [self.place, self.text, self.model]

    def state(self, model: str | None) -> tuple[Any, ...]:
        """Returns what to show for the model in that folder."""
        kept = kept_profile(self.settings, model) if model else None
        if model is None or kept is None:
            return gr.Column(visible=False), gr.skip(), model
        note = t("diagnose.kept_note", self.lang, model=model_name(model), profile=kept)
        return gr.Column(visible=True), card(note, tone="good"), model

    def keep(self, model: str, profile: str) -> tuple[Any, ...]:
        """Lets every later start of a model use a profile and says so; returns values for `outputs`."""
        keep_profile(self.settings, model, profile)
        key = "diagnose.kept_usual" if profile == USUAL else "diagnose.kept"
        gr.Info(t(key, self.lang, model=model_name(model), profile=profile))
        return self.state(model)


def build(services: Services, lang: Language, prefix: str) -> ProfileNote:
    """Renders the note, hidden, and binds its button."""
    settings = services.settings
    model = gr.State(None)
    with gr.Column(visible=False, elem_id=f"{prefix}-kept") as place:
        text = gr.HTML(padding=False)
        undo = gr.Button(words(lang)("diagnose.kept_undo"), size="sm", elem_id=f"{prefix}-unkeep")
    note = ProfileNote(settings, lang, place, text, model)

    @safely(lang)
    def forget(folder: str | None) -> Any:
        if folder is None:
            return gr.skip()
        forget_profile(settings, folder)
        gr.Info(t("diagnose.kept_undone", lang, model=model_name(folder)))
        return note.state(folder)

    undo.click(forget, model, note.outputs, show_progress="hidden")
    return note


def follow(note: ProfileNote, plan: gr.State, profile: FormField, timer: gr.Timer) -> None:
    """Keeps a note and the form's profile true to what is kept for the model of the plan, while `timer` ticks.

    The form changes only when what is kept changes, so that a choice of the user's stands.
    """
    seen = gr.State(None)

    def look(spec: EngineSpec, before: tuple[str, str] | None) -> Any:
        now = (spec.model, kept_profile(note.settings, spec.model) or USUAL)
        if now == before:
            return (gr.skip(),) * 5
        # At first the form may show what runs already; another model brings its own profile into the form.
        same = before is not None and before[0] == now[0]
        chosen = gr.Dropdown(value=now[1]) if same or (before is None and now[1] != USUAL) else gr.skip()
        return *note.state(spec.model), now, chosen

    timer.tick(look, [plan, seen], [*note.outputs, seen, profile], show_progress="hidden", queue=False)


def model_name(folder: str) -> str:
    """Returns what a model in that folder is called."""
    return DEMO_NAME if folder == str(DEMO_MODEL) else PurePath(folder).name or folder
