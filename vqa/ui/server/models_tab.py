"""Models on the Server tab: a card for each, with Download, Resume, Start and Delete in it. Renders and binds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from vqa.errors import InputError, ModelError
from vqa.models.bases import completable, complete
from vqa.models.downloads import Downloads
from vqa.models.ids import HUB_NAMES, check_id, hub_of, split_revision
from vqa.models.local import LocalModel, list_local
from vqa.models.removal import delete
from vqa.models.serve import plan_start
from vqa.settings import Settings
from vqa.text import Language
from vqa.ui.server import server_views
from vqa.ui.server.models_view import SCRIPT, choices, jobs_html, models_html
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets import status
from vqa.ui.widgets.notices import safely
from vqa.ui.widgets.page_event import sent

SECONDS = 0.7
Planned = tuple[Callable[[str], Any], list[Any]]
"""What plans a start for a model, and the components that show the plan."""


@dataclass(frozen=True)
class Wanted:
    """The fields that say which model to download, from where, and where to."""

    model_id: gr.Textbox
    source: gr.Dropdown
    revision: gr.Textbox
    target: gr.Textbox

    def components(self) -> list[Any]:
        """Returns them in this order."""
        return [self.model_id, self.source, self.revision, self.target]


@dataclass(frozen=True)
class Lacking:
    """What offers to complete a fine-tuned folder from its base model; not there while none lacks anything."""

    row: gr.Row
    chosen: gr.Dropdown
    button: gr.Button


def _wanted(services: Services, lang: Language) -> Wanted:
    tr, settings = words(lang), services.settings
    token = tr("server.token_set" if settings.hub_token else "server.token_unset")
    with gr.Row():
        model_id = gr.Textbox(
            label=tr("server.model_id"), info=tr("server.model_id_info"), scale=3,
            placeholder="OpenGVLab/InternVL2_5-1B", max_lines=1, elem_id="vqa-model-id",
        )  # fmt: skip
        source = gr.Dropdown(
            [(name, key) for key, name in HUB_NAMES.items()], value=settings.source, label=tr("server.source"),
            info=token, scale=2, elem_id="vqa-model-source",
        )  # fmt: skip
    with gr.Row():
        revision = gr.Textbox(
            settings.revision or "", label=tr("server.revision"), info=tr("server.revision_info"), scale=2,
            max_lines=1, elem_id="vqa-model-revision",
        )  # fmt: skip
        target = gr.Textbox(
            label=tr("server.target"), info=tr("server.target_info"), scale=3,
            placeholder=str(settings.models_path), max_lines=1, elem_id="vqa-model-target",
        )  # fmt: skip
    return Wanted(model_id, source, revision, target)


def _lacking(lang: Language) -> Lacking:
    tr = words(lang)
    with gr.Row(visible=False, equal_height=True) as row:
        chosen = gr.Dropdown([], label=tr("server.lacking"), scale=4, elem_id="vqa-lacking")
        button = gr.Button(tr("server.complete"), size="sm", variant="primary", scale=1, elem_id="vqa-complete")
    return Lacking(row, chosen, button)


def _lacking_now(settings: Settings, local: list[LocalModel]) -> tuple[gr.Row, gr.Dropdown]:
    found = [(f"{folder.name} ← {base.name}", str(folder)) for folder, base in completable(settings, local).items()]
    return gr.Row(visible=bool(found)), gr.Dropdown(found, value=found[0][1] if found else None)


def _under_way(jobs: Downloads, lang: Language) -> tuple[str, gr.Timer]:
    """Returns what is shown of the downloads, and the timer that goes on while one is under way."""
    now = jobs.jobs()
    return jobs_html(now, lang), gr.Timer(active=any(not job.ended for job in now))


def _place(settings: Settings, folder: str) -> Path:
    """Returns where a download goes; a folder that begins at no root lies among the models.

    Raises:
        ModelError: it would lead out of them again.
    """
    if ".." in Path(folder).parts:
        raise ModelError("model_target_invalid", path=folder, reason="..")
    return Path(folder) if folder.startswith("~") else settings.models_path / folder


class Acts:
    """What the cards' buttons do."""

    def __init__(self, services: Services, lang: Language) -> None:
        self._services, self._lang = services, lang

    async def __call__(self, act: str, model: str) -> str:
        """Does it; returns the model that the form shall show, empty where it need not change.

        Raises:
            VQAError: it cannot be done.
        """
        if act in ("start", "remove"):
            await (self._start(model) if act == "start" else self._remove(model))
        else:
            await asyncio.to_thread(self._download, act, model)
        return model if act == "start" else ""

    async def _start(self, model: str) -> None:
        engine = self._services.engine
        spec, prepare = await asyncio.to_thread(plan_start, self._services.settings, model)
        if engine.snapshot().state in status.STARTABLE:
            await asyncio.to_thread(engine.start, spec, prepare)
        else:
            await asyncio.to_thread(engine.restart, spec)

    async def _remove(self, model: str) -> None:
        freed = await asyncio.to_thread(delete, self._services.settings, model)
        gr.Info(words(self._lang)("server.deleted", name=model, size=f"{freed / 1e9:.2f}"))

    def _download(self, act: str, model: str) -> None:
        jobs = self._services.downloads
        if act == "download":
            check_id(model)
            jobs.start(model)
        elif act == "cancel":
            jobs.cancel(split_revision(model)[0])
        elif act == "resume":
            for each in jobs.unfinished(list_local(self._services.settings)):
                if str(each.folder) == model:
                    jobs.resume(each)
        else:
            raise InputError("event_unreadable")


