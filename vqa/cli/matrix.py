"""`python -m vqa matrix`: which of the things that only a vision model meets change an answer."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, cast

import typer

from vqa.cli import cli_language
from vqa.cli.ask import BaseUrl, check_text
from vqa.cli.lab import CsvFile, HtmlFile, JsonFile, JunitFile, Name, Require, followed_in_turn, read_level
from vqa.cli.lab_output import Outputs
from vqa.cli.pictures import load_all
from vqa.errors import InputError
from vqa.media.treatment import Treatment
from vqa.settings import Settings, load_settings
from vqa.text import t

if TYPE_CHECKING:
    from vqa.engine.state import Engine
    from vqa.lab.matrix.asked import Beside, MatrixAsked, Order
    from vqa.lab.run.manager import RunManager
    from vqa.store import Run


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command()(matrix)


def matrix(
    question: Annotated[str | None, typer.Argument(help="By default the probe's own.")] = None,
    image: Annotated[list[str] | None, typer.Option(help="A picture of your own, stretched to every size.")] = None,
    profiles: Annotated[str, typer.Option(help="Engine profiles, separated by commas; by default `default`.")] = "",
    pictures: Annotated[str, typer.Option(help="How many pictures a prompt has: 1 to 4.")] = "1,2",
    sizes: Annotated[str, typer.Option(help="Their sizes, WIDTHxHEIGHT.")] = "64,448x448,1600x1000,300x4000",
    order: Annotated[str, typer.Option(help="picture-first, text-first.")] = "picture-first,text-first",
    beside: Annotated[
        str,
        typer.Option(
            help="image_cache, prefix_cache, own_logprobs, and neighbours: same, sizes, structured, logprobs, aborted."
        ),
    ] = "",
    full: Annotated[bool, typer.Option("--full", help="One to four pictures.")] = False,
    n: Annotated[int, typer.Option("-n", help="Requests of each cell.")] = 4,
    concurrency: Annotated[
        int, typer.Option("-c", "--concurrency", help="The request that counts and its neighbours.")
    ] = 8,
    require: Require = "tokens",
    model: Annotated[str | None, typer.Option(help="What to start, by default the probe; or of the server.")] = None,
    max_tokens: Annotated[int, typer.Option(min=2, help="The length of every answer.")] = 128,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="As vLLM takes it.")] = False,
    base_url: BaseUrl = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with a run: no prompt twice.")] = None,
    name: Name = "",
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
    csv_file: CsvFile = None,
    junit_file: JunitFile = None,
) -> int:
    """Find what changes an answer about pictures: 0 when nothing does, 1 when something does, 2 unknown.

    With --base-url that server is asked as it is; otherwise the engine is started under each profile.
    """
    from vqa.lab.matrix.asked import BESIDE, MatrixAsked, read_sizes
    from vqa.lab.matrix.start import matrix_spec

    settings, outputs = load_settings(), Outputs(json_file, html_file, csv_file, junit_file)
    outputs.check(cli_language())
    if resume is not None:
        return _resumed(settings, resume, base_url, outputs)
    address = base_url or settings.base_url
    if question is not None:
        check_text(question, settings)
    counts = (1, 2, 3, 4) if full else tuple(dict.fromkeys(_whole(word) for word in _words(pictures)))
    asked_sizes = read_sizes(sizes)
    asked = MatrixAsked(
        matrix_spec(question, max_tokens=max_tokens, require=read_level(require), name=name),
        counts,
        asked_sizes,
        cast("tuple[Order, ...]", _words(order)),
        cast("tuple[Beside, ...]", _words(beside) or BESIDE),
        n,
        concurrency,
        () if address else _words(profiles) or ("default",),
        None if address else model,
        {"trust_remote_code": True} if trust_remote_code and not address else {},
    ).check()
    own = load_all(image, settings, Treatment()) if image else ()
    asked = asked.drawn(own, model=model if address else None)
    return _run(settings, asked, address, None, outputs)


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _whole(word: str) -> int:
    from vqa.lab.matrix.asked import MOST_PICTURES

    try:
        return int(word)
    except ValueError:
        raise InputError("number_invalid", name="pictures", value=word, least=1, most=MOST_PICTURES) from None


def _resumed(settings: Settings, run_id: str, base_url: str | None, outputs: Outputs) -> int:
    from vqa.lab.matrix.start import ended_matrix
    from vqa.store import Store

    with closing(Store(settings.database)) as store:
        run, asked = ended_matrix(store, run_id)
    address = None if asked.profiles else base_url or run.header.get("base_url")
    return _run(settings, asked, address, run, outputs)


def _run(settings: Settings, asked: MatrixAsked, address: str | None, resume: Run | None, outputs: Outputs) -> int:
    """Says what it will take, starts the run, follows it and returns the exit status."""
    from vqa.lab.matrix.start import foretold, start_matrix

    print(t("matrix.foretold", cli_language(), **foretold(asked)), file=sys.stderr, flush=True)

    def start(manager: RunManager, engine: Engine | None) -> str:
        return start_matrix(manager, asked, settings, engine=engine, base_url=address, resume=resume)

    return followed_in_turn(settings, start, asked.spec.require, outputs, attached=address is not None)
