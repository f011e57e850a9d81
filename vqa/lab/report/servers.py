"""What each server behind one address answered by itself, in sentences and as a list."""

from __future__ import annotations

from collections.abc import Mapping

from vqa.answers import Json
from vqa.lab.diagnosis.invalid import invalid_sentence
from vqa.markup import html, joined
from vqa.text import Language, t


def server_lines(result: Mapping[str, Json], language: Language = "en") -> list[str]:
    """Returns whether the servers agree, then a sentence for each of them."""
    rows = result["servers"]
    level = t(f"lab.level_{result['level']}", language)
    missing = any(row["holds"] is None for row in rows)
    key = "differ" if result["level"] == "none" else "open" if missing else "agree"
    return [t(f"lab.servers_{key}", language, n=len(rows), level=level), *(_line(row, language) for row in rows)]


def servers_html(result: Mapping[str, Json], language: Language) -> str:
    """Returns the same with the servers as a list; empty for other runs."""
    if not result.get("servers"):
        return ""
    first, *lines = server_lines(result, language)
    return html("<p><b>{}</b></p><ul>{}</ul>", first, joined(html("<li>{}</li>", line) for line in lines))


def _line(row: Mapping[str, Json], language: Language) -> str:
    if "reason" in row:
        return t("lab.server_missing", language, **row)
    told = invalid_sentence(row, language) or t(f"lab.level_{row['level']}", language)
    return t("lab.server_line", language, address=row["address"], ok=row["ok"], n=row["n"], told=told)
