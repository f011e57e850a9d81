"""What the lab's commands print and write: a progress bar on a terminal, one line in a pipe, files on request."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vqa.cli.following import to_the_end
from vqa.errors import InputError, StoreError
from vqa.lab.diagnosis.invalid import early_sentence, ended_after, invalid_sentence
from vqa.lab.diagnosis.verdict import (
    engineer_sentence,
    hidden_sentence,
    manager_sentence,
    why_failed,
)
from vqa.lab.run.live import RunStatus
from vqa.lab.run.manager import RunManager
from vqa.lab.run.run_json import Report
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summary import RunSummary
from vqa.settings import Settings
from vqa.store import Run, Store
from vqa.text import Language, t, table

STDOUT = "-"


@dataclass(frozen=True)
class Outputs:
    """The files that a user asked for; `-` is standard output."""

    json: str | None = None
    html: str | None = None
    csv: str | None = None
    junit: str | None = None

    @property
    def any(self) -> bool:
        """Whether anything is to be written."""
        return any(self._all())

    @property
    def to_stdout(self) -> bool:
        """Whether standard output belongs to a file's content."""
        return STDOUT in self._all()

    def check(self, language: Language) -> None:
        """Raises InputError when a file could not be written: better now than after a long run."""
        for path in filter(None, self._all()):
            if path == STDOUT:
                continue
            try:
                folder = Path(path).expanduser().parent
                writable = folder.is_dir() and os.access(folder, os.W_OK) and not Path(path).is_dir()
            except (OSError, ValueError, RuntimeError) as problem:  # too long a name, no name at all, nobody's home
                reason = getattr(problem, "strerror", None) or str(problem)
                raise InputError("output_unwritable", path=path, reason=reason) from problem
            if not writable:
                raise InputError("output_unwritable", path=path, reason=t("lab.output_folder", language))

    def write(self, store: Store, run_id: str, require: Level, language: Language) -> None:
        """Writes the files of a stored run."""
        if self.any:
            from vqa.lab.report.export import collect

            self.write_report(collect(store, run_id), require, language)

    def write_report(self, report: Report, require: Level | None, language: Language) -> None:
        """Writes every file that was asked for.

        Raises:
            InputError: one could not be written.
        """
        from vqa.lab.report.export import dump, to_csv, to_html, to_junit

        makers: list[tuple[str | None, Callable[[], str]]] = [
            (self.json, lambda: dump(report)),
            (self.html, lambda: to_html(report, language)),
            (self.csv, lambda: to_csv(report)),
            (self.junit, lambda: to_junit(report, require, language)),
        ]
        for path, make in makers:
            if path is not None:
                write_text(path, make())

    def _all(self) -> tuple[str | None, ...]:
        return self.json, self.html, self.csv, self.junit


def write_text(path: str, text: str) -> None:
    """Writes a file as a whole or not at all; `-` prints it.

    Raises:
        InputError: it could not be written.
    """
    if path == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    goal = Path(path).expanduser()
    part = goal.with_name(f".{goal.name}.part")
    try:
        part.write_bytes(text.encode("utf-8", "surrogatepass"))
        part.replace(goal)
    except OSError as problem:
        part.unlink(missing_ok=True)
        raise InputError("output_unwritable", path=path, reason=problem.strerror) from problem


def follow(manager: RunManager, run_id: str, language: Language, *, quiet: bool = False) -> RunStatus:
    """Returns the status at the end of a run; shows progress on a terminal and the verdict in any case.

    `quiet` sends the verdict to standard error, since standard output holds something else.
    """

    def describe(status: RunStatus) -> str:
        step = status.notes.get("step")
        return t(f"lab.{step}", language, **status.notes) if step else arm_name(status.arm, language)

    status = to_the_end(manager, run_id, language, describe)
    summaries = manager.summaries(run_id)
    out = sys.stderr if quiet else sys.stdout
    for line in _verdict_lines(status, summaries, language, technical=out.isatty()):
        print(line, file=out)
    return status


