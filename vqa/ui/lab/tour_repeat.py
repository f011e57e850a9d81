"""What the guided tour needs of the Repeat tab: the example, its verdict in a sentence, and its report."""

from __future__ import annotations

from typing import Any

import gradio as gr

from vqa.errors import InputError
from vqa.lab.diagnosis.verdict import manager_sentence
from vqa.lab.report import conclusions
from vqa.lab.run.recorded import label, recorded
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summary import RunSummary
from vqa.markup import html
from vqa.text import Language, t
from vqa.ui.examples import example
from vqa.ui.lab import lab_form
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets import exports
from vqa.ui.widgets.notices import safely

REPEATS = 20
QUIET: dict[str, Any] = {"show_progress": "hidden", "queue": False}


def bind_repeat(services: Services, lang: Language, form: lab_form.LabForm, run_id: gr.State) -> Any:
    """Adds to the Repeat tab what fills its form, what puts it back, and the verdict in a sentence with its report.

    Returns:
        The event that has filled the form, for the run to be started by.
    """
    kept = gr.State(None)
    begin = gr.Button(visible="hidden", elem_id="tour-repeat")
    back = gr.Button(visible="hidden", elem_id="tour-repeat-back")
    conclude = gr.Button(visible="hidden", elem_id="tour-conclude")
    verdict = gr.HTML(visible="hidden", elem_id="tour-verdict", padding=False)
    file = gr.File(elem_id="tour-file", elem_classes="vl-not-shown", interactive=False)
    usual = {name: part.value for name, part in vars(form).items()}

    @safely(lang)
    def fill(before: list[Any] | None, *values: Any) -> Any:
        path, question = example(lang)
        n = min(REPEATS, services.settings.max_repeats)
        asked = {"images": [(path, None)], "questions": question, "n": n, "name": t("tour.run_name", lang)}
        return before or list(values), *(usual | asked).values()

    @safely(lang)
    def put_back(before: list[Any] | None, questions: str) -> Any:
        if before is None or questions != example(lang)[1]:
            return None, *(gr.skip() for _ in form.inputs)
        return None, *before

    @safely(lang)
    def concluded(run: str | None) -> Any:
        if not run:
            raise InputError("run_missing", run="–")
        summary = conclusions.main_arm(services.runs.summaries(run))
        told = verdict_html(run, summary, lang) + recorded_html(services, lang)
        return told, str(exports.export(services, run, "html", lang))

    back.click(put_back, [kept, form.questions], [kept, *form.inputs], **QUIET)
    conclude.click(concluded, run_id, [verdict, file], show_progress="hidden")
    return begin.click(fill, [kept, *form.inputs], [kept, *form.inputs], **QUIET)


def verdict_html(run_id: str, summary: RunSummary | None, lang: Language) -> str:
    """Returns what a run found in a sentence for a manager, and what that means for them."""
    tr = words(lang)
    kind = outcome(summary)
    said = manager_sentence(summary, lang) if summary is not None else tr("lab.open_nothing")
    meaning = tr(f"tour.verdict_{kind}")
    return html('<div class="verdict {}" data-run="{}"><strong>{}</strong><p>{}</p></div>', kind, run_id, said, meaning)


def recorded_html(services: Services, lang: Language) -> str:
    """Returns a link to a run that was recorded on a GPU, where the app brings one and the visitor may open it."""
    if services.settings.public:
        return ""
    runs = [services.store.run(run_id) for run_id in recorded() if services.store.has_run(run_id)]
    found = next((run for run in runs if run.kind == "repeat" and run.header["machine"].get("gpus")), None)
    if found is None:
        return ""
    text, where = t("tour.recorded", lang), label(found, lang)
    return html(
        '<a class="recorded" href="?tab=repeat&amp;run={}" target="_blank" title="{}">{}</a>', found.id, where, text
    )


def outcome(summary: RunSummary | None) -> str:
    """Returns how a run ended: `identical`, `leading` (only its first answers differ), `meaning` (only the wording
    differs), `differs`, or `open` where nothing can be concluded.
    """
    first = summary.questions[0] if summary is not None and summary.questions else None
    if first is None or first.holds(Level.TEXT) is None:
        return "open"
    if first.holds(Level.TEXT):
        return "identical"
    if first.levels[Level.ANSWER].holds:
        return "meaning"
    return "leading" if first.leading else "differs"
