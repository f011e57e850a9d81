"""`python -m vqa download|models|remove`: models on the hubs and on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from vqa.cli import cli_language, show_error
from vqa.engine.machine import Machine
from vqa.errors import InputError, ModelError
from vqa.models.catalog import CATALOG, CatalogEntry, Fit, FitVerdict, fits
from vqa.models.download import Download, DownloadState, Progress
from vqa.models.ids import Source
from vqa.models.local import LocalModel, LocalState, list_local
from vqa.models.progress import size_text
from vqa.models.removal import delete
from vqa.settings import load_settings
from vqa.text import t

FAILED = 1
_MARKS = {Fit.YES: "[green]✓[/]", Fit.TIGHT: "[yellow]~[/]", Fit.NO: "[red]✗[/]"}
_BAD_INPUT = ("model_id_invalid", "model_revision_invalid", "hub_endpoint_invalid", "model_target_not_ours")


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command()(download)
    app.command()(models)
    app.command()(remove)
    app.command()(complete)


def download(
    model_id: Annotated[str, typer.Argument(metavar="ID", help="owner/name or owner/name@revision.")],
    source: Annotated[str | None, typer.Option(help="modelscope or huggingface; VQA_SOURCE when not given.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit; the newest when not given.")] = None,
    to: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="An empty or new folder.")] = None,
    all_files: Annotated[bool, typer.Option("--all-files", help="Other programs' weights too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Progress and result as JSON lines.")] = False,
) -> int:
    """Download a model, or go on with a download; prints its folder. Exit status 1 when it failed."""
    settings = load_settings()
    try:
        running = Download(
            settings, model_id, source=_source(source), revision=revision, target=to, all_files=all_files
        )
        with running:
            running.start()
            _show(running, as_json=as_json)
            folder = running.wait()
    except ModelError as problem:
        if problem.code.startswith(_BAD_INPUT):
            raise
        if as_json:
            language = cli_language()
            failed = {"error": problem.code, "message": problem.message(language), "hint": problem.hint(language)}
            print(json.dumps(failed, ensure_ascii=False))
        else:
            show_error(problem)
        return FAILED
    print(json.dumps({"state": "complete", "folder": str(folder)}, ensure_ascii=False) if as_json else folder)
    return 0


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object.")] = False,
) -> int:
    """List the models on this machine and those of the catalog, with what fits here and what was tried."""
    settings = load_settings()
    machine = Machine.load(settings)
    local, known = list_local(settings), [(entry, fits(entry, machine)) for entry in CATALOG]
    if as_json:
        plain = {"local": [_plain_local(model) for model in local], "catalog": [_plain_entry(*each) for each in known]}
        print(json.dumps(plain, ensure_ascii=False, indent=1))
        return 0
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(_local_table(local))
    console.print(_catalog_table(known, {model.id: model for model in local}))
    console.print(t("models.legend", cli_language()))
    return 0


def remove(
    model_id: Annotated[str, typer.Argument(metavar="ID", help="A model of `python -m vqa models`.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Delete a downloaded model and say how much space that freed."""
    settings, language = load_settings(), cli_language()
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("remove_unconfirmed", id=model_id)
        size = next((model.bytes for model in list_local(settings) if model.id == model_id), None)
        if size is not None and not typer.confirm(
            t("models.remove_confirm", language, id=model_id, size=size_text(size)), err=True
        ):
            return FAILED
    print(t("models.removed", language, id=model_id, size=size_text(delete(settings, model_id))))
    return 0


def complete(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A fine-tuned checkpoint.")],
    base: Annotated[str | None, typer.Option(help="The base model, an id or a folder; else what FOLDER names.")] = None,
) -> int:
    """Copy the tokenizer, processor and template files that a fine-tuned folder lacks from its base model."""
    from vqa.models import bases

    language = cli_language()
    copied = bases.complete(load_settings(), folder.absolute(), base)
    code = "cli.completed" if copied else "cli.nothing_to_copy"
    print(t(code, language, path=folder, files=", ".join(copied)))
    return 0


