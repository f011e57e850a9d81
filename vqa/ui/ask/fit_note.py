"""The notice that a message does not fit into the model's context, and the way to make it fit. Renders; asks nobody."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from vqa.markup import Markup, html
from vqa.media.images import ImagePayload
from vqa.text import Language
from vqa.ui.ask.asking import AskOptions
from vqa.ui.ask.beside import Beside
from vqa.ui.ask.conversation import Conversation
from vqa.ui.ask.fitting import Shortage, resized_all
from vqa.ui.text import words
from vqa.ui.widgets.parts import card, stats


@dataclass(frozen=True)
class Asked:
    """A message on its way to the model."""

    conversation: Conversation
    """Shown up to the message before it."""
    text: str
    pictures: tuple[ImagePayload, ...]
    options: AskOptions
    session: str
    from_composer: bool = False
    ticket: str = ""
    """What the browser, which has taken it out of the composer, knows it by until it is taken."""
    again: int | None = None
    """The message of the conversation that this is, when it only gets another answer."""
    beside: Beside | None = None
    """What a second answer is asked with, if there is to be one."""


@dataclass(frozen=True)
class Held:
    """A message that was not sent, and why."""

    asked: Asked
    shortage: Shortage


@dataclass(frozen=True)
class FitParts:
    """The components of the notice."""

    held: gr.State
    column: gr.Column
    text: gr.HTML
    accept: gr.Button
    dismiss: gr.Button

    def outputs(self) -> list[Any]:
        """Returns what showing or hiding the notice changes."""
        return [self.held, self.column, self.text, self.accept]


def render(lang: Language, seconds: int) -> FitParts:
    """Returns the notice, drawn and hidden; what it holds is forgotten after so many seconds."""
    tr = words(lang)
    held = gr.State(None, time_to_live=seconds)
    with gr.Column(visible=False, elem_id="vqa-fit") as column:
        text = gr.HTML("", padding=False)
        with gr.Row():
            accept = gr.Button("", size="sm", variant="primary", scale=2, elem_id="vqa-fit-accept")
            dismiss = gr.Button(tr("ask.fit_dismiss"), size="sm", scale=1, min_width=110)
    return FitParts(held, column, text, accept, dismiss)


def hidden(parts: FitParts) -> dict[Any, Any]:
    """Returns the update that takes the notice away."""
    return {parts.held: None, parts.column: gr.Column(visible=False)}


def shown(parts: FitParts, asked: Asked, shortage: Shortage, lang: Language) -> dict[Any, Any]:
    """Returns the update that shows how much a message is too long, and what would help."""
    label = offer(asked.pictures, shortage, lang)
    return {
        parts.held: Held(asked, shortage),
        parts.column: gr.Column(visible=True),
        parts.text: note_html(shortage, lang),
        parts.accept: gr.Button(value=label, visible=bool(label)),
    }


def note_html(shortage: Shortage, lang: Language) -> Markup:
    """Returns the card: how many tokens the message takes, and how many there are."""
    tr, answer = words(lang), shortage.max_tokens or 0
    counts = [(tr("ask.fit_prompt"), str(shortage.prompt_tokens))]
    if shortage.max_tokens is not None:
        counts.append(("max_tokens", str(shortage.max_tokens)))
    elif shortage.prompt_tokens == shortage.max_model_len:  # it would fit, and nothing could be said to it
        answer = 1
        counts.append((tr("ask.fit_answer"), "1"))
    missing = shortage.prompt_tokens + answer - shortage.max_model_len
    counts += [(tr("ask.fit_length"), str(shortage.max_model_len)), (tr("ask.fit_missing"), str(missing))]
    hint = tr("ask.fit_kept") if shortage.solvable else f"{tr('ask.fit_kept')} {tr('ask.fit_nothing')}"
    return card(tr("ask.fit_title"), html("{}<p>{}</p>", stats(counts), hint), tone="warn")


def offer(pictures: tuple[ImagePayload, ...], shortage: Shortage, lang: Language) -> str:
    """Returns what the button says that it does; nothing where nothing helps."""
    tr, side, less = words(lang), shortage.side, shortage.less_tokens
    if side is None:
        return tr("ask.fit_less", n=less) if less is not None else ""
    if len(pictures) == 1:
        sent = resized_all(pictures, side)[0]
        size = tr("ask.fit_one", size=f"{sent.width}×{sent.height}")
    else:
        size = tr("ask.fit_many", side=side)
    return tr("ask.fit_resize_less", resize=size, n=less) if less is not None else tr("ask.fit_resize", resize=size)


def made_to_fit(asked: Asked, shortage: Shortage) -> Asked:
    """Returns the message as the notice offered it; with other pictures it is another message."""
    if shortage.less_tokens is not None:
        asked = replace(asked, options=replace(asked.options, max_tokens=shortage.less_tokens))
    if shortage.side is None:
        return asked
    return replace(asked, pictures=resized_all(asked.pictures, shortage.side), again=None)
