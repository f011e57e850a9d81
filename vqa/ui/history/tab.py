"""The History tab: stored runs are searched, named, opened again, compared, exported and deleted. Renders and binds."""

from __future__ import annotations

import base64
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import gradio as gr

from vqa.answers import Answer
from vqa.errors import InputError, VQAError
from vqa.lab.report import conclusions
from vqa.lab.report.reproduce import case_texts
from vqa.lab.run.recorded import is_recorded
from vqa.lab.stats.summary import Summary
from vqa.store import Run
from vqa.text import Language
from vqa.ui.history import history_views
from vqa.ui.lab import lab_views
from vqa.ui.lab.kept import KeptSummaries
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets import exports
from vqa.ui.widgets.blocks import when_drawn
from vqa.ui.widgets.notices import safely
from vqa.ui.widgets.page_event import sent

LISTED = 60
COMPARABLE = 200
SMALL_SIDE = 56
KINDS = ("all", "repeat", "diagnose", "certify", "horizon", "matrix", "compare", "evaluate")
TABS = {
    "repeat": "repeat",
    "diagnose": "diagnose",
    "certify": "diagnose",
    "horizon": "diagnose",
    "matrix": "diagnose",
    "evaluate": "evaluate",
}
OPEN = "(address) => { if (address) location.assign(location.pathname + address); }"
CHANGE = OPEN.replace("+ address", "+ address.replace('&run=', '&from=')")
CHANGEABLE = frozenset({"repeat", "diagnose"})
"""Whose form holds all that they asked."""


@dataclass(frozen=True)
class Parts:
    """The components that depend on which run is chosen."""

    essence: gr.HTML
    actions: gr.Column
    name: gr.Textbox
    other: gr.Dropdown
    address: gr.Textbox
    compared: gr.HTML
    sure: gr.Row
    downloads: gr.Row
    changed: gr.Button


def build(services: Services, lang: Language) -> gr.Timer:
    """Renders the tab and binds it; returns the timer that keeps the list true while the tab is open."""
    tr = words(lang)
    keeper = RunActions(services, lang)
    chosen, shown = gr.State(None), gr.State("")
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            with gr.Row():
                search = gr.Textbox(label=tr("history.search"), placeholder=tr("history.search_hint"), min_width=180)
                kinds = [(tr(f"history.kind_{kind}"), kind) for kind in KINDS]
                kind = gr.Dropdown(kinds, value="all", label=tr("history.kind"), min_width=120)
            listing = lab_views.panel("history-list", js_on_load=history_views.ROW_SCRIPT)
        with gr.Column(scale=6, min_width=320, elem_id="history-detail"):
            gr.HTML(
                history_views.back(lang), elem_id="history-back", padding=False, js_on_load=history_views.CLOSE_SCRIPT
            )
            parts, buttons = _chosen(services, lang, chosen)
    timer = gr.Timer(3.0, active=False)
    quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False}
    outputs = [chosen, *vars(parts).values()]

    @safely(lang)
    def refresh(text: str, wanted: str, run: str | None, before: str) -> Any:
        html = keeper.listing(text, wanted, run)
        return (gr.skip(), gr.skip()) if html == before else (html, html)

    def first() -> Any:
        html = keeper.listing("", "all", None, decode=False)  # whoever opens the page need not wait for pictures
        return html, html

    @safely(lang)
    def choose(event: gr.EventData) -> Any:
        return keeper.choose(sent(event, "run", str))

    listed: tuple[Any, ...] = (refresh, [search, kind, chosen, shown], [listing, shown])
    timer.tick(*listed, **quiet)
    when_drawn(safely(lang)(first), [listing, shown])  # so that the list is there before the first tick
    search.change(*listed, **quiet)
    kind.change(*listed, **quiet)
    chosen_last: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}
    listing.click(choose, None, outputs, **chosen_last).then(*listed, **quiet)
    rename, compare, delete, yes, no = buttons
    told: dict[str, Any] = {"show_progress": "hidden"}  # a notice reaches the page through the queue alone
    rename.click(safely(lang)(keeper.rename), [chosen, parts.name], None, **told).then(*listed, **quiet)
    parts.name.submit(safely(lang)(keeper.rename), [chosen, parts.name], None, **told).then(*listed, **quiet)
    compare.click(safely(lang)(keeper.compare), [chosen, parts.other], parts.compared, show_progress="minimal")
    delete.click(lambda: gr.Row(visible=True), None, parts.sure, **quiet)
    no.click(lambda: gr.Row(visible=False), None, parts.sure, **quiet)
    yes.click(safely(lang)(keeper.delete), chosen, outputs, **told).then(*listed, **quiet)
    return timer


def _chosen(services: Services, lang: Language, chosen: gr.State) -> tuple[Parts, tuple[gr.Button, ...]]:
    """Renders what can be done with the chosen run; returns its parts and the buttons."""
    tr = words(lang)
    essence = lab_views.panel("history-run", lab_views.hint(tr("history.empty"), tr("history.empty_hint")))
    with gr.Column(visible=False, elem_id="history-actions") as actions:
        address = gr.Textbox(visible="hidden")
        again = gr.Button(tr("history.open"), variant="primary", elem_id="history-open")
        again.click(None, address, None, js=OPEN)
        changed = gr.Button(tr("history.change_one"), elem_id="history-change")
        changed.click(None, address, None, js=CHANGE)
        downloads = exports.build(services, lang, chosen, "history")
        with gr.Row(equal_height=True):
            name = gr.Textbox(label=tr("repeat.name"), min_width=180, max_length=200, elem_id="history-name")
            rename = gr.Button(tr("history.rename"), scale=0, min_width=110, elem_id="history-rename")
        with gr.Row(equal_height=True):
            other = gr.Dropdown(label=tr("history.compare_with"), min_width=220, elem_id="history-other")
            compare = gr.Button(tr("history.compare"), scale=0, min_width=110, elem_id="history-compare")
        delete = gr.Button(tr("history.delete"), variant="stop", size="sm", elem_id="history-delete")
        with gr.Row(visible=False, elem_id="history-sure") as sure:
            gr.Markdown(tr("history.sure"))
            yes = gr.Button(tr("history.yes"), variant="stop", size="sm", elem_id="history-yes")
            no = gr.Button(tr("history.no"), size="sm", elem_id="history-no")
    compared = lab_views.panel("history-compared")
    parts = Parts(essence, actions, name, other, address, compared, sure, downloads, changed)
    return parts, (rename, compare, delete, yes, no)


