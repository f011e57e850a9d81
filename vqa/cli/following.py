"""Follows a run in a terminal to its end: a progress bar for who looks on, waits alone in a pipe; Ctrl-C stops it.

So does SIGTERM, which a CI job that has run out of time gets: what was measured is written to the files asked for.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from vqa.lab.run.job import STEP_BACK
from vqa.lab.run.live import RunStatus
from vqa.lab.run.manager import RunManager
from vqa.text import Language, t

POLL_SECONDS = 0.5
STOP_SECONDS = 60.0
"""How long a stopped run is given to put away what it has."""


def to_the_end(
    manager: RunManager,
    run_id: str,
    language: Language,
    describe: Callable[[RunStatus], str],
    count: Callable[[RunStatus], str] | None = None,
) -> RunStatus:
    """Returns the status at the end of a run, with a bar between what `describe` and `count` say (`done/total`).

    Ctrl-C or SIGTERM stops it and keeps what was measured; a second one interrupts at once, with KeyboardInterrupt.
    """
    with ctrl_c() as pressed:
        status = _watch(manager, run_id, language, describe, count or _done_of_total, pressed)
        if status.running:
            manager.stop(run_id)
            status = manager.wait(run_id, timeout=STOP_SECONDS)
            while status.running and status.notes.get("step") == STEP_BACK:
                # Letting go now would leave the user's engine stopped; a second Ctrl-C does that all the same.
                status = manager.wait(run_id, timeout=POLL_SECONDS)
    return status


@contextmanager
def ctrl_c() -> Iterator[Callable[[], bool]]:
    """Yields whether Ctrl-C was pressed, or SIGTERM came; a second one interrupts at once.

    An exception in the middle of waiting could leave the run's lock held for ever, so the first press only says so.
    """
    presses: list[int] = []

    def press(number: int, _: object) -> None:
        presses.append(number)
        if len(presses) > 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, press) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(presses)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(
    manager: RunManager,
    run_id: str,
    language: Language,
    describe: Callable[[RunStatus], str],
    count: Callable[[RunStatus], str],
    pressed: Callable[[], bool],
) -> RunStatus:
    """Returns how the run stands once it has ended or Ctrl-C was pressed."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"), TimeElapsedColumn())
    waits = WaitsTold(language)
    left = TextColumn("{task.fields[left]}")
    with Progress(*columns, left, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, count="", left="")
        status = manager.status(run_id)
        while status.running and not pressed():
            if not console.is_terminal:
                waits.tell(status)
            seconds = "" if status.seconds_left is None else f"{status.seconds_left:.0f}"
            bar.update(
                task,
                completed=status.done,
                total=status.total or None,
                description=describe(status),
                count=count(status),
                left=t("lab.left", language, seconds=seconds) if seconds else "",
            )
            status = manager.wait(run_id, timeout=POLL_SECONDS)
    return status


class WaitsTold:
    """Says in a pipe, where nothing else shows it, that the server asks to wait; the same words once."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._last = ""

    def tell(self, status: RunStatus) -> None:
        """Prints a line to standard error where a run waits for its server since this was last called."""
        waits = status.notes.get("step") in {"asked_to_wait", "waiting_for_server"}
        told = t(f"lab.{status.notes['step']}", self._language, **status.notes) if waits else ""
        if told and told != self._last:
            print(told, file=sys.stderr, flush=True)
        self._last = told


def _done_of_total(status: RunStatus) -> str:
    return f"{status.done}/{status.total or '?'}"
