"""What the tabs that watch a run have in common: which run to show on opening, its summaries and its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from vqa.errors import InputError, StoreError
from vqa.lab.report import conclusions
from vqa.lab.report.markdown import verdict_markdown
from vqa.lab.report.reproduce import case_texts
from vqa.lab.run.live import RunStatus
from vqa.lab.run.recorded import named
from vqa.lab.stats.summary import RunSummary
from vqa.markup import Markup, html
from vqa.store import Run, Store
from vqa.text import Language
from vqa.ui.lab import lab_views
from vqa.ui.lab.kept import KeptSummaries
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets import parts


def newest_ended(store: Store, kind: str) -> str:
    """Returns the id of the newest run of a kind that came to no end and can go on.

    Raises:
        InputError: there is none.
    """
    ended = (run.id for run in store.runs(kind=kind, limit=20) if run.status not in {"finished", "running"})
    if (found := next(ended, None)) is None:
        raise InputError(f"{kind}_none_ended")
    return found


class RunView:
    """Reads the runs of some kinds for one tab in one language; `topic` names the texts of its empty state."""

    topic: str
    kinds: tuple[str, ...]

    def __init__(self, services: Services, lang: Language) -> None:
        self._services = services
        self._lang = lang
        self._kept = KeptSummaries(services.runs)
        self._pictures: dict[str, tuple[lab_views.Picture, ...]] = {}

    def empty(self) -> Markup:
        """Returns what stands there before the first run."""
        tr = words(self._lang)
        return parts.empty(tr(f"{self.topic}.empty"), tr(f"{self.topic}.empty_hint"))

    def known(self, wanted: str | None) -> Run | None:
        """Returns the stored run of that id, of any kind, or None when there is none."""
        with suppress(StoreError):
            return self._services.store.run(wanted) if wanted else None
        return None

    def again(self, run: Run) -> str:
        """Returns what stands beside a form that is filled with a stored run's settings."""
        tr, texts = words(self._lang), case_texts(run.plan)
        name = named(run, self._lang) or (texts[0] if texts else run.id)
        told = parts.empty(tr("repeat.changed", name=name[:80]), tr("repeat.changed_hint"))
        return html(
            '<div data-from="{}">{}</div>', run.id, told
        )  # so that assets/page.js knows that the form is filled

    def found(self, wanted: str | None) -> str | None:
        """Returns the run to show on opening: the one named in the address, else the one under way here."""
        if wanted:
            try:
                return wanted if self._services.store.run(wanted).kind in self.kinds else None
            except StoreError:
                return None
        if self._services.settings.public:
            return None  # whoever started it has its address; other visitors must not see it
        active = [run for run in self._services.runs.active() if self._services.runs.status(run).kind in self.kinds]
        return active[-1] if active else None

    def summaries(self, status: RunStatus) -> Mapping[str, RunSummary]:
        """Returns the summary of every arm of a run by now."""
        return self._kept.of(status)

    def copied(self, run: Run, arms: Mapping[str, RunSummary]) -> str:
        """Returns the button that copies an ended run's verdict as Markdown; nothing before there is one."""
        whole = conclusions.main_arm(arms)
        if whole is None or run.finished_at is None:
            return ""
        groups = [summary.groups[0].sample_ids[:1] if summary.groups else () for summary in whole.questions]
        answers = [self._services.store.sample(ids[0]).answer if ids else None for ids in groups]
        texts = ["" if answer is None else answer.text for answer in answers]
        markdown = verdict_markdown(run, arms, texts, self._lang)
        return parts.copy_button(markdown, words(self._lang)("report.copy_markdown"))

    def pictures(self, run: Run) -> tuple[lab_views.Picture, ...]:
        """Returns a run's pictures; those of the run that is shown are kept."""
        if run.id not in self._pictures:
            self._pictures = {run.id: lab_views.pictures_of(self._services.store, run)}
        return self._pictures[run.id]
