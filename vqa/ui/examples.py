"""The example pictures that come with the app and a question to each, in both languages; knows no page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vqa.answers import Json
from vqa.settings import ASSETS
from vqa.text import LANGUAGES, Language

FOLDER = ASSETS / "examples"


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
