"""`python -m vqa certify`: which engine profiles keep answers identical here, and what changed since another time."""

from __future__ import annotations

from typing import Annotated

import typer

from vqa.cli import cli_language
from vqa.cli.lab import CsvFile, HtmlFile, JsonFile, JunitFile, Name, Require, followed, read_level
from vqa.cli.lab_output import Outputs, stored_report
from vqa.errors import InputError
from vqa.lab.plan.arms import MAX_CONCURRENCY
from vqa.lab.run.manager import RunManager
from vqa.lab.run.run_json import Report
from vqa.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command()(certify)


def certify(
    profiles: Annotated[str, typer.Option(help="Engine profiles, separated by commas; all that can run here.")] = "",
    loads: Annotated[str, typer.Option(help="Requests at a time, separated by commas.")] = "1,8",
    require: Require = "tokens",
    together: Annotated[
        bool | None,
        typer.Option(help="Start all profiles' engines side by side, the default on a GPU; there ask them at once."),
    ] = None,
    engines: Annotated[
        str,
        typer.Option(help="Several vLLM to compare, the earlier first: environments as doctor names them, or Pythons."),
    ] = "",
    against: Annotated[
        str | None, typer.Option(metavar="RUN_OR_FILE", help="Measure what an earlier one did; say what changed since.")
    ] = None,
    name: Name = "",
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
    csv_file: CsvFile = None,
    junit_file: JunitFile = None,
) -> int:
    """Measure which engine profiles keep answers identical on this hardware: 0 all asked for do, 1 not, 2 unknown."""
    from vqa.engine.opening import open_engine
    from vqa.lab.certificate.certify import start_certificate
    from vqa.lab.certificate.wanted import able_profiles

    settings, outputs = load_settings(), Outputs(json_file, html_file, csv_file, junit_file)
    outputs.check(cli_language())
    earlier = None if against is None else stored_report(settings, against)
    if earlier is not None:
        profiles, loads = profiles or _profiles_of(earlier), _loads_of(earlier) or loads
    wanted = [word.strip() for word in profiles.split(",") if word.strip()] or able_profiles(settings)
    counts = [_whole(word) for word in loads.split(",") if word.strip()]
    compared = [word.strip() for word in engines.split(",") if word.strip()]
    level = read_level(require)
    engine = open_engine(settings)
    kept = engine.snapshot().serving
    started: list[str] = []

    def start(manager: RunManager) -> str:
        started.append(
            start_certificate(
                manager,
                engine,
                settings,
                wanted,
                counts,
                require=level,
                name=name,
                together=together,
                engines=compared,
            )
        )
        return started[0]

    try:
        status = followed(settings, start, level, outputs)
    finally:
        if not kept:
            engine.stop()
            engine.wait(timeout=30)
        engine.close(leave_running=kept)
    if earlier is not None:
        from vqa.cli.verify import tell_changes

        tell_changes(earlier, stored_report(settings, started[0]), cli_language())
    return status


def _profiles_of(report: Report) -> str:
    """Returns the profiles of a certificate that could be measured, as the command takes them."""
    rows = (report.run.result or {}).get("profiles") or ()
    return ",".join(dict.fromkeys(str(row.get("profile", row["name"])) for row in rows if row["reason"] is None))


def _loads_of(report: Report) -> str:
    rows = (report.run.result or {}).get("profiles") or ()
    return ",".join(map(str, sorted({int(load["load"]) for row in rows for load in row.get("loads") or ()})))


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise InputError("number_invalid", name="load", value=word, least=1, most=MAX_CONCURRENCY) from None
