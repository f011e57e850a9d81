"""Models on the Server tab: what is here, what fits, download, resume, delete. Renders and binds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from vqa.errors import ModelError
from vqa.models.bases import completable, complete
from vqa.models.downloads import Downloads
from vqa.models.ids import HUB_NAMES, check_id, hub_of, split_revision
from vqa.models.local import LocalModel, LocalState, list_local
from vqa.models.removal import delete
from vqa.settings import Settings
from vqa.text import Language
from vqa.ui.server.models_view import choices, jobs_html, models_html, resumable
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets.notices import safely

SECONDS = 0.7


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
class Unended:
    """What offers to go on with a download; not there while none has to be."""

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


def _unended(lang: Language) -> Unended:
    tr = words(lang)
    with gr.Row(visible=False, equal_height=True) as row:
        chosen = gr.Dropdown([], label=tr("server.unfinished"), scale=4, elem_id="vqa-unfinished")
        button = gr.Button(tr("server.resume"), size="sm", variant="primary", scale=1, elem_id="vqa-resume")
    return Unended(row, chosen, button)


def _lacking(lang: Language) -> Unended:
    """Draws what offers to complete a fine-tuned folder from its base model; not there while none lacks anything."""
    tr = words(lang)
    with gr.Row(visible=False, equal_height=True) as row:
        chosen = gr.Dropdown([], label=tr("server.lacking"), scale=4, elem_id="vqa-lacking")
        button = gr.Button(tr("server.complete"), size="sm", variant="primary", scale=1, elem_id="vqa-complete")
    return Unended(row, chosen, button)


def _lacking_now(settings: Settings, local: list[LocalModel]) -> tuple[gr.Row, gr.Dropdown]:
    found = [(f"{folder.name} ← {base.name}", str(folder)) for folder, base in completable(settings, local).items()]
    return gr.Row(visible=bool(found)), gr.Dropdown(found, value=found[0][1] if found else None)


def _deleting(lang: Language) -> tuple[gr.Dropdown, gr.Button, gr.Button]:
    """Draws what asks before it deletes; returns the choice, the button that means it, and the one that does not."""
    tr = words(lang)
    gone = gr.Dropdown([], label=tr("server.delete_model"), value=None, interactive=True)
    with gr.Row():
        ask = gr.Button(tr("server.delete"), size="sm")
        yes = gr.Button(tr("server.delete_yes"), size="sm", variant="stop", visible=False)
        no = gr.Button(tr("server.delete_no"), size="sm", visible=False)
    ask.click(lambda chosen: [gr.Button(visible=bool(chosen))] * 2, gone, [yes, no], show_progress="hidden")
    no.click(lambda: [gr.Button(visible=False)] * 2, None, [yes, no], show_progress="hidden")
    return gone, yes, no


def _under_way(jobs: Downloads, lang: Language) -> tuple[str, gr.Timer]:
    """Returns what is shown of the downloads, and the timer that goes on while one is under way."""
    now = jobs.jobs()
    return jobs_html(now, lang), gr.Timer(active=any(not job.ended for job in now))


def _offered(services: Services, lang: Language) -> tuple[gr.Row, gr.Dropdown]:
    """Returns the row that offers to resume and its choice; the row is not there when nothing has to be."""
    found = resumable(services.downloads.unfinished(list_local(services.settings)), lang)
    return gr.Row(visible=bool(found)), gr.Dropdown(found, value=found[0][1] if found else None)


def _place(settings: Settings, folder: str) -> Path:
    """Returns where a download goes; a folder that begins at no root lies among the models.

    Raises:
        ModelError: it would lead out of them again.
    """
    if ".." in Path(folder).parts:
        raise ModelError("model_target_invalid", path=folder, reason="..")
    return Path(folder) if folder.startswith("~") else settings.models_path / folder


def build(services: Services, lang: Language, model: gr.Dropdown, state: gr.HTML) -> None:
    """Draws the section and binds it."""
    tr, told, settings, jobs = words(lang), safely(lang), services.settings, services.downloads
    with gr.Accordion(tr("server.models"), open=False, elem_id="vqa-models") as section:
        unended, lacking = _unended(lang), _lacking(lang)
        wanted = _wanted(services, lang)
        with gr.Row():
            fetch = gr.Button(tr("server.download"), size="sm", variant="primary")
            cancel = gr.Button(tr("server.cancel"), size="sm")
        running = gr.HTML(elem_id="vqa-downloads", padding=False)
        table = gr.HTML(elem_id="vqa-model-table", padding=False)
        gone, yes, no = _deleting(lang)
    timer = gr.Timer(SECONDS, active=False)

    async def look() -> Any:
        rows = await asyncio.to_thread(models_html, settings, lang)
        local = await asyncio.to_thread(list_local, settings)
        here = [each.id for each in local if each.state not in {LocalState.BUNDLED, LocalState.CACHED}]
        listed = await asyncio.to_thread(choices, settings, lang)
        offer = await asyncio.to_thread(_offered, services, lang)
        short = await asyncio.to_thread(_lacking_now, settings, local)
        return rows, gr.Dropdown(here, value=None), gr.Dropdown(listed), *_under_way(jobs, lang), *offer, *short

    def moved() -> Any:
        return *_under_way(jobs, lang), *_offered(services, lang)

    def begin(model_id: str, source: str, revision: str, target: str) -> Any:
        named, folder = (model_id or "").strip(), (target or "").strip()
        check_id(split_revision(named)[0])
        place = _place(settings, folder) if folder else None
        jobs.start(named, source=hub_of(source), revision=(revision or "").strip() or None, target=place)
        return moved()

    def go_on(folder: str | None) -> Any:
        for each in jobs.unfinished(list_local(settings)):
            if str(each.folder) == folder:
                jobs.resume(each)
        return moved()

    def end(model_id: str) -> Any:
        jobs.cancel(split_revision(model_id or "")[0])
        return moved()

    def poll() -> Any:
        rows, ticking = _under_way(jobs, lang)
        return rows, ticking, *((gr.skip(), gr.skip()) if ticking.active else _offered(services, lang))

    async def remove(model_id: str | None) -> Any:
        freed = await asyncio.to_thread(delete, settings, model_id or "")
        gr.Info(tr("server.deleted", name=model_id, size=f"{freed / 1e9:.2f}"))
        return [*(await look()), gr.Button(visible=False), gr.Button(visible=False)]

    async def fill_up(folder: str | None) -> Any:
        if folder:
            copied = await asyncio.to_thread(complete, settings, Path(folder))
            gr.Info(tr("server.completed", name=Path(folder).name, files=", ".join(copied)))
        return await look()

    quick: dict[str, Any] = {"show_progress": "hidden"}
    moving = [running, timer, unended.row, unended.chosen]
    shown = [table, gone, model, *moving, lacking.row, lacking.chosen]
    section.expand(told(look), None, shown, **quick)
    fetch.click(told(begin), wanted.components(), moving, **quick)
    unended.button.click(told(go_on), unended.chosen, moving, **quick)
    lacking.button.click(told(fill_up), lacking.chosen, shown, **quick)
    cancel.click(told(end), wanted.model_id, moving, **quick)
    timer.tick(told(poll), None, moving, queue=False, **quick)
    yes.click(told(remove), gone, [*shown, yes, no], **quick)
