"""Runs as versions before 0.2 stored and exported them, with the words of today: plain values in, plain values out."""

from __future__ import annotations

import re
from typing import Any

from vqa.answers import Json

_KEYS = {"rung": "level", "rungs": "levels", "void": "invalid"}
_NEEDLE = re.compile(r"\bneedle\b")


def renamed_arm(name: str) -> str:
    """Returns today's name of an arm: `needle` is `background`, also behind a profile as in `serial/needle`."""
    return _NEEDLE.sub("background", name)


def renamed_plan(plan: dict[str, Json]) -> dict[str, Json]:
    """Returns a stored plan with today's names of its arms; what a user wrote stays as it is."""
    named = {key: [_in_arms(row) for row in plan[key]] for key in ("arms", "skipped") if key in plan}
    return plan | named


def renamed_result(value: Json) -> Any:
    """Returns a stored result with today's keys (`level`, `invalid`), names of arms and keys of texts.

    Answers and other texts of users and servers are left alone: only known keys and names are replaced.
    """
    if isinstance(value, list):
        return [renamed_result(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, inner in value.items():
        name = _KEYS.get(key, "background" if key == "needle" else key)
        found[name] = _renamed_value(key, inner)
    return found


def _renamed_value(key: str, value: Json) -> Any:
    if not isinstance(value, str):
        return renamed_result(value)
    if key in {"arm", "arms"}:
        return renamed_arm(value)
    if key == "verdict" and value == "void":
        return "invalid"
    return "lab.invalid_" + value.removeprefix("lab.void_") if value.startswith("lab.void_") else value


def _in_arms(row: dict[str, Json]) -> dict[str, Json]:
    names = {key: renamed_arm(row[key]) for key in ("arm", "name") if isinstance(row.get(key), str)}
    return row | names
