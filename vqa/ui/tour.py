"""The guided tour: its words, and what it needs of the Ask and Repeat tabs; assets/tour.js walks through the page.

What a visitor had there before is put aside and comes back when the tour ends.
"""

from __future__ import annotations

import json
from html import escape
from typing import Any

import gradio as gr

from vqa.errors import InputError
from vqa.lab import conclusions
from vqa.lab.ladder import Rung
from vqa.lab.recorded import label, recorded
from vqa.lab.summary import RunSummary
from vqa.lab.verdict import manager_sentence
from vqa.settings import ASSETS
from vqa.text import LANGUAGES, Language, t, table
from vqa.ui import exports, lab_form
from vqa.ui.ask_flow import AskFlow
from vqa.ui.ask_parts import AskParts
from vqa.ui.conversation import Conversation
from vqa.ui.notices import safely
from vqa.ui.picture_files import BLANK
from vqa.ui.services import Services
from vqa.ui.text import words

REPEATS = 20
OWN_MESSAGES = 2
"""The question and the answer of the tour."""
QUIET: dict[str, Any] = {"show_progress": "hidden", "queue": False}


def head() -> str:
    """Returns the tour's rules and script, and its words in every language, for <head>.

    Not through Gradio's `css`: of what stands in a media query there only what is inside its own root is met.
    """
    prefix = "tour."
    texts = {
        lang: {key.removeprefix(prefix): text for key, text in table(lang).items() if key.startswith(prefix)}
        for lang in LANGUAGES
    }
    rules, script = ((ASSETS / name).read_text(encoding="utf-8") for name in ("tour.css", "tour.js"))
    listed = json.dumps(texts, ensure_ascii=False).replace("</", "<\\/")
    return f"<style>{rules}</style><script>window.vqaTour={listed};{script}</script>"


def bind_ask(parts: AskParts, flow: AskFlow, lang: Language) -> None:
    """Adds to the Ask tab what puts the example into it, and what puts back what was there before."""
    kept = gr.State(None)
    begin = gr.Button(visible="hidden", elem_id="tour-ask")
    back = gr.Button(visible="hidden", elem_id="tour-ask-back")
    usual = [part.value for part in parts.options]
    options = list(parts.options)
    outputs = [kept, *options, *parts.outputs()]

    @safely(lang)
    async def fill(request: gr.Request, before: Any, written: Any, conversation: Conversation, *values: Any) -> Any:
        path, question = lab_form.example(lang)
        shown = await flow.show(request.session_hash, Conversation(), {"text": question, "files": [path]})
        return {kept: before or (written, conversation, values), **dict(zip(options, usual, strict=True)), **shown}

    @safely(lang)
    async def put_back(request: gr.Request, before: Any, written: Any, conversation: Conversation) -> Any:
        if before is None:
            return gr.skip()
        old_written, old_conversation, values = before
        put: dict[Any, Any] = {kept: None, **dict(zip(options, values, strict=True))}
        question = lab_form.example(lang)[1]
        used = len(conversation.messages) > OWN_MESSAGES or (written or BLANK)["text"] not in {"", question}
        drafted = any((old_written or BLANK).values())
        if used or not (drafted or old_conversation.messages):
            return put  # what was made of the tour's conversation since is not taken away
        return put | await flow.show(request.session_hash, old_conversation, old_written or BLANK)

    begin.click(fill, [kept, parts.composer, parts.conversation, *options], outputs, **QUIET)
    back.click(put_back, [kept, parts.composer, parts.conversation], outputs, **QUIET)


def bind_repeat(services: Services, lang: Language, form: lab_form.Form, run_id: gr.State) -> Any:
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
        path, question = lab_form.example(lang)
        n = min(REPEATS, services.settings.max_repeats)
        asked = {"images": [(path, None)], "questions": question, "n": n, "name": t("tour.run_name", lang)}
        return before or list(values), *(usual | asked).values()

    @safely(lang)
    def put_back(before: list[Any] | None, questions: str) -> Any:
        if before is None or questions != lab_form.example(lang)[1]:
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
    return (
        f'<div class="verdict {kind}" data-run="{escape(run_id)}"><strong>{escape(said)}</strong>'
        f"<p>{escape(meaning)}</p></div>"
    )


def recorded_html(services: Services, lang: Language) -> str:
    """Returns a link to a run that was recorded on a GPU, where the app brings one and the visitor may open it."""
    if services.settings.public:
        return ""
    runs = [services.store.run(run_id) for run_id in recorded() if services.store.has_run(run_id)]
    found = next((run for run in runs if run.kind == "repeat" and run.header["machine"].get("gpus")), None)
    if found is None:
        return ""
    text, where = escape(t("tour.recorded", lang)), escape(label(found, lang))
    return f'<a class="recorded" href="?tab=repeat&amp;run={found.id}" target="_blank" title="{where}">{text}</a>'


def outcome(summary: RunSummary | None) -> str:
    """Returns how a run ended: `identical`, `leading` (only its first answers differ), `meaning` (only the wording
    differs), `differs`, or `open` where nothing can be concluded.
    """
    first = summary.questions[0] if summary is not None and summary.questions else None
    if first is None or first.holds(Rung.TEXT) is None:
        return "open"
    if first.holds(Rung.TEXT):
        return "identical"
    if first.rungs[Rung.ANSWER].holds:
        return "meaning"
    return "leading" if first.leading else "differs"
