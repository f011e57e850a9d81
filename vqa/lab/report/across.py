"""What a restart with another setting changed, in sentences and as a table."""

from __future__ import annotations

from collections.abc import Mapping

from vqa.answers import Json
from vqa.markup import html, joined
from vqa.text import Language, t


def across_lines(result: Mapping[str, Json], language: Language = "en") -> list[str]:
    """Returns a sentence for each setting that was tried."""
    return [_line(row, language) for row in result.get("across") or ()]


def across_html(result: Mapping[str, Json], language: Language) -> str:
    """Returns the same as a list; empty for other runs."""
    lines = joined(html("<li>{}</li>", line) for line in across_lines(result, language))
    return html("<ul>{}</ul>", lines) if lines else ""


def _line(row: Mapping[str, Json], language: Language) -> str:
    name = t(f"report.computing_{row['setting']}", language)
    key = (
        "lab.across_missing" if row["reason"] else "lab.across_same" if row["equal"] == row["n"] else "lab.across_other"
    )
    return t(key, language, **{**row, "setting": name, "at_once": 8})
