"""What is noted beside a run's result: what the server refused, and where the engine died."""

from __future__ import annotations

from collections.abc import Mapping

from vqa.answers import Json
from vqa.lab.diagnosis.verdict import refused_sentences
from vqa.lab.report.conclusions import arm_title
from vqa.lab.run.failures import error_text
from vqa.markup import html, joined
from vqa.text import Language, t


def note_lines(result: Mapping[str, Json] | None, language: Language = "en") -> list[str]:
    """Returns in sentences what a server refused or made wait, and during which arms the engine ended, and why."""
    facts = (result or {}).get("facts") or {}
    return [
        *refused_sentences(result, language),
        *(
            t(
                "lab.engine_died",
                language,
                arm=arm_title(death["arm"], language),
                reason=error_text("–", {"failure": death["failure"]}, language),
            )
            for death in facts.get("deaths") or ()
        ),
    ]


def noted(result: Mapping[str, Json] | None, language: Language) -> str:
    """Returns the same as HTML; empty when there is nothing to note."""
    return joined(html('<p class="vl-note-box">{}</p>', words) for words in note_lines(result, language))
