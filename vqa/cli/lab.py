"""`python -m vqa repeat | diagnose`: the lab from a terminal or a CI job."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from vqa.answers import MAX_SEED, Sampling
from vqa.cli import cli_language
from vqa.cli.ask import BaseUrl, check_text, tell_temperature
from vqa.cli.lab_output import Outputs, follow
from vqa.cli.pictures import Background, Pages, Tiles, Tones, load_all, treatment
from vqa.cli.target import target
from vqa.errors import InputError
from vqa.lab.plan.arms import CachePolicy, RunSpec, SeedPolicy
from vqa.lab.run.documents import exit_code
from vqa.lab.run.failures import error_text
from vqa.lab.run.manager import RunManager
from vqa.lab.stats.agreement import LEVELS, Level
from vqa.media.fetch import is_web_address
from vqa.media.images import ImagePayload
from vqa.media.treatment import Treatment
from vqa.media.video import SUFFIXES
from vqa.settings import Settings, load_settings
from vqa.store import Store
from vqa.text import t

if TYPE_CHECKING:
    from vqa.engine.state import Engine

_T = TypeVar("_T")
PICTURES = {
    ".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".j2k",
    ".qoi", ".tga", ".ppm", ".pgm", ".ico", ".pdf", *SUFFIXES,
}  # fmt: skip

Inputs = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE… QUESTION…", help="Pictures (files or web addresses), then one or more questions."),
]
Model = Annotated[str | None, typer.Option(help="Of the server, its first one by default; or what to start.")]
Temperature = Annotated[float, typer.Option(min=0.0, max=2.0)]
TopP = Annotated[float, typer.Option(min=0.0, max=1.0)]
MaxTokens = Annotated[int | None, typer.Option(min=1)]
Seed = Annotated[int | None, typer.Option(min=0, max=MAX_SEED)]
System = Annotated[str, typer.Option(help="System prompt.")]
Require = Annotated[str, typer.Option(help="bitwise, tokens, text or answer.")]
EachImage = Annotated[bool, typer.Option("--each-image", help="Ask every question of each picture by itself.")]
Name = Annotated[str, typer.Option(help="A name to find the run by.")]
JsonFile = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - prints it.")]
HtmlFile = Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write a self-contained report.")]
CsvFile = Annotated[str | None, typer.Option("--csv", metavar="FILE", help="Write one row for each sample.")]
JunitFile = Annotated[str | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    for command in (repeat, diagnose):
        app.command()(command)


def repeat(
    inputs: Inputs,
    n: Annotated[int, typer.Option("-n", help="How many times.")] = 20,
    concurrency: Annotated[int, typer.Option("-c", "--concurrency", help="Requests at a time.")] = 1,
    require: Require = "text",
    cache: Annotated[str, typer.Option(help="as_is, cold or warm (the last two: vLLM only).")] = "as_is",
    seeds: Annotated[str, typer.Option(help="fixed or varied.")] = "fixed",
    each_image: EachImage = False,
    base_url: BaseUrl = None,
    each_server: Annotated[
        bool, typer.Option("--each-server", help="Ask every server behind the address by itself, and compare them.")
    ] = False,
    model: Model = None,
    temperature: Temperature = 0.0,
    top_p: TopP = 0.9,
    max_tokens: MaxTokens = None,
    seed: Seed = None,
    system: System = "",
    tones: Tones = "auto",
    background: Background = "auto",
    tiles: Tiles = False,
    pages: Pages = "",
    name: Name = "",
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
    csv_file: CsvFile = None,
    junit_file: JunitFile = None,
) -> int:
    """Ask the same again and again: exit status 0 when the required level holds, 1 when not, 2 when it can't tell."""
    settings = load_settings()
    tell_temperature(temperature)
    spec = RunSpec(
        *read_inputs(inputs, settings, treatment(tones, background, tiles, pages)),
        each_image=each_image,
        n=n,
        concurrency=concurrency,
        sampling=Sampling(temperature, top_p, max_tokens, seed),
        system=system,
        seed_policy=_one_of("seeds", seeds, SEED_POLICIES),
        cache=_one_of("cache", cache, CACHE_POLICIES),
        require=read_level(require),
        name=name,
        model=model,
        max_repeats=settings.max_repeats,
    ).check()
    outputs = Outputs(json_file, html_file, csv_file, junit_file)
    if each_server:
        return _each_server(settings, spec, base_url, outputs)
    return _run(settings, spec, base_url, "repeat", outputs)


def _each_server(settings: Settings, spec: RunSpec, base_url: str | None, outputs: Outputs) -> int:
    from vqa.cli.each_server import repeat_each

    address = base_url or settings.base_url
    if address is None:
        raise InputError("workers_untold", address="–")
    return repeat_each(settings, spec, address, outputs)


