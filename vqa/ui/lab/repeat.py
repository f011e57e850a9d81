"""The Repeat tab: the same question N times, watched live. Renders and binds; the run lives in the RunManager."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from vqa.answers import Answer
from vqa.engine.state import Engine
from vqa.lab.report import conclusions, fragments
from vqa.lab.report.reproduce import case_texts
from vqa.lab.run.live import RunStatus
from vqa.lab.run.recorded import DIFFERED
from vqa.lab.stats.summary import RunSummary, Summary
from vqa.markup import Markup, html, joined
from vqa.store import Run
from vqa.text import Language, t
from vqa.ui.ask.conversation import Conversation
from vqa.ui.lab import from_answer, lab_form, lab_views
from vqa.ui.lab.run_view import RunView
from vqa.ui.lab.tour_repeat import bind_repeat
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.web.visitors import waiting
from vqa.ui.widgets import exports
from vqa.ui.widgets.blocks import when_drawn
from vqa.ui.widgets.chooser import chooser
from vqa.ui.widgets.notices import safely
from vqa.ui.widgets.page_event import sent

TICK_SECONDS = 0.4
SHARE, AT_MOST_SECONDS = 0.05, 2.0
"""All but the progress is drawn again once a run has taken so much longer than when it was drawn, or after two seconds:
charts of thousands of answers keep a browser busy, and a few answers more hardly change them."""
PARTS = ("progress", "asked", "verdict", "groups", "diff", "plots")


def build(services: Services, lang: Language, conversation: gr.State) -> None:
    """Renders the tab and binds it; `conversation` holds what is shown on the Ask tab."""
    tr = words(lang)
    view = View(services, lang)
    run_id = gr.State(None)
    seen = gr.State({})
    pressed = gr.State([])
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            with gr.Row(render=False) as buttons:
                start = gr.Button(tr("repeat.start"), variant="primary", elem_id="repeat-start", min_width=120)
                stop = gr.Button(
                    tr("repeat.stop"), variant="stop", interactive=False, elem_id="repeat-stop", min_width=90
                )
            form = lab_form.build(services, lang, prefix="repeat", buttons=buttons.render)
        with gr.Column(scale=7, min_width=320):
            progress = lab_views.panel("repeat-progress", view.empty())
            asked = lab_views.panel("repeat-asked")
            choice = chooser(label=tr("repeat.question"), elem_id="repeat-question")
            verdict = lab_views.panel("repeat-verdict")
            groups = lab_views.panel("repeat-groups", js_on_load=lab_views.GROUP_SCRIPT)
            diff = lab_views.panel("repeat-diff")
            plots = lab_views.panel("repeat-plots")
            downloads = exports.build(services, lang, run_id, "repeat")
    timer = gr.Timer(TICK_SECONDS, active=False)
    shown = [progress, asked, verdict, groups, diff, plots]
    watched = [seen, *shown, stop, timer, downloads]
    opened = [run_id, pressed, choice, *watched]
    quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False}

    @safely(lang)
    def begin(*values: Any) -> Any:
        return started_run(values)

    @safely(lang)
    def begin_asked(which: str, shown: Conversation) -> Any:
        values = from_answer.values(form, which, shown, services.settings)
        return *values, *started_run(values)

    def started_run(values: Any) -> Any:
        with services.visitors.reading(services.settings.public_max_pictures):
            spec = lab_form.read(values, services.settings, services.asked_model())
        run = services.runs.start(spec, services.base_url(), engine=managed(services))
        return view.open(run)

    @safely(lang)
    def tick(run: str | None, before: dict[str, str], question: int | None, chosen: list[int]) -> Any:
        return view.draw(run, before, _place(question), chosen)

    @safely(lang)
    def press(
        run: str | None, before: dict[str, str], question: int | None, chosen: list[int], event: gr.EventData
    ) -> Any:
        picked = toggled(chosen, sent(event, "group", int))
        return picked, *view.draw(run, before, _place(question), picked)

    @safely(lang)
    def load(request: gr.Request) -> Any:
        return view.addressed(request.query_params)

    queued: dict[str, Any] = {"show_progress": "minimal"} | waiting(services.settings, "run", form.questions)
    press_asked, which = from_answer.render("repeat")
    for started in (
        start.click(begin, form.inputs, opened, **queued),
        bind_repeat(services, lang, form, run_id).then(begin, form.inputs, opened, **queued),
        press_asked.click(begin_asked, [which, conversation], [*form.inputs, *opened], js=from_answer.WHICH, **queued),
    ):
        started.success(None, None, None, js=lab_views.address("repeat"))
    stop.click(services.stop_run, run_id, None, **quiet).then(tick, [run_id, seen, choice, pressed], watched, **quiet)
    timer.tick(tick, [run_id, seen, choice, pressed], watched, **quiet)
    last: dict[str, Any] = quiet | {"trigger_mode": "always_last"}  # what is pressed meanwhile is not dropped
    choice.input(lambda: [], None, pressed, **last).then(tick, [run_id, seen, choice, pressed], watched, **last)
    groups.click(press, [run_id, seen, choice, pressed], [pressed, *watched], **last)
    when_drawn(load, [*form.inputs, *opened])


def managed(services: Services) -> Engine | None:
    """Returns the engine when it is ours to restart, None when it is somebody else's server."""
    return None if services.engine.snapshot().attached else services.engine