def build(services: Services, lang: Language, model: gr.Dropdown, state: gr.HTML, planned: Planned) -> None:
    """Draws the section and binds it; `planned` fills the form for the model that a card has started."""
    tr, told, settings, jobs = words(lang), safely(lang), services.settings, services.downloads
    with gr.Accordion(tr("server.models"), open=False, elem_id="vqa-models") as section:
        lacking = _lacking(lang)
        running = gr.HTML(elem_id="vqa-downloads", padding=False, js_on_load=SCRIPT)
        cards = gr.HTML(elem_id="vqa-model-cards", padding=False, js_on_load=SCRIPT)
        gr.Markdown(tr("server.other_model"))
        wanted = _wanted(services, lang)
        fetch = gr.Button(tr("server.download"), size="sm", variant="primary")
    timer = gr.Timer(SECONDS, active=False)
    acts = Acts(services, lang)

    async def look() -> Any:
        drawn = await asyncio.to_thread(models_html, settings, lang)
        listed = await asyncio.to_thread(choices, settings, lang)
        short = await asyncio.to_thread(_lacking_now, settings, await asyncio.to_thread(list_local, settings))
        return drawn, gr.Dropdown(listed), *_under_way(jobs, lang), *short

    async def press(event: gr.EventData) -> Any:
        started = await acts(sent(event, "act", str), sent(event, "model", str))
        drawn, listed, *rest = await look()
        if not started:
            return drawn, listed, *rest, *(gr.skip() for _ in (state, *planned[1]))
        now = server_views.state_html(services.engine.snapshot(), lang)
        plan = await asyncio.to_thread(planned[0], started)
        return drawn, gr.Dropdown(listed.choices, value=started), *rest, now, *plan

    async def begin(model_id: str, source: str, revision: str, target: str) -> Any:
        named, folder = (model_id or "").strip(), (target or "").strip()
        check_id(split_revision(named)[0])
        place = _place(settings, folder) if folder else None
        jobs.start(named, source=hub_of(source), revision=(revision or "").strip() or None, target=place)
        return await look()

    async def poll() -> Any:
        rows, ticking = _under_way(jobs, lang)
        return (gr.skip(), gr.skip(), rows, ticking, gr.skip(), gr.skip()) if ticking.active else await look()

    async def fill_up(folder: str | None) -> Any:
        if folder:
            copied = await asyncio.to_thread(complete, settings, Path(folder))
            gr.Info(tr("server.completed", name=Path(folder).name, files=", ".join(copied)))
        return await look()

    quick: dict[str, Any] = {"show_progress": "hidden"}
    shown = [cards, model, running, timer, lacking.row, lacking.chosen]
    section.expand(told(look), None, shown, **quick)
    fetch.click(told(begin), wanted.components(), shown, **quick)
    lacking.button.click(told(fill_up), lacking.chosen, shown, **quick)
    timer.tick(told(poll), None, shown, queue=False, **quick)
    gr.on([cards.click, running.click], told(press), None, [*shown, state, *planned[1]], **quick)
