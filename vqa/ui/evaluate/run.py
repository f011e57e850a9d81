"""The runs of the Evaluate tab: started, gone on with, drawn, gone through and compared for one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from vqa.answers import Sampling
from vqa.errors import InputError, StoreError
from vqa.evaluate.comparing.rows import sides
from vqa.evaluate.comparing.runs import compare as compare_sides
from vqa.evaluate.reading import Dataset, Row, reading_from_record
from vqa.evaluate.reporting.browsing import Entry, chosen, entries
from vqa.evaluate.reporting.comparison import compare_lines
from vqa.evaluate.reporting.saying import heading
from vqa.evaluate.running import KIND, Asking, asking_from_record, evaluate_work, scored_rows, scorer_of, spec_of
from vqa.evaluate.scoring import default_scorer, find_scorer
from vqa.lab.run.live import RunStatus
from vqa.markup import html
from vqa.text import Language, t
from vqa.ui.evaluate import views
from vqa.ui.evaluate.given import SHOWN, first_rows, pictures_at, reading_of
from vqa.ui.evaluate.opening import in_ask, in_repeat
from vqa.ui.lab import lab_views
from vqa.ui.services import Services

PAGE = 20
OTHERS = 100


class EvaluateView:
    """Reads and starts runs for one page in one language."""

    def __init__(self, services: Services, lang: Language) -> None:
        self._services = services
        self._lang = lang
        self._entries: tuple[tuple[str, int], list[Entry]] = (("", 0), [])
        self._already: dict[str, int] = {}

    # Before a run -----------------------------------------------------------------------------------------------------

    def preview(self, *values: Any) -> str:
        """Returns how a data set is read, and its first rows as they will be sent."""
        dataset = self._dataset(values)
        rows: list[Row] = []
        for row in dataset.rows():
            if len(rows) >= SHOWN:
                break
            if isinstance(row, Row):
                rows.append(row)
        scorer = find_scorer(values[8]) if values[8] else default_scorer(dataset.format, rows)
        facts = heading(dataset.record(), scorer.record(), self._lang)
        return views.preview(facts, first_rows(dataset, self._services.limits), self._lang)

    def start(self, *values: Any) -> Any:
        """Starts a run over the data set of the form."""
        dataset = self._dataset(values)
        *_, scorer, repeats, concurrency, limit, longest = values
        asking = Asking(
            int(repeats or 1),
            int(concurrency or 8),
            Sampling(max_tokens=int(longest) or None if longest else None),
            self._services.asked_model(),
            limit=int(limit) or None if limit else None,
            scorer=scorer or "",
            limits=self._services.limits,
            allow_local=self._services.settings.allow_local_urls,
        )
        run_id = self._begin(dataset, asking, None)
        return *self.draw(run_id), ""

    def resume(self, run_id: str | None) -> Any:
        """Goes on with a run that was stopped, failed or interrupted."""
        run = self._services.store.run(_must(run_id))
        settings = self._services.settings
        dataset = Dataset(reading_from_record(run.plan["dataset"]))
        asking = asking_from_record(run.plan["asking"], self._services.limits, allow_local=settings.allow_local_urls)
        self._already[run.id] = run.samples
        return self.draw(self._begin(dataset, asking, run.id))

    def _dataset(self, values: Sequence[Any]) -> Dataset:
        files, pictures, path, images_path, form, columns, prompt, system = values[:8]
        reading = reading_of(
            self._services.settings, files, pictures, path or "", images_path or "", form or "", columns or "",
            prompt or "", system or "",
        )  # fmt: skip
        return Dataset(reading)

    def _begin(self, dataset: Dataset, asking: Asking, resume: str | None) -> str:
        services = self._services
        address = services.base_url()
        engine = None if services.engine.snapshot().attached else services.engine
        work = evaluate_work(dataset, asking, [address])
        spec = spec_of(dataset, asking)
        return services.runs.start_work(work, spec, address, kind=KIND, engine=engine, resume=resume)

    # A run ------------------------------------------------------------------------------------------------------------

    def load(self, request: gr.Request) -> Any:
        """Returns the run that the address names, or the one under way."""
        wanted = request.query_params.get("run") if request.query_params.get("tab") == "evaluate" else None
        runs = self._services.runs
        if wanted is None:
            active = [run for run in runs.active() if runs.status(run).kind == KIND]
            wanted = active[-1] if active else None
        try:
            if wanted is None or self._services.store.run(wanted).kind != KIND:
                return gr.skip()
        except StoreError:
            return gr.skip()
        return *self.draw(wanted), ""

    def draw(self, run_id: str | None, seen: str = "") -> Any:
        """Returns the run, its progress, its figures, and what can be done with it.

        `seen` is the progress that the page itself shows: an ended run is not drawn again, but where the answer to
        somebody's press came after the end and shows the beginning.
        """
        if not run_id:
            return gr.skip()
        status = self._services.runs.status(run_id)
        ended = not status.running
        progress = (
            lab_views.progress(status, self._lang)
            if ended
            else views.progress(status, self._already.get(run_id, 0), self._lang)
        )
        if ended and seen == progress:
            return gr.skip()
        return (
            run_id,
            progress,
            self._result(status),
            gr.Row(visible=ended and status.done > 0),
            gr.Column(visible=ended and status.done > 0),
            gr.Button(interactive=status.running),
            gr.Button(interactive=ended and _unfinished(status)),
            self._others(run_id) if ended else gr.skip(),
        )

    def _result(self, status: RunStatus) -> str:
        if status.running or not status.result or "scorer" not in status.result:
            return ""
        return views.result(status.result, status.run_id, self._lang)

    def _others(self, run_id: str) -> gr.Dropdown:
        runs = [run for run in self._services.store.runs(kind=KIND, limit=OTHERS) if run.id != run_id]
        choices = [(f"{run.name[:40]} · {run.created_at:%Y-%m-%d %H:%M} · {run.id}", run.id) for run in runs]
        return gr.Dropdown(choices=choices, value=choices[0][1] if choices else None)

    def rows(self, run_id: str | None, wanted: str, by_margin: bool, page: int, other: str | None) -> Any:
        """Returns the number of the page and its rows."""
        if not run_id:
            return gr.skip()
        run = self._services.store.run(run_id)
        if run.status == "running":
            return gr.skip()
        key = run.id, run.samples
        if self._entries[0] != key:
            self._entries = key, entries(self._services.store, run)
        changed = self._changed(run_id, other) if wanted == "changed" else frozenset()
        found = chosen(self._entries[1], wanted, by_margin=bool(by_margin), changed=changed)
        pages = max(1, -(-len(found) // PAGE))
        page = min(max(int(page), 0), pages - 1)
        shown = found[page * PAGE : (page + 1) * PAGE]
        dataset = None
        if shown:
            try:
                dataset = Dataset(reading_from_record(run.plan["dataset"]))
            except InputError:
                dataset = None  # the data set is gone; its rows are in the store
        places = {row.place for row in shown}
        pictures = pictures_at(dataset, places, self._services.limits) if dataset else {}
        note = t("evaluate.page_of", self._lang, page=page + 1, pages=pages, rows=len(found))
        return page, views.shown(html("<p>{}</p>{}", note, views.listing(shown, pictures, self._lang)))

    def _changed(self, run_id: str, other: str | None) -> frozenset[int]:
        if not other:
            return frozenset()
        one, two = (self._sides(each) for each in (run_id, other))
        return frozenset(
            side.place for name, side in one.items() if name in two and set(two[name].answers) != set(side.answers)
        )

    def _sides(self, run_id: str) -> Any:
        store = self._services.store
        return sides(scored_rows(store, run_id, scorer_of(store, store.run(run_id))))

    def opened(self, run_id: str | None, where: str, place: int) -> str:
        """Opens one row in Ask or Repeat and returns its address on the page."""
        run = self._services.store.run(_must(run_id))
        return (in_ask if where == "ask" else in_repeat)(self._services, run, place)

    def compare(self, run_id: str | None, other: str | None) -> str:
        """Returns the comparison with another run, in sentences."""
        found = compare_sides(self._sides(_must(other)), self._sides(_must(run_id)))
        run = self._services.store.run(_must(run_id))
        command = f"python -m vqa evaluate {run.plan['dataset']['path']} -n 3"
        lines = compare_lines(found, self._lang, command)
        return views.comparison(lines, self._lang)


def _must(run_id: str | None) -> str:
    if not run_id:
        raise InputError("run_missing", run="–")
    return run_id


def _unfinished(status: RunStatus) -> bool:
    result = status.result or {}
    return status.status != "finished" or bool(result.get("failed"))
