"""Shows how a run over a data set goes on: rows, rows a second, time left."""

from __future__ import annotations

from vqa.cli.following import to_the_end
from vqa.lab.run.live import RunStatus
from vqa.lab.run.manager import RunManager
from vqa.text import Language, t


def follow_rows(manager: RunManager, run_id: str, language: Language) -> RunStatus:
    """Returns the status at the end of a run; Ctrl-C stops it and keeps what it has."""
    began = manager.status(run_id).done  # a run that goes on began with rows that it does not ask

    def step(status: RunStatus) -> str:
        name = status.notes.get("step")
        return t(f"lab.{name}", language, **status.notes) if name else ""

    def rows(status: RunStatus) -> str:
        rate = (status.done - began) / status.seconds if status.seconds else 0.0
        return t("evaluate.done", language, done=status.done, total=status.total or "?", rate=f"{rate:.1f}")

    return to_the_end(manager, run_id, language, step, rows)
