"""The vision matrix's part of the Diagnose tab: which prompts, what stands beside them, and the button."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gradio as gr

from vqa.errors import InputError
from vqa.lab.plan.arms import MAX_CONCURRENCY
from vqa.text import Language, t
from vqa.ui.lab import lab_views
from vqa.ui.lab.remedy import reasons, trial_reasons
from vqa.ui.lab.repeat import managed
from vqa.ui.lab.run_view import newest_ended
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets.notices import safely

if TYPE_CHECKING:
    from vqa.lab.matrix.asked import MatrixAsked

USUAL_SIZES = "64, 448x448, 1600x1000, 300x4000"


def build(services: Services, lang: Language, own: bool, show: Callable[[str | None], Any], opened: list[Any]) -> None:
    """Renders the section; `show` draws the run that it starts, or that goes on, into `opened`.

    `own` tells whether the engine can be started under other profiles from here.
    """
    from vqa.lab.matrix.asked import BESIDE, MOST_PICTURES, MOST_REPEATS, ORDERS

    tr = words(lang)
    every = {**reasons(services.settings), **trial_reasons(services.settings)} if own else {}
    able = [name for name, reason in every.items() if reason is None]
    besides = [(tr(f"report.arm_{name}"), name) for name in BESIDE]
    both = [(tr(f"matrix.order_{name}"), name) for name in ORDERS]
    counts = list(range(1, MOST_PICTURES + 1))
    with gr.Accordion(tr("matrix.head"), open=False, elem_id="diagnose-matrix"):
        gr.Markdown(tr("matrix.about"))
        with gr.Row():
            pictures = gr.CheckboxGroup(counts, value=[1, 2], label=tr("matrix.pictures"), elem_id="matrix-pictures")
            orders = gr.CheckboxGroup(both, value=list(ORDERS), label=tr("matrix.orders_label"))
        sizes = gr.Textbox(USUAL_SIZES, label=tr("matrix.sizes"), elem_id="matrix-sizes", max_length=200)
        beside = gr.CheckboxGroup(besides, value=list(BESIDE), label=tr("matrix.beside"), elem_id="matrix-beside")
        with gr.Row():
            n = gr.Number(4, label=tr("matrix.n"), minimum=2, maximum=MOST_REPEATS, precision=0, elem_id="matrix-n")
            at_once = gr.Number(
                8, label=tr("matrix.at_once"), minimum=2, maximum=MAX_CONCURRENCY, precision=0, elem_id="matrix-at-once"
            )
        profiles = gr.CheckboxGroup(able, value=[], label=tr("matrix.profiles"), visible=own)
        form: list[Any] = [pictures, sizes, orders, beside, n, at_once, profiles]
        cost = gr.Markdown(
            _foretold(lang, [1, 2], USUAL_SIZES, list(ORDERS), list(BESIDE), 4, 8, []), elem_id="matrix-cost"
        )
        with gr.Row():
            start = gr.Button(tr("matrix.start"), elem_id="matrix-start")
            resume = gr.Button(tr("matrix.resume"), elem_id="matrix-resume")

    @safely(lang)
    def foretell(*values: Any) -> str:
        try:
            return _foretold(lang, *values)
        except InputError as problem:  # whoever is still typing needs no notice
            return problem.message(lang)

    @safely(lang)
    def begin(*values: Any) -> Any:
        from vqa.lab.matrix.start import start_matrix

        asked = _asked(*values).check()
        if asked.profiles:
            run = start_matrix(services.runs, asked.drawn(), services.settings, engine=services.engine)
        else:
            asked = asked.drawn(model=services.asked_model())
            address = services.base_url()
            run = start_matrix(services.runs, asked, services.settings, engine=managed(services), base_url=address)
        return show(run)

    @safely(lang)
    def go_on() -> Any:
        from vqa.lab.matrix.start import ended_matrix, start_matrix

        run, asked = ended_matrix(services.store, newest_ended(services.store, "matrix"))
        engine = services.engine if asked.profiles else managed(services)
        address = None if asked.profiles else run.header.get("base_url")
        return show(start_matrix(services.runs, asked, services.settings, engine=engine, base_url=address, resume=run))

    for part in form:
        part.change(foretell, form, cost, show_progress="hidden", queue=False)
    for started in (
        start.click(begin, form, opened, show_progress="minimal"),
        resume.click(go_on, None, opened, show_progress="minimal"),
    ):
        started.success(None, None, None, js=lab_views.address("diagnose"))


def _asked(
    pictures: list[int], sizes: str, orders: list[str], beside: list[str], n: float | None, at_once: float | None,
    profiles: list[str],
) -> MatrixAsked:  # fmt: skip
    """Returns what the form's values ask, without its pictures.

    Raises:
        InputError: a size cannot be read.
    """
    from vqa.lab.matrix.asked import BESIDE, ORDERS, MatrixAsked, read_sizes
    from vqa.lab.matrix.start import matrix_spec

    return MatrixAsked(
        matrix_spec(),
        tuple(sorted(int(count) for count in pictures)),
        read_sizes(sizes),
        tuple(name for name in ORDERS if name in orders),
        tuple(name for name in BESIDE if name in beside),
        int(n or 0),
        int(at_once or 0),
        tuple(profiles),
    )


def _foretold(lang: Language, *values: Any) -> str:
    """Returns how many requests it will take, and about how long."""
    from vqa.lab.matrix.start import foretold

    return t("matrix.foretold", lang, **foretold(_asked(*values).check()))
