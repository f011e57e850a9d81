"""The choices of how pictures are made ready: tones, background, shape. Renders and reads; decodes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from vqa.media.notes import named
from vqa.media.treatment import BACKGROUNDS, SHAPES, TONES, Treatment
from vqa.text import Language
from vqa.ui.text import words

UNTOUCHED = ("auto", "auto", "whole")
"""The values of the components where nothing was chosen, in the order in which `read` takes them."""
CALLS_FOR = (
    "extreme", "tile", "on_white", "on_black", "on_gray", "on_colour", "toned_range", "toned_outliers", "toned_window",
    "toned_full", "toned_robust", "toned_chosen",
)  # fmt: skip
"""What was done to a picture that may be wanted otherwise."""


@dataclass(frozen=True)
class TreatmentParts:
    """The components of the section."""

    section: gr.Accordion
    tones: gr.Dropdown
    background: gr.Dropdown
    shape: gr.Radio

    @property
    def inputs(self) -> list[Any]:
        """The components as an event takes them, and `read` their values."""
        return [self.tones, self.background, self.shape]


def render(
    lang: Language, prefix: str = "vqa", title: str = "ask.preparation", about: str = "ask.treatment_about"
) -> TreatmentParts:
    """Returns the section, drawn and closed; the texts are its title and which pictures it is for."""
    tr = words(lang)
    with gr.Accordion(tr(title), open=False, elem_id=f"{prefix}-treatment") as section:
        gr.Markdown(tr(about))
        with gr.Row():
            tones = gr.Dropdown(
                [(tr(f"ask.tones_{name}"), name) for name in TONES], value="auto", allow_custom_value=True,
                label=tr("ask.tones"), info=tr("ask.tones_info"), min_width=200, elem_id=f"{prefix}-tones",
            )  # fmt: skip
            background = gr.Dropdown(
                [(tr(f"ask.background_{name}"), name) for name in BACKGROUNDS], value="auto", allow_custom_value=True,
                label=tr("ask.background"), info=tr("ask.background_info"), min_width=200,
                elem_id=f"{prefix}-background",
            )  # fmt: skip
        shape = gr.Radio(
            [(tr(f"ask.shape_{name}"), name) for name in SHAPES], value="whole", label=tr("ask.shape"),
            info=tr("ask.shape_info"), elem_id=f"{prefix}-shape",
        )  # fmt: skip
    return TreatmentParts(section, tones, background, shape)


def read(values: Sequence[Any], pages: str = "") -> Treatment:
    """Returns what the values of the section's components say.

    Raises:
        InputError: one of them cannot be used.
    """
    tones, background, shape = (str(value or "") for value in values)
    return Treatment(tones or "auto", background or "auto", shape or "whole", pages).check()


def calls_for(notes: tuple[str, ...]) -> bool:
    """Returns whether something was done to a picture that may be wanted otherwise."""
    return any(named(each, notes) for each in CALLS_FOR)
