"""`python -m vqa score | compare | power`: stored runs over data sets, scored again and set side by side."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from vqa.answers import Json
from vqa.cli import cli_language
from vqa.cli.lab_output import write_text
from vqa.errors import InputError
from vqa.evaluate.comparing.scorers import fitting_scorers, side_by_side
from vqa.evaluate.reporting.saying import percent
from vqa.evaluate.running import scored_rows, scorer_of
from vqa.evaluate.scoring import find_scorer
from vqa.settings import load_settings
from vqa.store import Run, Store
from vqa.text import Language, t

SHOWN = 20
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A stored run of `evaluate`.")]


def evaluated_run(store: Store, run_id: str) -> Run:
    """Returns a stored run over a data set.

    Raises:
        StoreError: there is none of this id.
        InputError: it did not ask a data set.
    """
    run = store.run(run_id)
    if "dataset" not in run.plan:
        raise InputError("run_no_dataset", run=run_id)
    return run


def score(
    run: RunId,
    scorer: Annotated[
        list[str] | None,
        typer.Option("--scorer", metavar="NAME", help="Once or several times; by default all that fit."),
    ] = None,
    json_file: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - prints it.")] = None,
) -> int:
    """Score a run's stored answers again, under one or all scorers side by side; nothing is asked."""
    language = cli_language()
    chosen = [find_scorer(name) for name in scorer or ()]
    store = Store(load_settings().database)
    try:
        stored = evaluated_run(store, run)
        own = scorer_of(store, stored)
        chosen = chosen or fitting_scorers(row for row, _ in scored_rows(store, run, own))
        rows = (row for row, _ in scored_rows(store, run, own))
        found = {"run": run, **side_by_side(rows, chosen, stored.plan["asking"]["repeats"])}
    finally:
        store.close()
    if json_file is not None:
        write_text(json_file, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    if json_file != "-":
        _show_scores(found, language)
    return 0


def _show_scores(found: dict[str, Json], language: Language) -> None:
    names = ("scorer", "version", "accuracy_name", "interval_name", "unparsed_name")
    shown = Table(*(t(f"evaluate.{name}", language) for name in names))
    rows = 0
    for each in found["scorers"]:
        interval, rows = each["interval"], max(rows, each["scored"])
        between = f"{percent(interval['low'])} – {percent(interval['high'])}" if interval else "–"
        scorer = each["scorer"]
        shown.add_row(scorer["name"], scorer["version"], percent(each["accuracy"]), between, str(each["unparsed"]))
    Console().print(shown)
    if found["range"] and found["range"][0] < found["range"][1]:
        low, high = map(percent, found["range"])
        print(t("evaluate.range", language, low=low, high=high))
    if not found["disagreements"]:
        print(t("evaluate.agree_all", language, rows=rows))
        return
    print(t("evaluate.disagree", language, count=found["disagreements"], rows=rows))
    for row in found["rows"][:SHOWN]:
        scores = ", ".join(f"{name} {value:g}" for name, value in row["scores"].items())
        texts = {name: " | ".join(row[name])[:80] for name in ("answers", "wanted")}
        print(t("evaluate.disagree_row", language, row=row["row"], scores=scores, **texts))
    if found["disagreements"] > SHOWN:
        print(t("evaluate.more", language, count=found["disagreements"] - SHOWN))