def diagnose(
    inputs: Inputs,
    each_image: EachImage = False,
    require: Require = "text",
    then: Annotated[
        str | None, typer.Option(metavar="PROFILE", help="Restart the engine under this profile and check again.")
    ] = None,
    across: Annotated[
        bool, typer.Option("--across", help="Restart the engine with one setting unlike at a time, and compare.")
    ] = False,
    restarts: Annotated[
        bool, typer.Option("--restarts", help="Restart the engine too: how it begins, and under what should help.")
    ] = False,
    base_url: BaseUrl = None,
    model: Model = None,
    temperature: Temperature = 0.0,
    top_p: TopP = 0.9,
    max_tokens: MaxTokens = None,
    seed: Seed = None,
    system: System = "",
    tones: Tones = "auto",
    background: Background = "auto",
    tiles: Tiles = False,
    pages: Pages = "",
    name: Name = "",
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
    csv_file: CsvFile = None,
    junit_file: JunitFile = None,
) -> int:
    """Find out why answers differ: exit status 0 when the required level holds in every arm, 1 when not, 2 unknown.

    With `--across` nothing is diagnosed: the threads bound, compilation, max-num-batched-tokens and chunked prefill are
    changed by a restart each, and it is told which of them changes answers.
    With `--restarts` the engine is also started three times anew and, where the history of the prefix cache is a cause,
    under the profiles that should help against it.
    With `--then`, files and exit status are those of the second check; both runs are stored.
    """
    settings = load_settings()
    tell_temperature(temperature)
    sampling = Sampling(temperature, top_p, max_tokens, seed)
    images_and_questions = read_inputs(inputs, settings, treatment(tones, background, tiles, pages))
    spec = RunSpec(
        *images_and_questions, each_image=each_image, sampling=sampling, system=system, name=name,
        require=read_level(require), model=model,
    )  # fmt: skip
    outputs = Outputs(json_file, html_file, csv_file, junit_file)
    from vqa.cli.restarting import across_settings, checked_again, with_restarts

    if across:
        return across_settings(settings, spec, base_url, outputs)
    if restarts:
        return with_restarts(settings, spec, base_url, outputs)
    if then is None:
        return _run(settings, spec, base_url, "diagnose", outputs)
    return checked_again(settings, spec, base_url, then, outputs)


def _run(settings: Settings, spec: RunSpec, base_url: str | None, kind: str, outputs: Outputs) -> int:
    outputs.check(cli_language())
    with target(settings, base_url, model=spec.model) as server:
        if kind == "diagnose" and server.engine is None:
            print(t("lab.attached_may_die", cli_language()), file=sys.stderr)
        named = replace(spec, model=server.model)
        return followed(
            settings,
            lambda manager: manager.start(named, server.base_url, kind=kind, engine=server.engine),
            spec.require,
            outputs,
        )


def followed(settings: Settings, start: Callable[[RunManager], str], require: Level, outputs: Outputs) -> int:
    """Starts a run, follows it to its end, writes what was asked for, and returns the exit status."""
    store = Store(settings.database)
    manager = RunManager(store, settings)
    try:
        run_id = start(manager)
        status = follow(manager, run_id, cli_language(), quiet=outputs.to_stdout)
        outputs.write(store, run_id, require, cli_language())
    finally:
        manager.close()
        store.close()
    if error := error_text(status.error, status.result, cli_language()):
        print(error, file=sys.stderr)
    holds = status.result.get("holds") if status.result and status.status == "finished" else None
    return exit_code(holds)


def followed_in_turn(
    settings: Settings,
    start: Callable[[RunManager, Engine | None], str],
    require: Level,
    outputs: Outputs,
    *,
    attached: bool,
) -> int:
    """As `followed`, with the managed engine unless `attached`; afterwards it stops where it did not run before."""
    from vqa.engine.opening import open_engine

    if attached:
        return followed(settings, lambda manager: start(manager, None), require, outputs)
    engine = open_engine(settings)
    kept = engine.snapshot().serving
    try:
        return followed(settings, lambda manager: start(manager, engine), require, outputs)
    finally:
        if not kept:
            engine.stop()
            engine.wait(timeout=30)
        engine.close(leave_running=kept)


def read_inputs(
    inputs: list[str], settings: Settings, wanted: Treatment
) -> tuple[tuple[str, ...], tuple[ImagePayload, ...]]:
    """Returns the questions and the pictures; the first word is a picture, the last one a question.

    Raises:
        InputError: there is no picture or no question, or one of them cannot be used.
    """
    if len(inputs) < 2:
        raise InputError("image_none")
    pictures = 1
    while pictures < len(inputs) - 1 and _is_picture(inputs[pictures]):
        pictures += 1
    questions = tuple(inputs[pictures:])
    for question in questions:
        check_text(question, settings)
    return questions, load_all(inputs[:pictures], settings, wanted)


def _is_picture(word: str) -> bool:
    if is_web_address(word) or Path(word).suffix.lower() in PICTURES:
        return True
    try:
        return Path(word).is_file()
    except (OSError, ValueError):
        return False  # a long question is no file name


CACHE_POLICIES: dict[str, CachePolicy] = {"as_is": "as_is", "cold": "cold", "warm": "warm"}
SEED_POLICIES: dict[str, SeedPolicy] = {"fixed": "fixed", "varied": "varied"}


def _one_of(name: str, value: str, known: dict[str, _T]) -> _T:
    if value not in known:
        raise InputError("choice_invalid", name=name, value=value, known=", ".join(known))
    return known[value]


def read_level(name: str) -> Level:
    """Returns the level of that name; raises InputError when there is none."""
    known = {str(level): level for level in LEVELS}
    if name not in known:
        raise InputError("level_unknown", level=name, known=", ".join(known))
    return known[name]
