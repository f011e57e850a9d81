"""`python -m vqa score | compare | power | forecast`: stored runs over data sets, scored again and set side by side."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from vqa.answers import Json
from vqa.cli import cli_language
from vqa.cli.lab_output import write_text
from vqa.errors import InputError
from vqa.evaluate.comparing.forecast import forecast as foretell
from vqa.evaluate.comparing.paired import Z_POWER, detectable, rows_needed
from vqa.evaluate.comparing.rows import sides
from vqa.evaluate.comparing.runs import compare as compare_sides
from vqa.evaluate.comparing.runs import differences, discordance
from vqa.evaluate.comparing.scorers import fitting_scorers, side_by_side
from vqa.evaluate.reporting.comparison import compare_lines
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


def compare(
    first: Annotated[str, typer.Argument(metavar="RUN_A", help="A stored run of `evaluate`.")],
    second: Annotated[str, typer.Argument(metavar="RUN_B", help="Another over the same rows.")],
    scorer: Annotated[str | None, typer.Option("--scorer", metavar="NAME", help="By default that of RUN_A.")] = None,
    json_file: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - prints it.")] = None,
) -> int:
    """Compare two runs row by row: exit status 0 no real change, 1 a real change, 2 it cannot be told."""
    language = cli_language()
    store = Store(load_settings().database)
    try:
        runs = [evaluated_run(store, run_id) for run_id in (first, second)]
        rule = find_scorer(scorer) if scorer else scorer_of(store, runs[0])
        found = {
            "runs": [first, second],
            "scorer": rule.record(),
            "settings": differences(*runs),
            **compare_sides(*(sides(scored_rows(store, run.id, rule)) for run in runs)),
        }
    finally:
        store.close()
    if json_file is not None:
        write_text(json_file, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    if json_file != "-":
        lines = compare_lines(found, language, again_command(runs[0]))
        what = "; ".join(f"{name} {old} → {new}" for name, (old, new) in found["settings"].items())
        for line in [*lines, *([t("gate.differs", language, what=what)] if what else [])]:
            print(line)
    return int(found["exit_code"])


def again_command(run: Run) -> str:
    """Returns the command that asks a run's rows again with repeats."""
    asking = run.plan["asking"]
    return shlex.join(
        ["python", "-m", "vqa", "evaluate", run.plan["dataset"]["path"], "-n", "3", "-c", str(asking["concurrency"])]
    )


def power(
    first: Annotated[str, typer.Argument(metavar="RUN", help="A stored run of `evaluate`.")],
    second: Annotated[str | None, typer.Argument(metavar="[RUN_B]", help="Another over the same rows.")] = None,
    difference: Annotated[float, typer.Option(min=0.0001, max=1.0, help="To be seen, 0.03 for 3 points.")] = 0.03,
    certainty: Annotated[float, typer.Option("--power", help="0.8, 0.9 or 0.95.")] = 0.8,
    json_file: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - prints it.")] = None,
) -> int:
    """Tell how many rows a difference needs to be seen, given what was seen."""
    if certainty not in Z_POWER:
        raise InputError("choice_invalid", name="--power", value=certainty, known="0.8, 0.9, 0.95")
    language = cli_language()
    store = Store(load_settings().database)
    try:
        run = evaluated_run(store, first)
        rule = scorer_of(store, run)
        one = sides(scored_rows(store, first, rule))
        other = sides(scored_rows(store, evaluated_run(store, second).id, rule)) if second else None
    finally:
        store.close()
    discordant, source = discordance(one, other)
    discordant = max(discordant, difference)  # no smaller share can bring such a difference about
    needed = rows_needed(discordant, difference, certainty)
    smallest = detectable(discordant, len(one), certainty)
    found = {"rows_needed": needed, "difference": difference, "power": certainty, "discordant": discordant,
             "seen": source, "rows": len(one), "detectable": smallest}  # fmt: skip
    if json_file is not None:
        write_text(json_file, json.dumps(found, indent=1) + "\n")
    if json_file != "-":
        told = {"difference": f"{100 * difference:g}", "power": percent(certainty), "discordant": percent(discordant)}
        print(t("gate.power", language, rows=needed, **told))
        print(t("gate.power_of", language, rows=len(one), difference=f"{100 * smallest:.1f}"))
        print(t(f"gate.power_{source}", language))
    return 0


def forecast(
    run: RunId,
    against: Annotated[
        str | None, typer.Option(metavar="RUN", help="A run over the same rows under load, to see how it turned out.")
    ] = None,
    drift: Annotated[float | None, typer.Option(min=0.0, help="Nats; by default what was seen.")] = None,
    json_file: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - prints it.")] = None,
) -> int:
    """Name the rows whose answer can flip: smallest margin at most twice the drift seen."""
    language = cli_language()
    store = Store(load_settings().database)
    try:
        evaluated_run(store, run)
        first = {
            row.place: answer
            for row, samples in store.evaluated(run)
            if (answer := next((s.answer for s in samples if s.answer is not None and s.error is None), None))
        }
        if against is not None:
            evaluated_run(store, against)
        again = [
            (row.place, sample) for row, samples in store.evaluated(against or run) for sample in samples
            if sample.error is None
        ]  # fmt: skip
    finally:
        store.close()
    found = foretell(first, again if against is not None or len(again) > len(first) else None, drift)
    record = {"run": run, "against": against, **found.record()}
    if json_file is not None:
        write_text(json_file, json.dumps(record, indent=1) + "\n")
    if json_file != "-":
        _show_forecast(record, language)
    return 0


def _show_forecast(record: dict[str, Json], language: Language) -> None:
    told = {"count": len(record["fragile"]), "rows": record["rows"], "drift": f"{record['drift']:.4g}"}
    print(t("gate.forecast", language, **told))
    if record["fragile"]:
        print(t("gate.rows_named", language, rows=", ".join(str(place + 1) for place in record["fragile"][:SHOWN])))
    if "flipped" in record:
        shares = {name: percent(record[name]) for name in ("precision", "recall")}
        print(t("gate.forecast_turned_out", language, flipped=len(record["flipped"]), hits=record["hits"], **shares))