def _source(given: str | None) -> Source | None:
    if given in {None, "modelscope", "huggingface"}:
        return given  # type: ignore[return-value]
    raise InputError("source_unknown", source=given)


def _show(running: Download, *, as_json: bool) -> None:
    """Follows the download until it ends: a bar in a terminal, JSON lines when asked, else nothing."""
    if as_json:
        for now in running:
            print(json.dumps(_plain_progress(now), ensure_ascii=False), flush=True)
    elif sys.stderr.isatty():
        _show_bar(running)
    else:
        for _ in running:
            pass


def _show_bar(running: Download) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[bytes]}  {task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(running.model_id, total=None, bytes="", speed="")
        for now in running:
            _update_bar(bar, task, running.model_id, now)


def _update_bar(bar: Bar, task: TaskID, name: str, now: Progress) -> None:
    language = cli_language()
    verifying = now.state is DownloadState.VERIFYING
    done = now.bytes_verified if verifying else now.bytes_done
    total = now.bytes_total
    files = f" {now.files_done}/{now.files_total}" if now.files_total is not None else ""
    bar.update(
        task,
        description=f"{name} · {t(f'models.state_{now.state}', language)}{files}",
        completed=done,
        total=total,
        bytes=f"{size_text(done)} / {size_text(total)}" if total is not None else "",
        speed=f"{size_text(round(now.bytes_per_second))}/s" if now.bytes_per_second else "",
    )


def _local_table(local: list[LocalModel]) -> Table:
    language = cli_language()
    table = Table(title=t("models.title_local", language), title_justify="left")
    for name in ("id", "state", "size", "architecture", "folder"):
        table.add_column(t(f"models.column_{name}", language), overflow="fold")
    for model in local:
        state = t(f"models.local_{model.state}", language)
        if model.state is LocalState.INCOMPLETE and model.total_bytes:
            state += f" ({size_text(model.total_bytes)})"
        if model.problem:
            state = model.problem.message(language)
        table.add_row(model.id, state, size_text(model.bytes), model.architecture or "-", str(model.path))
    return table


def _catalog_table(known: list[tuple[CatalogEntry, FitVerdict]], local: dict[str, LocalModel]) -> Table:
    language = cli_language()
    table = Table(title=t("models.title_catalog", language), title_justify="left")
    for name in ("fits", "id", "download", "licence", "flags", "reason", "tried"):
        table.add_column(t(f"models.column_{name}", language), overflow="fold")
    for entry, verdict in known:
        here = local.get(entry.id)
        size = t(f"models.local_{here.state}", language) if here else size_text(entry.bytes_on_disk)
        flags, said = entry.command_flags or "-", (verdict.reason(language), entry.tried(language))
        table.add_row(_MARKS[verdict.fit], entry.id, size, entry.licence, flags, *said)
    return table


def _plain_progress(now: Progress) -> dict[str, object]:
    return {
        "state": now.state.value,
        "files_done": now.files_done,
        "files_total": now.files_total,
        "bytes_done": now.bytes_done,
        "bytes_total": now.bytes_total,
        "bytes_per_second": now.bytes_per_second,
        "seconds_left": now.seconds_left,
    }


def _plain_local(model: LocalModel) -> dict[str, object]:
    return {
        "id": model.id,
        "path": str(model.path),
        "state": model.state.value,
        "bytes": model.bytes,
        "total_bytes": model.total_bytes,
        "architecture": model.architecture,
        "source": model.source,
        "revision": model.revision,
        "problem": model.problem.message(cli_language()) if model.problem else None,
    }


def _plain_entry(entry: CatalogEntry, verdict: FitVerdict) -> dict[str, object]:
    return {
        "id": entry.id,
        "bytes_on_disk": entry.bytes_on_disk,
        "memory_bytes": entry.memory_bytes,
        "licence": entry.licence,
        "flags": dict(entry.flags),
        "fits": verdict.fit.value,
        "reason": verdict.reason(cli_language()),
        "tried": entry.tried(cli_language()),
    }
