"""The example pictures that come with the app and a question to each, in both languages."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vqa.answers import Json
from vqa.settings import ASSETS
from vqa.text import LANGUAGES, Language
from vqa.ui.text import words
from vqa.ui.web.folder import owned
from vqa.ui.web.visitors import Visitor

FOLDER = ASSETS / "examples"
NOBODY = Visitor("examples", "")
"""Whose the copies are that the page shows to everybody."""


@dataclass(frozen=True)
class Example:
    """One picture with a question that the demo model can answer."""

    picture: Path
    thumbnail: Path
    question: dict[Language, str]


def load_examples(folder: Path = FOLDER) -> tuple[Example, ...]:
    """Returns the examples that are there; none when the folder holds no list."""
    listed = folder / "examples.json"
    if not listed.is_file():
        return ()
    found = [_example(folder, row) for row in json.loads(listed.read_text(encoding="utf-8"))]
    return tuple(example for example in found if example.picture.is_file())


def _example(folder: Path, row: Json) -> Example:
    picture = folder / str(row["file"])
    return Example(picture, picture, {lang: str(row[f"question_{lang}"]) for lang in LANGUAGES})


def example(lang: Language) -> tuple[str, str]:
    """Returns the path of a picture that the demo model knows, where the page may show it, and a question."""
    found = load_examples()
    question = found[0].question[lang] if found else words(lang)("repeat.example_question")
    return str(_example_copy(found[0].picture if found else None)), question


def unsure_example(lang: Language) -> tuple[str, str]:
    """Returns the path of a picture with more digits than the demo model can read, and a question.

    Being unsure of nearly every one, it answers differently at temperature 1: what a diagnosis must be able to see.
    """
    return str(_digits()), words(lang)("diagnose.example_question")


def _digits() -> Path:
    return owned().write("digits.png", _drawn_digits(), visitor=NOBODY)


@cache
def _drawn_digits() -> bytes:
    drawn = Image.new("RGB", (448, 320), "#f7f4ea")
    for row, digits in enumerate(("2914 73900", "718 0377960", "9 2714 6038")):
        ImageDraw.Draw(drawn).text((24, 16 + 96 * row), digits, font=ImageFont.load_default(60), fill="#333333")
    return _png(drawn)


def _example_copy(picture: Path | None) -> Path:
    name, data = (picture.name, picture.read_bytes()) if picture is not None else ("scene.png", _drawn_scene())
    return owned().write(name, data, visitor=NOBODY)


@cache
def _drawn_scene() -> bytes:
    drawn = Image.new("RGB", (448, 320), "#f7f4ea")
    draw = ImageDraw.Draw(drawn)
    draw.ellipse((50, 90, 170, 210), fill="#d62828")
    draw.rectangle((240, 60, 330, 150), fill="#1d4ed8")
    draw.polygon([(360, 280), (420, 180), (300, 180)], fill="#2e7d32")
    return _png(drawn)


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
