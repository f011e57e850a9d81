"""`python -m vqa evaluate DATASET`: accuracy and agreement over rows of picture, question and answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from vqa.answers import MAX_SEED, Sampling
from vqa.cli import cli_language
from vqa.cli.ask import tell_temperature
from vqa.cli.evaluate_follow import follow_rows
from vqa.cli.lab_output import Outputs, write_text
from vqa.cli.target import target
from vqa.client import normalize_base_url
from vqa.errors import InputError
from vqa.evaluate.reading import Dataset, Reading, Row, parse_columns, reading_from_record
from vqa.evaluate.reporting.files import RunFiles
from vqa.evaluate.reporting.saying import heading, sentences
from vqa.evaluate.running import KIND, Asking, asking_from_record, conclude, evaluate_work, spec_of
from vqa.evaluate.running.values import WAIT_SECONDS
from vqa.evaluate.scoring import Scorer, default_scorer, find_scorer
from vqa.lab.run.failures import error_text
from vqa.lab.run.live import RunStatus
from vqa.lab.run.manager import RunManager
from vqa.media.images import ImageLimits
from vqa.memory import share_memory_between_threads
from vqa.settings import Settings, load_settings
from vqa.store import Store

HEAD = 50
BaseUrls = Annotated[
    list[str] | None,
    typer.Option("--base-url", help="Any OpenAI-compatible server (…/v1); several times for several, side by side."),
]
JsonFile = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the figures; - prints them.")]
HtmlFile = Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write a self-contained page.")]
CsvFile = Annotated[str | None, typer.Option("--csv", metavar="FILE", help="Write one line for each answer.")]
JunitFile = Annotated[str | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")]
ScorerName = Annotated[
    str | None, typer.Option("--scorer", metavar="NAME", help="The format's own by default; numeric:0.05 allows 5%.")
]


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    from vqa.cli.evaluate_compare import compare, forecast, power, score
    from vqa.cli.evaluate_gate import gate

    for command in (evaluate, score, compare, gate, power, forecast):
        app.command()(command)


def evaluate(
    dataset: Annotated[
        Path | None, typer.Argument(help="JSON, JSONL, CSV, TSV or Parquet; a folder with one, or a zip.")
    ] = None,
    annotations: Annotated[Path | None, typer.Option(help="The file of the answers, where they lie apart.")] = None,
    images: Annotated[list[Path] | None, typer.Option(help="Where the pictures are: folder, zip or Parquet.")] = None,
    form: Annotated[str | None, typer.Option("--format", metavar="NAME", help="Found by the shape by default.")] = None,
    columns: Annotated[str, typer.Option(metavar="FIELD=COLUMN,…", help="Such as image=photo,question=q.")] = "",
    encoding: Annotated[str | None, typer.Option(help="Of a text file; UTF-8 and GB18030 are found.")] = None,
    scorer: ScorerName = None,
    prompt: Annotated[str | None, typer.Option(help="With {question}, and {options} and {hint} if wanted.")] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    repeats: Annotated[int, typer.Option("-n", "--repeats", min=1, help="How often each row is asked.")] = 1,
    concurrency: Annotated[
        int, typer.Option("-c", "--concurrency", min=1, max=256, help="Requests at a time at each server.")
    ] = 8,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first rows.")] = None,
    least: Annotated[float | None, typer.Option("--min-accuracy", min=0.0, max=1.0)] = None,
    base_url: BaseUrls = None,
    model: Annotated[str | None, typer.Option(help="Of the server, its first one by default.")] = None,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0)] = 0.0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0)] = 0.9,
    max_tokens: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=MAX_SEED)] = None,
    wait: Annotated[float, typer.Option(min=0.0, help="Seconds to wait for a server that went away.")] = WAIT_SECONDS,
    name: Annotated[str, typer.Option(help="A name to find the run by.")] = "",
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with a run: no row is asked twice.")] = None,
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
    csv_file: CsvFile = None,
    junit_file: JunitFile = None,
) -> int:
    """Measure a data set: exit status 0 done, 1 below --min-accuracy, 2 some row could not be asked or answered."""
    settings, outputs = load_settings(), Outputs(json_file, html_file, csv_file, junit_file)
    tell_temperature(temperature)
    outputs.check(cli_language())
    if repeats > settings.max_repeats:
        raise InputError("repeats_invalid", n=repeats, least=1, most=settings.max_repeats)
    limits = ImageLimits.of(settings)
    store = Store(settings.database)
    try:
        if resume is not None:
            run = store.run(resume)
            if "dataset" not in run.plan:
                raise InputError("run_no_dataset", run=resume)
            opened = Dataset(reading_from_record(run.plan["dataset"]))
            asking = asking_from_record(run.plan["asking"], limits, allow_local=settings.allow_local_urls)
            addresses = base_url or run.plan["addresses"]
            name = run.name
        else:
            if dataset is None:
                raise InputError("dataset_missing")
            opened = Dataset(
                Reading(
                    dataset, annotations, tuple(images or ()), form, parse_columns(columns), prompt, system, encoding
                )
            )
            sampling = Sampling(temperature, top_p, max_tokens, seed)
            asking = Asking(
                repeats, concurrency, sampling, model, limit, wait_seconds=wait, scorer=scorer or "", limits=limits,
                allow_local=settings.allow_local_urls,
            )  # fmt: skip
            addresses = base_url or []
        return run_rows(settings, store, opened, asking, addresses, outputs, name=name, resume=resume, least=least)
    finally:
        store.close()


def run_rows(
    settings: Settings,
    store: Store,
    dataset: Dataset,
    asking: Asking,
    addresses: Sequence[str],
    outputs: Outputs,
    *,
    name: str = "",
    resume: str | None = None,
    least: float | None = None,
) -> int:
    """Asks a data set, shows and writes what was measured, and returns the exit status."""
    language = cli_language()
    scorer = chosen_scorer(dataset, asking)
    for line in heading(dataset.record(), scorer.record(), language):
        print(line, file=sys.stderr)
    status = ask_rows(settings, store, dataset, asking, addresses, name=name, resume=resume)
    result = status.result
    if status.error:
        print(error_text(status.error, result, language), file=sys.stderr)
    if result is None or "scorer" not in result:
        return 2
    write_files(store, status.run_id, outputs, least)
    for line in sentences(result, status.run_id, language):
        print(line, file=sys.stderr if outputs.to_stdout else sys.stdout)
    return exit_status(status, least)


def chosen_scorer(dataset: Dataset, asking: Asking) -> Scorer:
    """Returns the scorer that a user named, or the data set's own.

    Raises:
        InputError: there is none of that name, or none of the first rows can be asked.
    """
    if asking.scorer:
        return find_scorer(asking.scorer)
    rows = []
    for count, row in enumerate(dataset.rows()):
        if count >= HEAD:
            break
        if isinstance(row, Row):
            rows.append(row)
    return default_scorer(dataset.format, rows)


def ask_rows(
    settings: Settings,
    store: Store,
    dataset: Dataset,
    asking: Asking,
    addresses: Sequence[str],
    *,
    name: str = "",
    resume: str | None = None,
) -> RunStatus:
    """Asks a data set to the end, or until Ctrl-C; returns how it stands."""
    share_memory_between_threads()
    manager = RunManager(store, settings)
    named = [normalize_base_url(address) for address in addresses]
    try:
        with target(settings, named[0] if named else None, model=asking.model) as server:
            every = [server.base_url, *named[1:]]
            work = evaluate_work(dataset, asking, every)
            run_id = manager.start_work(
                work, spec_of(dataset, asking, name), server.base_url, kind=KIND, engine=server.engine, resume=resume
            )
            return follow_rows(manager, run_id, cli_language())
    finally:
        manager.close()


def write_files(store: Store, run_id: str, outputs: Outputs, least: float | None = None) -> None:
    """Writes every file that was asked for.

    Raises:
        InputError: one could not be written.
    """
    run = store.run(run_id)
    concluded = run.result if run.result and "scorer" in run.result else conclude(store, run_id)
    result = {"run": run_id, "status": run.status, **concluded}
    files = RunFiles(store, run, result, cli_language(), least)
    if outputs.json is not None:
        write_text(outputs.json, json.dumps(result, ensure_ascii=False, indent=1) + "\n")
    for path, make in ((outputs.html, files.html), (outputs.csv, files.csv), (outputs.junit, files.junit)):
        if path is not None:
            write_text(path, make())


def exit_status(status: RunStatus, least: float | None) -> int:
    """Returns 2 where anything could not be told, 1 where the accuracy is below `least`, else 0."""
    result = status.result or {}
    if status.status != "finished" or result.get("failed") or result.get("skipped"):
        return 2
    if least is None:
        return 0
    accuracy = result.get("accuracy")
    return 2 if accuracy is None else int(accuracy < least)
