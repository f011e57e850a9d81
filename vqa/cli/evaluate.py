"""`python -m vqa evaluate DATASET`: accuracy and agreement over rows of image, question and answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from vqa.answers import Json, Sampling
from vqa.cli import cli_language
from vqa.cli.ask import BaseUrl
from vqa.cli.lab_output import Outputs, write_text
from vqa.cli.target import target
from vqa.evaluate import evaluate_work, read_dataset
from vqa.lab.diagnosis.verdict import percent
from vqa.lab.plan.arms import RunSpec
from vqa.lab.run.failures import error_text
from vqa.lab.run.live import RunStatus
from vqa.lab.run.manager import RunManager
from vqa.media.images import ImageLimits
from vqa.settings import Settings, load_settings
from vqa.store import Store
from vqa.text import Language, t

POLL_SECONDS = 0.5


def evaluate(
    dataset: Annotated[Path, typer.Argument(help="JSONL, JSON or CSV with image, question and answer.")],
    repeats: Annotated[int, typer.Option("-n", "--repeats", min=1, help="How often each row is asked.")] = 1,
    concurrency: Annotated[int, typer.Option("-c", "--concurrency", min=1, max=256)] = 8,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first rows.")] = None,
    least: Annotated[float | None, typer.Option("--min-accuracy", min=0.0, max=1.0)] = None,
    base_url: BaseUrl = None,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0)] = 0.0,
    max_tokens: Annotated[int | None, typer.Option(min=1)] = None,
    name: Annotated[str, typer.Option(help="A name to find the run by.")] = "",
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the figures; - prints.")
    ] = None,
) -> int:
    """Measure a data set: exit status 0 done, 1 below --min-accuracy, 2 some request failed."""
    settings = load_settings()
    Outputs(json=json_file).check(cli_language())
    rows = read_dataset(dataset)[:limit]
    sampling = Sampling(temperature=temperature, max_tokens=max_tokens)
    limits = ImageLimits.of(settings)
    work = evaluate_work(rows, repeats=repeats, concurrency=concurrency, sampling=sampling, limits=limits)
    spec = RunSpec((rows[0].question,), n=repeats, sampling=sampling, name=name or dataset.name)
    with target(settings, base_url) as server:
        status = _follow(
            settings, lambda runs: runs.start_work(work, spec, server.base_url, kind="evaluate", engine=server.engine)
        )
    return _conclude(status, json_file, least, cli_language())


def _follow(settings: Settings, start: Callable[[RunManager], str]) -> RunStatus:
    store = Store(settings.database)
    manager = RunManager(store, settings)
    try:
        run_id = start(manager)
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("", total=None)
            status = manager.status(run_id)
            while status.running:
                bar.update(task, completed=status.done, total=status.total or None)
                status = manager.wait(run_id, timeout=POLL_SECONDS)
        return status
    except KeyboardInterrupt:
        manager.stop(run_id)
        return manager.wait(run_id, timeout=30.0)
    finally:
        manager.close()
        store.close()


def _conclude(status: RunStatus, json_file: str | None, least: float | None, language: Language) -> int:
    result = status.result
    if status.error or result is None:
        print(error_text(status.error, result, language) or t("lab.open_nothing", language), file=sys.stderr)
        return 2
    if json_file is not None:
        write_text(json_file, json.dumps({"run": status.run_id, **result}, ensure_ascii=False, indent=1) + "\n")
    print(sentence(result, language), file=sys.stderr if json_file == "-" else sys.stdout)
    if result["failed"]:
        return 2
    return 1 if least is not None and (result["accuracy"] is None or result["accuracy"] < least) else 0


def sentence(result: Json, language: Language) -> str:
    """Returns an evaluation in one line."""
    figures = {
        name: "–" if result[name] is None else percent(result[name])
        for name in ("accuracy", "exact", "tar_raw", "tar_answer")
    }
    counts = {name: result[name] for name in ("rows", "requests", "failed", "repeats")}
    key = "lab.evaluated_repeats" if result["repeats"] > 1 else "lab.evaluated"
    return t(key, language, **figures, **counts)