def toggled(chosen: list[int], group: int) -> list[int]:
    """Returns the groups that are chosen after a press; the third takes the place of the first."""
    if group in chosen:
        return [each for each in chosen if each != group]
    return [*chosen, group][-2:]


def drawn_lately(status: RunStatus, before: Mapping[str, str]) -> bool:
    """Returns whether a run under way was drawn in full so short a time ago that its charts can wait."""
    waited = status.seconds - float(before["seconds"])
    return status.running and waited < min(status.seconds * SHARE, AT_MOST_SECONDS)


class View(RunView):
    """Turns a run into what the tab shows, and sends only what has changed since."""

    topic = "repeat"
    kinds = ("repeat",)

    def empty(self) -> Markup:
        """Returns what stands there before the first run, with a run to look at in which answers differ."""
        address, name = f"?tab=repeat&run={DIFFERED}", t("lab.recorded_differed", self._lang)
        link = html('<p class="vqa-recorded"><a href="{}">{}</a></p>', address, name)
        return html("{}{}", super().empty(), "" if self._services.settings.public else link)

    def open(self, run_id: str | None) -> Any:
        """Returns values for all that depends on which run is shown."""
        if run_id is None:
            return gr.skip()
        run = self._services.store.run(run_id)
        texts = case_texts(run.plan)
        choices = [(f"{place + 1}. {text[:80]}", place) for place, text in enumerate(texts)]
        choice = gr.Radio(choices=choices, value=0, visible=len(choices) > 1)
        return run_id, [], choice, *self.draw(run_id, {}, 0, [])

    def addressed(self, asked: Mapping[str, str]) -> Any:
        """Returns values for the form and for all that `open` draws: of the run that the address names, or of none
        where it names one whose settings are wanted again.
        """
        if asked.get("tab", "repeat") != "repeat":
            return gr.skip()
        store, run = self._services.store, self.found(asked.get("run"))
        if run is not None:
            return *lab_form.filled(store, store.run(run)), *self.open(run)
        source = self.known(asked.get("from"))
        if source is None:
            return gr.skip()
        same = gr.skip()
        return *lab_form.filled(store, source), *(same,) * 4, self.again(source), *(same,) * (len(PARTS) + 2)

    def draw(self, run_id: str | None, before: dict[str, str], question: int, pressed: list[int]) -> Any:
        """Returns the new `seen`, the parts that changed, and the states of Stop, the timer and the downloads."""
        if run_id is None:
            return gr.skip()
        status = self._services.runs.status(run_id)
        wanted = f"{run_id}/{status.status}/{question}/{pressed}"
        mark = f"{wanted}/{status.done}"
        if before.get("mark") == mark or (before.get("wanted") == wanted and drawn_lately(status, before)):
            progress = lab_views.progress(status, self._lang)
            same = gr.skip()
            shown = progress if progress != before.get("progress") else same
            return before | {"progress": progress}, shown, *(same,) * (len(PARTS) + 2)
        run = conclusions.main_arm(self.summaries(status))
        drawn = {"wanted": wanted, "mark": mark, "seconds": str(status.seconds)}
        seen = {**drawn, **self._parts(run_id, status, run, question, pressed)}
        fresh = [seen[name] if seen[name] != before.get(name) else gr.skip() for name in PARTS]
        has_samples = status.done > 0
        return (
            seen,
            *fresh,
            gr.Button(interactive=status.running),
            gr.Timer(active=status.running),
            gr.Row(visible=has_samples and not status.running),
        )

    def _parts(
        self, run_id: str, status: RunStatus, run: RunSummary | None, question: int, pressed: list[int]
    ) -> dict[str, str]:
        lang = self._lang
        made = dict.fromkeys(PARTS, "")
        made["progress"] = lab_views.progress(status, lang)
        stored = self._services.store.run(run_id)
        made["asked"] = lab_views.asked(stored, self.pictures(stored), lang)
        summary = None if run is None else lab_views.chosen(run, question)
        if run is not None:
            planned = planned_each(stored)
            verdict = lab_views.verdict(run, question, status, planned, lang)
            made["verdict"] = joined((verdict, self.copied(stored, self.summaries(status))))
            made["groups"] = lab_views.groups(summary, pressed, lang)
            made["diff"] = self._diff(summary, pressed)
            made["plots"] = lab_views.plots(summary, lang)
        return made

    def _diff(self, summary: Summary | None, pressed: list[int]) -> str:
        pair = lab_views.pair(summary, pressed)
        if pair is None:
            return ""
        (one, first), (other, second) = pair
        answers = [self._answer(group.sample_ids) for group in (first, second)]
        if answers[0] is None or answers[1] is None:
            return ""
        inside = fragments.diff(answers[0], answers[1], (one, other), self._lang)
        return fragments.wrap(conclusions.titled(self._lang)("diffs", inside))

    def _answer(self, sample_ids: tuple[int, ...]) -> Answer | None:
        return self._services.store.sample(sample_ids[0]).answer if sample_ids else None


def _place(question: object) -> int:
    """Returns which question was chosen; the first where none was."""
    return question if isinstance(question, int) else 0


def planned_each(run: Run) -> int:
    """Returns how many requests were planned for each question."""
    spec = run.plan.get("spec") or {}
    return int(spec.get("n") or 0)
