"""`python -m vqa verify`: a run's file held against the samples in it, and against another run's."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from vqa.answers import Json
from vqa.cli import cli_language
from vqa.cli.lab_output import stored_report
from vqa.lab.run.run_json import Report, false_answers
from vqa.settings import load_settings
from vqa.text import Language, t

HOLDS, BROKEN, CANNOT_TELL = 0, 1, 2


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command()(verify)


def verify(
    run: Annotated[str, typer.Argument(metavar="RUN_OR_FILE", help="A run's id, or a JSON file of one.")],
    against: Annotated[
        str | None, typer.Option(metavar="RUN_OR_FILE", help="An earlier run: say what changed since.")
    ] = None,
) -> int:
    """Derive every verdict again from the samples inside: 0 all are as written, 1 some are not, 2 none can be."""
    from vqa.lab.verify.verdicts import verdicts

    settings, language = load_settings(), cli_language()
    report = stored_report(settings, run)
    forged = false_answers(run)
    for digest in forged:
        print(t("verify.forged", language, digest=digest[:12]))
    checks = verdicts(report)
    for check in checks:
        if not check.agrees:
            values = {"place": check.place, "stored": _short(check.stored), "derived": _short(check.derived)}
            print(t("verify.differs", language, **values))
    wrong = sum(not check.agrees for check in checks)
    if checks:
        key = "verify.some_differ" if wrong else "verify.all_agree"
        print(t(key, language, n=len(checks), wrong=wrong, samples=len(report.samples), run=report.run.id))
    else:
        print(t("verify.nothing", language, run=report.run.id))
    if against is not None:
        tell_changes(stored_report(settings, against), report, language)
    return BROKEN if wrong or forged else HOLDS if checks else CANNOT_TELL


def tell_changes(before: Report, now: Report, language: Language) -> None:
    """Prints what is otherwise in a run than in an earlier one."""
    from vqa.lab.verify.against import changes

    found = changes(before, now)
    print(t("verify.since" if found else "verify.since_nothing", language, run=before.run.id, n=len(found)))
    for change in found:
        print("  " + t(f"verify.change_{change.what}", language, **vars(change)))


def _short(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)[:120]
