"""What a user chooses about how pictures are made ready: tones, background, shape, pages. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite

from vqa.errors import InputError

TONES = ("auto", "range", "robust", "full")
"""The window that the file names, else the picture's own range; the own range; its middle 98%; the type's range."""
BACKGROUNDS = ("auto", "white", "black", "gray")
SHAPES = ("whole", "tiles")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
NUMBER = r"\s*(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*"
ENDS = re.compile(rf"{NUMBER}(?::|…|\.\.){NUMBER}")
PAGES = re.compile(r"\s*\d{1,5}\s*(?:-\s*\d{1,5}\s*)?(?:,\s*\d{1,5}\s*(?:-\s*\d{1,5}\s*)?)*")
MOST_PAGES = 100


@dataclass(frozen=True)
class Treatment:
    """How pictures are made ready where there is a choice."""

    tones: str = "auto"
    """Of pictures with more than eight bits: one of `TONES`, or the values of black and white as `low:high`."""
    background: str = "auto"
    """Behind transparent parts: one of `BACKGROUNDS`, or #rrggbb."""
    shape: str = "whole"
    """Of very long pictures: one of `SHAPES`."""
    pages: str = ""
    """Of a PDF or a TIFF, such as `1,3-5`; the first ones when empty."""

    def wanted(self, at_most: int) -> dict[str, str | int]:
        """Returns what a decoder is told of it; so many tiles at most."""
        return {"tones": self.tones, "background": self.background, "shape": self.shape, "at_most": at_most}

    def check(self) -> Treatment:
        """Returns the treatment as a decoder takes it.

        Raises:
            InputError: a value is none of those that are known.
        """
        tones = self.tones.strip() or "auto"
        if found := ENDS.fullmatch(tones):
            low, high = found.groups()
            if float(low) == float(high) or not isfinite(float(high) - float(low)):
                raise InputError("choice_invalid", name="tones", value=tones, known=", ".join((*TONES, "low:high")))
            tones = f"{low}:{high}"
        elif tones not in TONES:
            raise InputError("choice_invalid", name="tones", value=tones, known=", ".join((*TONES, "low:high")))
        background = self.background.strip().lower() or "auto"
        if background not in BACKGROUNDS and not COLOUR.fullmatch(background):
            known = ", ".join((*BACKGROUNDS, "#rrggbb"))
            raise InputError("choice_invalid", name="background", value=background, known=known)
        if self.shape not in SHAPES:
            raise InputError("choice_invalid", name="shape", value=self.shape, known=", ".join(SHAPES))
        page_places(self.pages)
        return Treatment(tones, background, self.shape, self.pages.strip())


def page_places(pages: str) -> list[int]:
    """Returns the places, from 0, of the pages that words such as `1,3-5` name; none for no words.

    Raises:
        InputError: they name no pages.
    """
    if not pages.strip():
        return []
    if not PAGES.fullmatch(pages):
        raise InputError("choice_invalid", name="pages", value=pages, known="1,3-5")
    found: list[int] = []
    for part in pages.split(","):
        first, _, last = part.partition("-")
        begin, end = int(first), int(last or first)
        if begin < 1 or end < begin:
            raise InputError("choice_invalid", name="pages", value=pages, known="1,3-5")
        found += range(begin - 1, min(end, begin - 1 + MOST_PAGES))
    return list(dict.fromkeys(found))[:MOST_PAGES]
