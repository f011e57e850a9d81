"""Download buttons for a stored run: HTML, JSON, CSV and JUnit XML, made when asked for. Renders and binds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr

from vqa.errors import InputError
from vqa.lab.report import export as reports
from vqa.markup import html, joined
from vqa.store import Run
from vqa.text import Language
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.web.folder import owned
from vqa.ui.widgets.notices import safely
from vqa.ui.widgets.page_event import sent

KINDS = {"html": "HTML", "json": "JSON", "csv": "CSV", "junit": "JUnit XML"}
SCRIPT = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-kind]');
  if (button) trigger('click', {kind: button.dataset.kind});
});
"""
SAVE = """
(file) => {
  if (!file?.url) return;
  const link = document.createElement('a');
  link.href = file.url;
  link.download = file.orig_name ?? '';
  document.body.append(link);
  link.click();
  link.remove();
}
"""
"""Saves the file that was made, told by its own address: a button that is pressed may not show it yet."""
ENDINGS = {"html": ".html", "json": ".json", "csv": ".csv", "junit": ".junit.xml"}


def build(services: Services, lang: Language, run_id: gr.State, prefix: str) -> gr.Row:
    """Renders the buttons for the run that `run_id` holds, hidden until it is shown; returns their row.

    A click makes the file and then saves it, so that nothing is written before it is wanted.
    All four are one component with one event: each of a page's components and events is paid for when it is opened.
    """
    tr = words(lang)

    @safely(lang)
    def make(run: str | None, event: gr.EventData) -> Any:
        kind = sent(event, "kind", str)
        if kind not in KINDS:
            raise InputError("event_unreadable")
        if not run:
            raise InputError("run_missing", run="–")
        return str(export(services, run, kind, lang))

    buttons = joined(
        html(
            '<button type="button" id="{}-export-{}" data-kind="{}">{}</button>',
            prefix, kind, kind, tr("repeat.export", kind=label),
        )
        for kind, label in KINDS.items()
    )  # fmt: skip
    with gr.Row(visible=False, elem_id=f"{prefix}-exports") as row:
        drawn = html('<div class="vqa-exports">{}</div>', buttons)
        shown = gr.HTML(drawn, padding=False, js_on_load=SCRIPT, elem_id=f"{prefix}-export")
        hand_out(shown, make, run_id, f"{prefix}-download")
    placed: gr.Row = row
    return placed


def hand_out(button: gr.Button | gr.HTML, make: Any, given: gr.components.Component, target: str) -> None:
    """Binds a press to `make`, which returns a file of what is `given`; one click makes it and saves it.

    A gr.DownloadButton alone saves at a click what the click before it has made.
    """
    hidden = gr.DownloadButton(elem_id=target, elem_classes="vl-not-shown")
    made = button.click(make, given, hidden, show_progress="hidden")
    made.success(None, hidden, None, js=SAVE)


def export(services: Services, run_id: str, kind: str, lang: Language) -> Path:
    """Returns a new file with a run in one of the KINDS.

    Raises:
        StoreError: there is no such run.
    """
    stored = services.store.run(run_id)
    if "dataset" in stored.plan:
        return _saved(stored.kind, run_id, kind, _of_rows(services, stored, kind, lang))
    report = reports.collect(services.store, run_id)
    if kind == "html":
        content = reports.to_html(report, lang, arms=services.runs.summaries(run_id))
    elif kind == "json":
        content = reports.dump(report)
    elif kind == "csv":
        content = "\N{ZERO WIDTH NO-BREAK SPACE}" + reports.to_csv(report)  # so that spreadsheets read it as UTF-8
    else:
        content = reports.to_junit(report, language=lang)
    return _saved(report.run.kind, report.run.id, kind, content)


def _of_rows(services: Services, run: Run, kind: str, lang: Language) -> str:
    """Returns a run over a data set in one of the KINDS."""
    from vqa.evaluate.reporting.files import RunFiles
    from vqa.evaluate.running import conclude

    result = {"run": run.id, "status": run.status, **(run.result or conclude(services.store, run.id))}
    files = RunFiles(services.store, run, result, lang)
    if kind == "json":
        return json.dumps(result, ensure_ascii=False, indent=1) + "\n"
    if kind == "csv":
        return "\N{ZERO WIDTH NO-BREAK SPACE}" + files.csv()
    return files.html() if kind == "html" else files.junit()


def _saved(run_kind: str, run_id: str, kind: str, content: str) -> Path:
    # The name is made of our own id, never of a user's text.
    return owned().write(f"vqa-{run_kind}-{run_id}{ENDINGS[kind]}", content)
