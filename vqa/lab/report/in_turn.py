"""What the pages and lines of a horizon and of a matrix share: the frame around the profiles, and their control."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vqa.answers import Json
from vqa.lab.certificate.rows import detects
from vqa.lab.diagnosis.invalid import invalid_sentence
from vqa.markup import html, joined
from vqa.text import Language, t


def framed(
    result: Mapping[str, Json], topic: str, profile: Callable[[Mapping[str, Json]], str], language: Language
) -> str:
    """Returns what every `profile` shows, above it why nothing counts where that is so, below it what `topic` says."""
    rows = result.get("profiles") or []
    if not rows:
        return ""
    invalid = invalid_sentence(result, language)
    top = html('<div class="vl-verdict vl-warn" role="status"><strong>{}</strong></div>', invalid) if invalid else ""
    notes = joined(html('<p class="vl-soft">{}</p>', t(f"{topic}.{key}", language)) for key in ("says", "says_not"))
    return top + joined(profile(row) for row in rows) + notes


def said_of(row: Mapping[str, Json], sentence: str) -> str:
    """Returns a profile's name over its sentence."""
    return html("<h4>{}</h4><p><strong>{}</strong></p>", str(row["name"]), sentence)


def control_note(row: Mapping[str, Json], language: Language) -> str:
    """Returns what a profile's positive control showed; empty before it was asked."""
    control = row.get("control")
    return t("diagnose.certificate_control", language, **control) if control else ""


def control_line(row: Mapping[str, Json], language: Language) -> list[str]:
    """Returns the same as a line below the profile's, and whether the run could have seen a difference at all."""
    control = row.get("control")
    if not control:
        return []
    key = "lab.certificate_control" if detects(row) else "lab.certificate_blind"
    return ["  " + t(key, language, profile=row["name"], ok=control["ok"], distinct=control["distinct"])]
