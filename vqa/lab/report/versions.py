"""What another vLLM changes, as a certificate of several engines tells it: in sentences and as a table."""

from __future__ import annotations

from collections.abc import Mapping

from vqa.answers import Json
from vqa.lab.report.conclusions import arm_title, level_chip
from vqa.lab.stats.agreement import Level
from vqa.markup import html, joined
from vqa.text import Language, t


def version_lines(result: Mapping[str, Json], language: Language = "en") -> list[str]:
    """Returns one sentence for each pair of engines under one profile of a certificate."""
    return [_sentence(row, language) for row in result.get("versions") or () if row["conditions"]]


def version_table(result: Mapping[str, Json], language: Language) -> str:
    """Returns the sentences and, of each condition, how many different answers both engines gave; empty without."""
    pairs = [row for row in result.get("versions") or () if row["conditions"]]
    if not pairs:
        return html("")
    said = joined(html("<p><strong>{}</strong></p>", _sentence(row, language)) for row in pairs)
    names = ("profile", "version_condition", "version_before", "version_now", "version_shared", "version_level")
    heads = (t(f"{'diagnose' if name == 'profile' else 'lab'}.{name}", language) for name in names)
    head = joined(html('<th scope="col">{}</th>', name) for name in heads)
    body = joined(_rows(row, language) for row in pairs)
    return html(
        '<h4>{}</h4>{}<div class="vl-scroll" tabindex="0"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>'
        "</div>",
        t("lab.version_head", language),
        said,
        head,
        body,
    )


def _rows(row: Mapping[str, Json], language: Language) -> str:
    return joined(
        html(
            '<tr><th scope="row">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>',
            row["profile"],
            arm_title(each["arm"], language),
            f"{each['before']} ({row['before']})",
            f"{each['now']} ({row['now']})",
            each["shared"],
            level_chip(Level(each["level"]), language),
        )
        for each in row["conditions"]
    )


def _sentence(row: Mapping[str, Json], language: Language) -> str:
    levels = [Level(each["level"]) for each in row["conditions"]]
    weakest = min(levels, key=lambda level: level.height)
    values = {"profile": row["profile"], "before": row["before"], "now": row["now"], "n": len(levels)}
    if weakest is not Level.NONE:
        return t("lab.version_same", language, level=t(f"lab.level_{weakest}", language), **values)
    changed = [each for each in row["conditions"] if each["level"] == str(Level.NONE)]
    titles = t("report.comma", language).join(arm_title(each["arm"], language) for each in changed)
    shared = sum(each["shared"] for each in changed)
    answers = sum(each["before"] + each["now"] - each["shared"] for each in changed)
    return t("lab.version_changed", language, arms=titles, shared=shared, answers=answers, **values)
