"""`python -m vqa ask IMAGE… QUESTION`: one question, its answer streamed to the terminal."""

from __future__ import annotations

import asyncio
import json
import sys
import unicodedata
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vqa.answers import MAX_SEED, Answer, Question, Sampling
from vqa.cli import cli_language, show_error
from vqa.cli.pictures import Background, Pages, Tiles, Tones, load_all, tell_cut, treatment
from vqa.cli.target import Target, target
from vqa.client import Client, Delta, Waiting
from vqa.engine.serving import Watch, while_serving
from vqa.errors import EngineError, InputError, ServerError
from vqa.media.fetch import is_web_address
from vqa.models.ratios import check_shapes
from vqa.settings import Settings, load_settings
from vqa.text import t

LEAST_TEMPERATURE = 0.01
BaseUrl = Annotated[str | None, typer.Option("--base-url", help="Any OpenAI-compatible server (…/v1).")]


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command()(ask)


def ask(
    inputs: Annotated[
        list[str], typer.Argument(metavar="IMAGE… QUESTION", help="Files or web addresses, then the text.")
    ],
    base_url: BaseUrl = None,
    model: Annotated[
        str | None, typer.Option(help="Of the server, its first one by default; or what to start.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0)] = 0.0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0)] = 0.9,
    max_tokens: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=MAX_SEED)] = None,
    system: Annotated[str, typer.Option(help="System prompt.")] = "",
    tones: Tones = "auto",
    background: Background = "auto",
    tiles: Tiles = False,
    pages: Pages = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
) -> int:
    """Ask about one or several images; exit status 0 when it was answered, 2 when not."""
    settings = load_settings()
    *sources, text = inputs
    if not sources:
        raise missing_input(text)
    check_text(text, settings)
    images = load_all(sources, settings, treatment(tones, background, tiles, pages))
    tell_temperature(temperature)
    sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens, seed=seed)
    question = Question(text=text, images=images, system=system, sampling=sampling)
    with target(settings, base_url, model=model) as server:
        client = Client(server.base_url, settings.api_key.get_secret_value(), timeout=settings.request_timeout)
        answer = asyncio.run(_stream(client, question, server, quiet=as_json))
    if answer is None:
        return 2
    tell_cut(answer)
    if as_json:
        told = {**asdict(answer), "pictures": [image.facts() for image in images]}
        print(json.dumps(told, ensure_ascii=False, indent=1))
    elif sys.stderr.isatty():
        print(_figures(answer), file=sys.stderr)
    return 0


def tell_temperature(temperature: float) -> None:
    """Says where a temperature is not what vLLM uses: it raises small ones (SamplingParams, _MAX_TEMP)."""
    if 0 < temperature < LEAST_TEMPERATURE:
        print(t("cli.temperature_raised", cli_language()), file=sys.stderr)


def missing_input(word: str) -> InputError:
    """Returns what is missing where one word alone was given: the question when it is a picture, else the picture."""
    return InputError("question_empty" if is_web_address(word) or Path(word).is_file() else "image_none")


def check_text(text: str, settings: Settings) -> None:
    """Raises InputError when a question is empty or longer than the settings allow."""
    if not text.strip():
        raise InputError("question_empty")
    if len(text) > settings.max_question_chars:
        raise InputError("question_too_long", length=len(text), limit=settings.max_question_chars)


async def _stream(client: Client, question: Question, server: Target, *, quiet: bool) -> Answer | None:
    answer, printer, model = None, _Printer(quiet=quiet), server.model
    async with client:
        try:
            check_shapes(question.images, model or (await client.info()).model_ids[0])
            asking = client.stream(question, model=model)
            async with aclosing(while_serving(asking, Watch(server.engine))) as arriving:
                async for event in arriving:
                    if isinstance(event, Answer):
                        answer = event
                    else:
                        printer.show(event)
        except (ServerError, EngineError) as error:
            printer.end()
            show_error(error)
            return None
    printer.end()
    return answer


class _Printer:
    """Prints an answer as it comes: what was said to standard output, reasoning and waiting to standard error."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._part = ""

    def show(self, event: Delta | Waiting) -> None:
        """Prints one piece; nothing but the waiting when it is to be quiet."""
        if isinstance(event, Waiting):
            told = t("cli.waiting", cli_language(), seconds=f"{event.seconds:.0f}", reason=event.reason or "–")
            print(told, file=sys.stderr, flush=True)
            return
        if self._quiet:
            return
        if self._part == "reasoning" and event.part != "reasoning":
            print(file=sys.stderr, flush=True)
        aside = event.part == "reasoning"
        if aside and self._part != "reasoning":
            print(f"[{t('ask.reasoning', cli_language())}]", file=sys.stderr)
        self._part = event.part
        stream = sys.stderr if aside else sys.stdout
        print(harmless(event.text) if stream.isatty() else event.text, end="", flush=True, file=stream)

    def end(self) -> None:
        """Ends the line."""
        if not self._quiet:
            print(file=sys.stderr if self._part == "reasoning" else sys.stdout)


def harmless(text: str) -> str:
    """Returns text without what commands a terminal: an answer may hold escape sequences."""
    return "".join(char for char in text if char in "\n\t" or unicodedata.category(char) != "Cc")


def _figures(answer: Answer) -> str:
    speed, first = answer.tokens_per_second, answer.seconds_to_first_token
    return t(
        "cli.answer_figures",
        cli_language(),
        model=answer.model,
        first=f"{first:.2f}" if first is not None else "–",
        tokens=answer.completion_tokens if answer.completion_tokens is not None else "–",
        speed=f"{speed:.1f}" if speed is not None else "–",
    )
