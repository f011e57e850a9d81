"""The pictures of a command: how they are to be made ready, loading them, and saying what was done to them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from vqa.answers import Answer
from vqa.cli import cli_language
from vqa.errors import InputError
from vqa.media.fetch import fetch_file, is_web_address
from vqa.media.images import ImageLimits, ImagePayload
from vqa.media.notes import note_text
from vqa.media.several import MAX_PICTURES, load_data, load_file
from vqa.media.treatment import Treatment
from vqa.settings import Settings
from vqa.text import t

Tones = Annotated[
    str, typer.Option(help="Of more than 8 bits: auto, range, robust, full, or black and white as low:high.")
]
Background = Annotated[str, typer.Option(help="Behind transparent parts: auto, white, black, gray or #rrggbb.")]
Tiles = Annotated[bool, typer.Option("--tiles", help="Send very long pictures in tiles, not scaled down.")]
Pages = Annotated[str, typer.Option(help="Of a PDF or TIFF, such as 1,3-5; the first ones by default.")]


def treatment(tones: str, background: str, tiles: bool, pages: str) -> Treatment:
    """Returns what the options say; raises InputError where one cannot be used."""
    return Treatment(tones, background, "tiles" if tiles else "whole", pages).check()


def load_all(sources: Iterable[str], settings: Settings, wanted: Treatment) -> tuple[ImagePayload, ...]:
    """Returns the pictures of files and web addresses, in order: of a PDF or TIFF its pages, of a video its frames.

    What was done to them is said on standard error.

    Raises:
        InputError: for the first that is none, or that is one too many.
    """
    limits = ImageLimits.of(settings)
    loaded: list[ImagePayload] = []
    for source in sources:
        room = MAX_PICTURES - len(loaded)
        if room <= 0:
            raise InputError("too_many_pictures", limit=MAX_PICTURES)
        if is_web_address(source):
            fetched = fetch_file(source, limits, allow_local=settings.allow_local_urls)
            loaded += load_data(*asyncio.run(fetched), limits, treatment=wanted, at_most=room)
        else:
            loaded += load_file(Path(source), limits, treatment=wanted, at_most=room)
    tell_notes(loaded)
    return tuple(loaded)


def tell_notes(images: Iterable[ImagePayload]) -> None:
    """Prints what was done to each picture before it is sent, as the page shows it."""
    language = cli_language()
    for image in images:
        if image.notes:
            said = " · ".join(note_text(each, language) for each in image.notes)
            size = f"{image.given_width}×{image.given_height} → {image.width}×{image.height}"
            sizes = f" ({size})" if (image.given_width, image.given_height) != (image.width, image.height) else ""
            print(f"{image.given_name}: {said}{sizes}", file=sys.stderr)


def tell_cut(answer: Answer) -> None:
    """Says that an answer is cut off at max_tokens, where it is."""
    if answer.finish_reason == "length":
        print(t("cli.cut_by_length", cli_language()), file=sys.stderr)