class RunActions:
    """Reads and changes stored runs for the tab."""

    def __init__(self, services: Services, lang: Language) -> None:
        self._services = services
        self._lang = lang
        self._kept = KeptSummaries(services.runs)
        self._small: OrderedDict[str, str] = OrderedDict()

    def _picture(self, run: Run, *, decode: bool) -> str:
        """Returns a run's first picture, small, as a data URL; empty where it has none, it is gone, or not known yet
        and not to be decoded.
        """
        digest = next(iter((run.plan.get("spec") or {}).get("images") or ()), None)
        if digest is None or not (decode or digest in self._small):
            return ""
        if digest not in self._small:
            try:
                png = self._services.store.image(digest).thumbnail(SMALL_SIDE)
                self._small[digest] = f"data:image/png;base64,{base64.b64encode(png).decode()}"
            except VQAError:
                self._small[digest] = ""
            while len(self._small) > COMPARABLE:
                self._small.popitem(last=False)
        return self._small[digest]

    def listing(self, search: str, kind: str, chosen: str | None, *, decode: bool = True) -> str:
        """Returns the list of runs that a search finds."""
        found = self._services.store.runs(search=search or "", kind=None if kind == "all" else kind, limit=LISTED)
        small = {run.id: self._picture(run, decode=decode) for run in found}
        return history_views.listing(found, chosen, small, self._lang)

    def choose(self, run_id: str) -> Any:
        """Returns the values of all parts for a chosen run."""
        run = self._services.store.run(run_id)
        # Of a data set no summaries are kept: its rows may be a hundred thousand questions.
        arms = {} if "dataset" in run.plan else self._kept.of(self._services.runs.status(run_id))
        others = [other for other in self._services.store.runs(limit=COMPARABLE) if other.id != run_id]
        mine = case_texts(run.plan)
        others.sort(key=lambda other: (case_texts(other.plan) != mine, other.kind != run.kind))
        choices = [(self._label(other), other.id) for other in others]
        tab = TABS.get(run.kind)
        return (
            run_id,
            history_views.essence(run, arms, self._lang),
            gr.Column(visible=True),
            run.name,
            gr.Dropdown(choices=choices, value=choices[0][1] if choices else None),
            f"?tab={tab}&run={run_id}" if tab else "",
            "",
            gr.Row(visible=False),
            gr.Row(visible=True),
            gr.Button(visible=run.kind in CHANGEABLE),
        )

    def _label(self, run: Run) -> str:
        return f"{history_views.title(run, self._lang)[:60]} · {run.created_at.strftime('%Y-%m-%d %H:%M')} · {run.id}"

    def rename(self, run_id: str | None, name: str) -> None:
        """Gives the chosen run another name."""
        self._services.store.update_run(self._own(run_id), name=(name or "").strip()[:200])

    def delete(self, run_id: str | None) -> Any:
        """Deletes the chosen run; one that is under way is refused."""
        run_id = self._own(run_id)
        if run_id in self._services.runs.active():
            raise InputError("run_active", run=run_id)
        self._services.store.delete_run(run_id)
        tr = words(self._lang)
        gone = lab_views.hint(tr("history.deleted"), tr("history.empty_hint"))
        hidden = (gr.Row(visible=False), gr.Row(visible=False))
        return None, gone, gr.Column(visible=False), "", gr.Dropdown(choices=[], value=None), "", "", *hidden, gr.skip()

    def compare(self, run_id: str | None, other_id: str | None) -> str:
        """Returns the comparison of two runs."""
        if not other_id:
            raise InputError("run_missing", run="–")
        pair = self._services.store.run(self._must(run_id)), self._services.store.run(other_id)
        status = self._services.runs.status
        arms = self._kept.of(status(pair[0].id)), self._kept.of(status(pair[1].id))
        modal = []
        firsts = [conclusions.main_arm(found) for found in arms]
        for place, text in enumerate(case_texts(pair[0].plan)):
            texts = case_texts(pair[1].plan)
            if firsts[0] is None or firsts[1] is None or text not in texts:
                continue
            summaries = [(firsts[0], place), (firsts[1], texts.index(text))]
            answers = [self._modal(run.questions[at] if at < len(run.questions) else None) for run, at in summaries]
            modal.append((text, answers[0], answers[1]))
        return history_views.comparison(pair, arms, modal, self._lang)

    def _modal(self, summary: Summary | None) -> Answer | None:
        if summary is None or summary.modal is None or not summary.modal.sample_ids:
            return None
        return self._services.store.sample(summary.modal.sample_ids[0]).answer

    def _must(self, run_id: str | None) -> str:
        if not run_id:
            raise InputError("run_missing", run="–")
        return run_id

    def _own(self, run_id: str | None) -> str:
        if is_recorded(self._must(run_id)):
            raise InputError("run_recorded")
        return self._must(run_id)
