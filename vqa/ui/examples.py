"""The example pictures that come with the app and a question to each, in both languages."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw

from vqa.answers import Json
from vqa.settings import ASSETS
from vqa.text import LANGUAGES, Language
from vqa.ui.text import words
from vqa.ui.web.folder import owned
from vqa.ui.web.visitors import Visitor

FOLDER = ASSETS / "examples"
UNSURE = ASSETS / "unsure.png"
"""More digits than the demo model can read: unsure of nearly every one, it answers differently at temperature 1."""
LIVE_PLACE = 3
"""Of the example at which answers differ: the last of the cards in an empty conversation."""
NOBODY = Visitor("examples", "")
"""Whose the copies are that the page shows to everybody."""


@dataclass(frozen=True)
class Example:
    """One picture with a question that the demo model can answer."""

    picture: Path
    thumbnail: Path
    question: dict[Language, str]
    temperature: float = 0.0

    def caption(self, lang: Language) -> str:
        """Returns what stands below the picture: the question, and what its temperature brings about."""
        if not self.temperature:
            return self.question[lang]
        return words(lang)("ask.example_differs", question=self.question[lang])


def load_examples(folder: Path = FOLDER) -> tuple[Example, ...]:
    """Returns the examples that are there, with one at which answers differ; none when the folder holds no list."""
    listed = folder / "examples.json"
    if not listed.is_file():
        return ()
    found = [_example(folder, row) for row in json.loads(listed.read_text(encoding="utf-8"))]
    usual = [example for example in found if example.picture.is_file()]
    unsure = {lang: words(lang)("diagnose.example_question") for lang in LANGUAGES}
    live = Example(UNSURE, _small(folder, UNSURE), unsure, temperature=1.0)
    return (*usual[:LIVE_PLACE], live, *usual[LIVE_PLACE:])


def questions() -> dict[Language, list[str]]:
    """Returns the question of every example in its order, in each language."""
    return {lang: [each.question[lang] for each in load_examples()] for lang in LANGUAGES}


def _example(folder: Path, row: Json) -> Example:
    picture = folder / str(row["file"])
    return Example(picture, _small(folder, picture), {lang: str(row[f"question_{lang}"]) for lang in LANGUAGES})


def _small(folder: Path, picture: Path) -> Path:
    """Returns the file that is shown before the picture is chosen: every page loads it."""
    small = folder / "small" / f"{picture.stem}.webp"
    return small if small.is_file() else picture


def example(lang: Language) -> tuple[str, str]:
    """Returns the path of a picture that the demo model knows, where the page may show it, and a question."""
    found = load_examples()
    question = found[0].question[lang] if found else words(lang)("repeat.example_question")
    return str(_example_copy(found[0].picture if found else None)), question


def unsure_example(lang: Language) -> tuple[str, str]:
    """Returns the path of a picture that the demo model is unsure of, and a question: what a diagnosis must see."""
    digits = owned().write("digits.png", UNSURE.read_bytes(), visitor=NOBODY)
    return str(digits), words(lang)("diagnose.example_question")


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