def arm_name(name: str, language: Language) -> str:
    """Returns an arm's name in the user's words, a profile before it kept as it is."""
    from vqa.lab.report.conclusions import arm_title

    profile, slash, arm = name.rpartition("/")
    return f"{profile}{slash}{arm_title(arm, language)}" if arm else ""


def _verdict_lines(
    status: RunStatus, summaries: dict[str, RunSummary], language: Language, *, technical: bool
) -> list[str]:
    from vqa.lab.report.notes import note_lines

    lines = _said(status, summaries, language, technical=technical)
    example = next((each.error_example for arm in summaries.values() for each in arm.questions if each.failed), "")
    if example and not any(example in line for line in lines):
        lines += why_failed(example, language)
    return [*lines, *note_lines(status.result, language)]


def _said(status: RunStatus, summaries: dict[str, RunSummary], language: Language, *, technical: bool) -> list[str]:
    if status.kind == "repeat":
        found = list(summaries.values())
        if not found:
            return [t("lab.open_nothing", language)]
        invalid = invalid_sentence(status.result, language)
        lines = [invalid or manager_sentence(found[0], language)]
        if invalid and early_sentence(status.result, language) == invalid:
            lines.append(t("lab.seen_anyway", language, seen=manager_sentence(found[0], language)))
        require = Level((status.result or {}).get("require", "text"))
        if not invalid and (hidden := hidden_sentence(found[0], require, language)):
            lines.append(hidden)
        return [*lines, engineer_sentence(found[0], language)] if technical else lines
    from vqa.lab.report.say import result_lines

    if status.status != "finished" and not status.result:
        return [ended_after(status.done, status.total, language, by_hand=status.status == "stopped")]
    return result_lines(status, language, technical=technical)


def print_runs(runs: list[Run], language: Language, *, as_json: bool) -> None:
    """Prints stored runs: a table on a terminal, tab-separated lines in a pipe, JSON on request."""
    if as_json:
        rows = [
            {
                "id": run.id,
                "kind": run.kind,
                "name": run.name,
                "status": run.status,
                "created_at": run.created_at.isoformat(),
                "samples": run.samples,
                "questions": run.header.get("questions"),
                "model": run.header.get("model"),
                "holds": (run.result or {}).get("holds"),
                "level": (run.result or {}).get("level"),
            }
            for run in runs
        ]
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    cells = [_run_cells(run, language) for run in runs]
    if not sys.stdout.isatty():
        for row in cells:
            print("\t".join(row))
        return
    names = ("id", "kind", "status", "when", "samples", "verdict", "name")
    shown = Table(*(t(f"lab.runs_{name}", language) for name in names))
    for row in cells:
        shown.add_row(*row)
    Console().print(shown if cells else t("lab.runs_none", language))


def _run_cells(run: Run, language: Language) -> tuple[str, ...]:
    result = run.result or {}
    level = result.get("level") or result.get("verdict") or ""
    key = f"report.badge_{level}" if result.get("level") else f"diagnose.verdict_{level}"
    key = "report.badge_unknown" if invalid_sentence(result, language) else key
    questions = " / ".join(run.header.get("questions") or [])
    return (
        run.id,
        run.kind,
        run.status,
        run.created_at.astimezone().strftime("%Y-%m-%d %H:%M"),
        str(run.samples),
        t(key, language) if key in table(language) else level,
        " ".join((run.name or questions).split())[:60],
    )


def stored_report(settings: Settings, run: str) -> Report:
    """Returns the report of a stored or recorded run's id or of a JSON file (packed by gzip or not).

    Raises:
        StoreError: neither a run nor a file of this name exists.
    """
    from vqa.lab.report.export import collect, load_report
    from vqa.lab.run.recorded import recorded

    if Path(run).is_file():
        return load_report(Path(run))
    if run in (shipped := recorded()):
        return load_report(shipped[run])
    store = Store(settings.database)
    try:
        return collect(store, run)
    except StoreError:
        if Path(run).suffix:
            raise InputError("report_unreadable", path=run, reason=os.strerror(2)) from None
        raise
    finally:
        store.close()
