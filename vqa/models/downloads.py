"""Downloads that live in the app and not in a page: started, watched, cancelled and resumed from anywhere."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from vqa.errors import ModelError
from vqa.models.download import FINAL, Download, DownloadState, Progress
from vqa.models.ids import Source, hub_of, with_revision
from vqa.models.listing import read_planned
from vqa.models.local import LocalModel, LocalState
from vqa.settings import Settings


@dataclass(frozen=True)
class DownloadJob:
    """One download as it stood when it was looked at; `name` carries the revision."""

    name: str
    source: Source
    folder: Path
    progress: Progress
    problem: ModelError | None = None
    """Why it failed."""

    @property
    def ended(self) -> bool:
        """Whether nothing of it is under way any more."""
        return self.progress.state in FINAL


@dataclass(frozen=True)
class Unfinished:
    """A folder without our completion mark, and what has to be fetched into it."""

    name: str
    """With its revision."""
    source: Source | None
    folder: Path
    done_bytes: int
    total_bytes: int | None


class Downloads:
    """Starts, cancels and watches downloads, one for each folder; safe to call from any thread."""

    def __init__(self, settings: Settings) -> None:
        # Which revision is wanted stands on the page; in `.env` stands only what its field begins with.
        self._settings = settings.model_copy(update={"revision": None})
        self._lock = threading.Lock()
        self._all: dict[Path, Download] = {}

    def start(
        self, model_id: str, *, source: Source | None = None, revision: str | None = None, target: Path | None = None
    ) -> None:
        """Starts or resumes the download of a model and returns at once; one under way into its folder is left alone.

        Raises:
            ModelError: the id, the revision or the folder cannot be used.
        """
        self._begin(Download(self._settings, model_id, source=source, revision=revision, target=target))

    def resume(self, unfinished: Unfinished) -> None:
        """Goes on with a download that ended before it was complete.

        Raises:
            ModelError: its folder cannot be used any more.
        """
        self._begin(Download(self._settings, unfinished.name, source=unfinished.source, target=unfinished.folder))

    def _begin(self, wanted: Download) -> None:
        with self._lock:
            known = self._all.get(wanted.folder)
            if known is not None and known.progress().state not in FINAL:
                return
            wanted.start()
            self._all.pop(wanted.folder, None)
            self._all[wanted.folder] = wanted

    def cancel(self, model_id: str = "") -> None:
        """Ends the downloads of a model, or all when none of it is under way; what has arrived stays."""
        with self._lock:
            running = [each for each in self._all.values() if each.progress().state not in FINAL]
        for each in [each for each in running if each.model_id == model_id] or running:
            each.cancel()

    def close(self) -> None:
        """Cancels everything and returns when nothing of it runs any more."""
        self.cancel()

    def jobs(self) -> tuple[DownloadJob, ...]:
        """Returns all downloads since the app started, oldest first."""
        with self._lock:
            known = tuple(self._all.values())
        return tuple(_job(each) for each in known)

    def unfinished(self, local: list[LocalModel]) -> list[Unfinished]:
        """Returns what can be resumed of the models on this machine."""
        busy = {job.folder for job in self.jobs() if not job.ended}
        return [_unfinished(each) for each in local if each.state is LocalState.INCOMPLETE and each.path not in busy]


def _unfinished(model: LocalModel) -> Unfinished:
    begun = read_planned(model.path)  # its id here may be its path, where another has its name
    name = with_revision(begun.model_id, begun.revision) if begun else model.id
    return Unfinished(name, hub_of(model.source), model.path, model.bytes, model.total_bytes)


def _job(running: Download) -> DownloadJob:
    now, problem = running.progress(), None
    if now.state is DownloadState.FAILED:
        try:
            running.wait(0)
        except ModelError as found:
            problem = found
    return DownloadJob(with_revision(running.model_id, running.revision), running.source, running.folder, now, problem)
