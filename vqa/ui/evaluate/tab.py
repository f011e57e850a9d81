"""The Evaluate tab. Renders and binds; reading, asking and scoring are in vqa.evaluate, the run in the RunManager."""

from __future__ import annotations

from typing import Any

import gradio as gr

from vqa.evaluate.reading import FORMATS
from vqa.evaluate.reporting.browsing import FILTERS
from vqa.evaluate.scoring import SCORERS
from vqa.text import Language
from vqa.ui.evaluate import views
from vqa.ui.evaluate.given import SCENES, easy_vqa
from vqa.ui.evaluate.run import EvaluateView
from vqa.ui.lab import lab_views
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets import exports, parts
from vqa.ui.widgets.blocks import when_drawn
from vqa.ui.widgets.notices import safely
from vqa.ui.widgets.page_event import sent

TICK_SECONDS = 1.0
OPEN = "(address) => { if (address) location.assign(location.pathname + address); }"


def build(services: Services, lang: Language) -> gr.Timer:  # noqa: PLR0915 - one statement for each part and event
    """Renders the tab and binds it; returns the timer that redraws while it is open."""
    tr = words(lang)
    view = EvaluateView(services, lang)
    run_id, page = gr.State(None), gr.State(0)
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            inputs, buttons, examples = _form(lang)
        with gr.Column(scale=7, min_width=320):
            progress = lab_views.panel("evaluate-progress")
            preview = lab_views.panel("evaluate-preview", parts.empty(tr("evaluate.empty"), tr("evaluate.empty_hint")))
            result = lab_views.panel("evaluate-result")
            downloads = exports.build(services, lang, run_id, "evaluate")
            with gr.Column(visible=False, elem_id="evaluate-browser") as browser:
                with gr.Row(equal_height=True):
                    other = gr.Dropdown(label=tr("evaluate.tab_compare_with"), min_width=200, elem_id="evaluate-other")
                    compare = gr.Button(tr("evaluate.tab_compare"), scale=0, min_width=100, elem_id="evaluate-compare")
                compared = lab_views.panel("evaluate-compared")
                choices = [(tr(f"evaluate.filter_{name}"), name) for name in (*FILTERS, "changed")]
                wanted = gr.Radio(choices, value="all", label=tr("evaluate.tab_filter"), elem_id="evaluate-filter")
                by_margin = gr.Checkbox(label=tr("evaluate.tab_by_margin"), elem_id="evaluate-by-margin")
                listing = lab_views.panel("evaluate-rows", js_on_load=views.ROW_SCRIPT)
                address = gr.Textbox(visible="hidden")
                with gr.Row():
                    earlier = gr.Button(tr("evaluate.tab_earlier"), size="sm", elem_id="evaluate-earlier")
                    later = gr.Button(tr("evaluate.tab_later"), size="sm", elem_id="evaluate-later")
    timer = gr.Timer(TICK_SECONDS, active=False)
    show, start, stop, resume = buttons
    shown = [run_id, progress, result, downloads, browser, stop, resume, other]
    given, taken = [run_id, wanted, by_margin, page, other], [page, listing]
    quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False}

    def turned(step: int) -> Any:
        return safely(lang)(lambda run, kind, margin, at, than: view.rows(run, kind, margin, at + step, than))

    files, path = inputs[0], inputs[2]
    look = safely(lang)(view.preview)
    show.click(look, inputs, preview, show_progress="minimal")
    files.upload(look, inputs, preview, show_progress="minimal")
    for button, folder in examples:
        button.click(lambda chosen=str(folder): (None, chosen), None, [files, path], **quiet).then(
            look, inputs, preview, show_progress="minimal"
        )
    for begun in (
        start.click(safely(lang)(view.start), inputs, [*shown, preview], show_progress="minimal"),
        resume.click(safely(lang)(view.resume), run_id, shown, show_progress="minimal"),
    ):
        begun.success(None, None, None, js=lab_views.address("evaluate"))  # a reload finds the run again
    draw = safely(lang)(view.draw)
    stop.click(services.stop_run, run_id, None, **quiet).then(draw, [run_id, progress], shown, **quiet)
    timer.tick(draw, [run_id, progress], shown, **quiet)
    first = safely(lang)(lambda run, kind, margin, at, than: view.rows(run, kind, margin, 0, than))
    for component in (wanted, by_margin):
        component.change(first, given, taken, show_progress="hidden")
    downloads_shown = safely(lang)(view.rows)
    result.change(downloads_shown, given, taken, show_progress="hidden")
    earlier.click(turned(-1), given, taken, show_progress="hidden")
    later.click(turned(1), given, taken, show_progress="hidden")
    compare.click(safely(lang)(view.compare), [run_id, other], compared, show_progress="minimal")

    @safely(lang)
    def again(run: str | None, event: gr.EventData) -> Any:
        return view.opened(run, sent(event, "where", str), sent(event, "row", int))

    pressed = listing.click(again, run_id, address, show_progress="minimal")
    pressed.success(None, address, None, js=OPEN)
    when_drawn(safely(lang)(view.load), [*shown, preview])
    return timer


