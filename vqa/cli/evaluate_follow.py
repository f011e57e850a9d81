"""Shows how a run over a data set goes on: rows, rows a second, time left; Ctrl-C stops it and keeps what it has."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from vqa.cli.lab_output import POLL_SECONDS, ctrl_c
from vqa.lab.run.live import RunStatus
from vqa.lab.run.manager import RunManager
from vqa.text import Language, t

STOP_SECONDS = 60.0


def follow_rows(manager: RunManager, run_id: str, language: Language) -> RunStatus:
    """Returns the status at the end of a run."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"), TimeElapsedColumn())
    with (
        ctrl_c() as pressed,
        Progress(
            *columns,
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as bar,
    ):
        task = bar.add_task("", total=None, rate="", left="")
        status = manager.status(run_id)
        began = status.done
        while status.running and not pressed():
            rate = (status.done - began) / status.seconds if status.seconds else 0.0
            step = status.notes.get("step")
            bar.update(
                task,
                completed=status.done,
                total=status.total or None,
                description=t(f"lab.{step}", language, **status.notes) if step else "",
                rate=t("evaluate.done", language, done=status.done, total=status.total or "?", rate=f"{rate:.1f}"),
                left=""
                if status.seconds_left is None
                else t("lab.left", language, seconds=f"{status.seconds_left:.0f}"),
            )
            status = manager.wait(run_id, timeout=POLL_SECONDS)
    if status.running:
        manager.stop(run_id)
        status = manager.wait(run_id, timeout=STOP_SECONDS)
    return status
