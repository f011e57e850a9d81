"""`python -m vqa runs | report | holds`: what is stored, listed, named, deleted, told and written as a report."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from vqa.cli import cli_language
from vqa.cli.lab import CsvFile, HtmlFile, JsonFile, JunitFile, read_level
from vqa.cli.lab_output import Outputs, print_runs, stored_report
from vqa.errors import InputError
from vqa.settings import Settings, load_settings
from vqa.store import Run, Store


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    for command in (runs, report, holds):
        app.command()(command)


def runs(
    search: Annotated[str, typer.Argument(help="Words in the name, the questions, the model or the id.")] = "",
    kind: Annotated[str | None, typer.Option(help="Only repeat, diagnose, certify, horizon, matrix, …")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    delete: Annotated[str | None, typer.Option(metavar="RUN", help="Delete this run for good.")] = None,
    rename: Annotated[tuple[str, str] | None, typer.Option(metavar="RUN NAME", help="Give a run a name.")] = None,
) -> int:
    """List the stored runs, newest first; or delete or rename one."""
    store = Store(load_settings().database)
    try:
        if delete is not None:
            store.delete_run(delete)
        if rename is not None:
            store.update_run(rename[0], name=rename[1])
        if delete is None and rename is None:
            print_runs(store.runs(search=search, kind=kind, limit=limit), cli_language(), as_json=as_json)
    finally:
        store.close()
    return 0


def report(
    run: Annotated[str, typer.Argument(metavar="RUN_OR_FILE", help="A run's id, or a JSON file of one.")],
    require: Annotated[
        str | None, typer.Option(help="The level that the JUnit file checks; by default the one that the run required.")
    ] = None,
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
    csv_file: CsvFile = None,
    junit_file: JunitFile = None,
) -> int:
    """Write the report of a stored run, or of a run's JSON file, in any of the formats."""
    outputs = Outputs(json_file, html_file, csv_file, junit_file)
    if not outputs.any:
        raise InputError("report_without_output")
    outputs.check(cli_language())
    settings = load_settings()
    level = None if require is None else read_level(require)
    if _written_of_rows(settings, run, outputs):
        return 0
    outputs.write_report(stored_report(settings, run), level, cli_language())
    return 0


def holds(
    recorded: Annotated[bool, typer.Option("--recorded", help="The runs that ship with the app, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Say what holds where: each profile of each stored certificate, horizon and matrix, by hardware and version."""
    from vqa.lab.certificate.where import KINDS, what_holds
    from vqa.lab.report.where import where_lines

    store = Store(load_settings().database)
    try:
        found = {run.id: run for kind in KINDS for run in store.runs(kind=kind)}
    finally:
        store.close()
    rows = what_holds(((_recorded_runs() if recorded else {}) | found).values())
    if as_json:
        print(json.dumps([asdict(row) for row in rows], ensure_ascii=False, indent=1))
    else:
        print("\n".join(where_lines(rows, cli_language())))
    return 0


def _recorded_runs() -> dict[str, Run]:
    from vqa.lab.run.recorded import recorded
    from vqa.lab.run.run_json import load_report

    return {run_id: load_report(path).run for run_id, path in recorded().items()}


def _written_of_rows(settings: Settings, run: str, outputs: Outputs) -> bool:
    """Writes the files of a stored run over a data set, whose report is of another kind; False for any other run."""
    from vqa.cli.evaluate import write_files

    store = Store(settings.database)
    try:
        if not store.has_run(run) or "dataset" not in store.run(run).plan:
            return False
        write_files(store, run, outputs)
        return True
    finally:
        store.close()