def _form(lang: Language) -> tuple[list[Any], tuple[gr.Button, ...], list[tuple[gr.Button, Any]]]:
    """Renders the form; returns its inputs in the order of `EvaluateView.start`, the buttons, and the examples."""
    tr = words(lang)
    files = gr.File(label=tr("evaluate.tab_file"), file_count="multiple", height=160, elem_id="evaluate-file")
    pictures = gr.File(
        label=tr("evaluate.tab_pictures"), file_count="multiple", height=150, elem_id="evaluate-pictures"
    )
    examples = []
    with gr.Row():
        if SCENES.is_file():
            examples.append((gr.Button(tr("evaluate.tab_example"), size="sm", elem_id="evaluate-example"), SCENES))
        if (folder := easy_vqa()) is not None:
            examples.append((gr.Button(tr("evaluate.tab_example_easy"), size="sm", elem_id="evaluate-easy"), folder))
    path = gr.Textbox(label=tr("evaluate.tab_path"), placeholder=tr("evaluate.tab_path_hint"), elem_id="evaluate-path")
    with gr.Row():
        show = gr.Button(tr("evaluate.tab_preview"), elem_id="evaluate-show", min_width=70)
        start = gr.Button(tr("evaluate.tab_start"), variant="primary", elem_id="evaluate-start", min_width=70)
        stop = gr.Button(
            tr("evaluate.tab_stop"), variant="stop", interactive=False, elem_id="evaluate-stop", min_width=70
        )
        resume = gr.Button(tr("evaluate.tab_resume"), interactive=False, elem_id="evaluate-resume", min_width=70)
    with gr.Accordion(tr("evaluate.tab_more"), open=False):
        images_path = gr.Textbox(label=tr("evaluate.tab_images_path"), elem_id="evaluate-images-path")
        formats = [(tr("evaluate.tab_format_auto"), ""), *((form.name, form.name) for form in FORMATS)]
        form = gr.Dropdown(formats, value="", label=tr("evaluate.tab_format"), elem_id="evaluate-format")
        columns = gr.Textbox(
            label=tr("evaluate.tab_columns"), placeholder=tr("evaluate.tab_columns_hint"), elem_id="evaluate-columns"
        )
        scorers = [(tr("evaluate.tab_scorer_auto"), ""), *((name, name) for name in SCORERS)]
        scorer = gr.Dropdown(scorers, value="", label=tr("evaluate.tab_scorer"), elem_id="evaluate-scorer")
        hint = tr("evaluate.tab_prompt_hint").replace("{{", "{").replace("}}", "}")
        prompt = gr.Textbox(label=tr("evaluate.tab_prompt"), placeholder=hint, lines=2, elem_id="evaluate-prompt")
        system = gr.Textbox(label=tr("evaluate.tab_system"), elem_id="evaluate-system")
    with gr.Row():
        repeats = gr.Number(1, label=tr("evaluate.tab_repeats"), precision=0, minimum=1, maximum=100, min_width=90)
        concurrency = gr.Number(
            8, label=tr("evaluate.tab_concurrency"), precision=0, minimum=1, maximum=256, min_width=110
        )
    with gr.Row():
        limit = gr.Number(0, label=tr("evaluate.tab_limit"), precision=0, minimum=0, min_width=110)
        longest = gr.Number(0, label=tr("evaluate.tab_max_tokens"), precision=0, minimum=0, min_width=110)
    inputs = [files, pictures, path, images_path, form, columns, prompt, system, scorer, repeats, concurrency, limit,
              longest]  # fmt: skip
    return inputs, (show, start, stop, resume), examples
