"""JSON from outside that is nested no deeper than whoever walks through it can go. Pure."""

from __future__ import annotations

import json

from vqa.answers import Json

DEEPEST = 40
"""Levels; people's schemas and answers have a dozen at most, and Python's own walkers end at a thousand."""


def read_json(text: str) -> Json:
    """Returns what a JSON text says.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        value = json.loads(text)
    except RecursionError as problem:
        raise ValueError(f"nested more than {DEEPEST} levels deep") from problem
    level, depth = [value], 0
    while level := [part for each in level for part in _parts(each)]:
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} levels deep")
    return value


def _parts(value: Json) -> list[Json]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
