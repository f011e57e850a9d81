"""`python -m vqa gate BASELINE.json DATASET`: a data set asked again must not be worse than its baseline."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vqa.answers import Json, Sampling
from vqa.cli import cli_language
from vqa.cli.evaluate import BaseUrls, ask_rows
from vqa.cli.evaluate_compare import evaluated_run
from vqa.cli.lab_output import Outputs, write_text
from vqa.errors import InputError
from vqa.evaluate.comparing.baseline import Check, checks, make_baseline, read_baseline, verdict
from vqa.evaluate.comparing.rows import sides
from vqa.evaluate.reading import Dataset, Reading, parse_columns
from vqa.evaluate.reporting.comparison import check_detail, check_result, gate_lines, gate_markdown
from vqa.evaluate.reporting.saying import sentences
from vqa.evaluate.running import Asking, conclude, scored_rows, scorer_of
from vqa.evaluate.scoring import find_scorer
from vqa.lab.report.junit import Outcome, TestOutcome, junit_xml
from vqa.lab.run.failures import error_text
from vqa.media.images import ImageLimits
from vqa.settings import Settings, load_settings
from vqa.store import Store
from vqa.text import t

RIGHT_ROWS = "right"


def gate(
    baseline: Annotated[Path, typer.Argument(metavar="BASELINE.json", help="What was reached; see --from.")],
    dataset: Annotated[Path | None, typer.Argument(help="The same rows as in the baseline.")] = None,
    from_run: Annotated[
        str | None, typer.Option("--from", metavar="RUN", help="Write the baseline from this stored run instead.")
    ] = None,
    keep: Annotated[
        str, typer.Option(metavar="ROW,…", help="With --from: rows whose answer must not change, or `right`.")
    ] = "",
    least: Annotated[
        float | None, typer.Option("--min-accuracy", min=0.0, max=1.0, help="With --from: a bound.")
    ] = None,
    images: Annotated[list[Path] | None, typer.Option(help="Where the pictures are: folder, zip or Parquet.")] = None,
    annotations: Annotated[Path | None, typer.Option(help="The file of the answers, where they lie apart.")] = None,
    columns: Annotated[str, typer.Option(metavar="FIELD=COLUMN,…")] = "",
    concurrency: Annotated[int, typer.Option("-c", "--concurrency", min=1, max=256)] = 8,
    base_url: BaseUrls = None,
    model: Annotated[str | None, typer.Option(help="Of the server, its first one by default.")] = None,
    json_file: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - prints it.")] = None,
    junit_file: Annotated[str | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")] = None,
    markdown: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a summary for a pull request; - prints it.")
    ] = None,
) -> int:
    """Ask a data set again: exit status 0 as good as the baseline, 1 worse, 2 it cannot be told."""
    settings = load_settings()
    Outputs(json_file, markdown, None, junit_file).check(cli_language())
    store = Store(settings.database)
    try:
        if from_run is not None:
            return _write(store, from_run, baseline, keep, least)
        if dataset is None:
            raise InputError("dataset_missing")
        kept = read_baseline(_read(baseline), str(baseline))
        reading = Reading(
            dataset, annotations, tuple(images or ()), kept["format"], parse_columns(columns), kept["prompt"],
            kept.get("system"),
        )  # fmt: skip
        asking = Asking(
            kept["repeats"], concurrency, Sampling(**kept["sampling"]), model, kept.get("limit"),
            scorer=kept["scorer"]["name"], limits=ImageLimits.of(settings), allow_local=settings.allow_local_urls,
        )  # fmt: skip
        return _gate(settings, store, kept, Dataset(reading), asking, base_url or [], (json_file, junit_file, markdown))
    finally:
        store.close()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError("gate_baseline", path=path, reason=str(problem)) from problem


def _write(store: Store, run_id: str, path: Path, keep: str, least: float | None) -> int:
    run = evaluated_run(store, run_id)
    scorer = scorer_of(store, run)
    rows = sides(scored_rows(store, run_id, scorer))
    names = [name.strip() for name in keep.split(",") if name.strip()]
    if names == [RIGHT_ROWS]:
        names = [name for name, row in rows.items() if row.right and len(set(row.answers)) == 1]
    made = make_baseline(rows, run.plan, conclude(store, run_id, scorer), keep=names, least=least)
    write_text(str(path), json.dumps(made, ensure_ascii=False, indent=1) + "\n")
    print(t("gate.written", cli_language(), rows=len(rows), path=path))
    return 0


def _gate(
    settings: Settings,
    store: Store,
    kept: dict[str, Json],
    dataset: Dataset,
    asking: Asking,
    addresses: list[str],
    files: tuple[str | None, str | None, str | None],
) -> int:
    language = cli_language()
    name = dataset.reading.path.name
    status = ask_rows(settings, store, dataset, asking, addresses, name=t("gate.title", language, name=name))
    result = status.result
    if status.error:
        print(error_text(status.error, result, language), file=sys.stderr)
    if result is None or "scorer" not in result:
        return 2
    rows = sides(scored_rows(store, status.run_id, find_scorer(kept["scorer"]["name"])))
    found = checks(kept, rows, result)
    said = sentences(result, status.run_id, language)
    code = verdict(found)
    json_file, junit_file, markdown = files
    if json_file is not None:
        record = {
            "run": status.run_id,
            "exit_code": code,
            "checks": [asdict(check) for check in found],
            "result": result,
        }
        write_text(json_file, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    if junit_file is not None:
        write_text(junit_file, _junit(found, name, store, status.run_id, status.seconds))
    if markdown is not None:
        write_text(markdown, gate_markdown(found, name, language, said))
    out = sys.stderr if "-" in files else sys.stdout
    for line in [*gate_lines(found, language), *said]:
        print(line, file=out)
    return code


def _junit(found: list[Check], name: str, store: Store, run_id: str, seconds: float) -> str:
    language = cli_language()
    outcomes = {True: Outcome.PASSED, False: Outcome.FAILED, None: Outcome.ERROR}
    cases = [
        TestOutcome(
            t(f"gate.check_{check.name}", language),
            name,
            seconds if place == 0 else 0.0,
            outcomes[check.passed],
            "" if check.passed else f"{check_result(check, language)}: {check_detail(check, language)}",
            "\n".join(check.rows),
        )
        for place, check in enumerate(found)
    ]
    return junit_xml(t("gate.title", language, name=name), store.run(run_id).created_at, cases)
