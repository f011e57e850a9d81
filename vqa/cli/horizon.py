"""`python -m vqa horizon`: up to how many requests together the answers still equal the lone ones."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from vqa.cli import cli_language
from vqa.cli.ask import BaseUrl
from vqa.cli.lab import CsvFile, HtmlFile, JsonFile, JunitFile, Name, Require, followed_in_turn, read_inputs, read_level
from vqa.cli.lab_output import Outputs
from vqa.errors import InputError
from vqa.lab.plan.arms import MAX_CONCURRENCY
from vqa.media.treatment import Treatment
from vqa.settings import Settings, load_settings
from vqa.text import t

if TYPE_CHECKING:
    from vqa.engine.state import Engine
    from vqa.lab.horizon.asked import Asked
    from vqa.lab.run.manager import RunManager
    from vqa.store import Run

Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="[IMAGE… QUESTION]", help="Pictures, then the question; by default the probe's own."),
]


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command()(horizon)


def horizon(
    inputs: Inputs = None,
    profiles: Annotated[str, typer.Option(help="Engine profiles, separated by commas; all that can run here.")] = "",
    most: Annotated[int, typer.Option(help="The most requests at a time.")] = MAX_CONCURRENCY,
    at_least: Annotated[int, typer.Option(help="Exit status 0 needs the level for so many at a time.")] = 1,
    waves: Annotated[int, typer.Option(help="How often each load's number of requests is sent.")] = 2,
    require: Require = "tokens",
    model: Annotated[str | None, typer.Option(help="What to start, by default the probe; or of the server.")] = None,
    max_tokens: Annotated[int, typer.Option(min=2, help="The length of every answer.")] = 128,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="As vLLM takes it.")] = False,
    base_url: BaseUrl = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with a run: no load is asked twice.")] = None,
    name: Name = "",
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
    csv_file: CsvFile = None,
    junit_file: JunitFile = None,
) -> int:
    """Find how many requests together keep answers as they are alone: 0 when the level holds, 1 when not, 2 unknown.

    With --base-url that server is asked as it is; otherwise the engine is started under each profile.
    """
    from vqa.lab.certificate.wanted import able_profiles
    from vqa.lab.horizon.asked import Asked
    from vqa.lab.horizon.start import horizon_spec

    settings, outputs = load_settings(), Outputs(json_file, html_file, csv_file, junit_file)
    outputs.check(cli_language())
    if resume is not None:
        return _resumed(settings, resume, base_url, outputs)
    address = base_url or settings.base_url
    questions, images = read_inputs(inputs, settings, Treatment()) if inputs else ((None,), ())
    if len(questions) > 1:
        raise InputError("horizon_one_question")
    spec = horizon_spec(
        questions[0], images, max_tokens=max_tokens, require=read_level(require), name=name,
        model=model if address else None,
    )  # fmt: skip
    if not inputs:
        spec = replace(spec, sampling=replace(spec.sampling, max_tokens=max_tokens), model=model if address else None)
    wanted = () if address else tuple(word.strip() for word in profiles.split(",") if word.strip())
    asked = Asked(spec, most, waves, at_least, wanted)
    if not address:
        fields = {"trust_remote_code": True} if trust_remote_code else {}
        asked = replace(asked, profiles=wanted or tuple(able_profiles(settings)), model=model, fields=fields)
    return _run(settings, asked.check(), address, None, outputs)


def _resumed(settings: Settings, run_id: str, base_url: str | None, outputs: Outputs) -> int:
    from vqa.lab.horizon.start import ended_horizon
    from vqa.store import Store

    with closing(Store(settings.database)) as store:
        run, asked = ended_horizon(store, run_id)
    address = None if asked.profiles else base_url or run.header.get("base_url")
    return _run(settings, asked, address, run, outputs)


def _run(settings: Settings, asked: Asked, address: str | None, resume: Run | None, outputs: Outputs) -> int:
    """Says what it will take, starts the run, follows it and returns the exit status."""
    from vqa.lab.horizon.start import foretold, start_horizon

    print(t("horizon.foretold", cli_language(), **foretold(asked)), file=sys.stderr, flush=True)

    def start(manager: RunManager, engine: Engine | None) -> str:
        return start_horizon(manager, asked, settings, engine=engine, base_url=address, resume=resume)

    return followed_in_turn(settings, start, asked.spec.require, outputs, attached=address is not None)
