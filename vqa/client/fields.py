"""Reads what stands in the fields of a chunk, whichever of the known ways a server spells it."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from vqa.answers import Json, Token, whole_text

LEAST_LOGPROB = -9999.0
"""What OpenAI and vLLM write for a token that could not have come; -inf, which JSON cannot hold, is written so too."""
Part: TypeAlias = Literal["content", "reasoning", "refusal", "tool_call"]
DEEPEST = 20
"""Levels of lists and typed parts in which a content's texts are looked for."""
THOUGHTS = ("reasoning", "reasoning_content", "thinking", "reasoning_details")
"""What servers call the model's thinking: vLLM the first; one that uses two of them says the same in both."""


def pieces(delta: dict[str, Json]) -> list[tuple[Part, str]]:
    """Returns what a delta says, reasoning first, without empty pieces."""
    content = delta.get("content")
    if isinstance(content, str) and len(delta) == 1:
        return [("content", content)] if content else []
    found: list[tuple[Part, str]] = []
    for name in THOUGHTS:
        if (thought := delta.get(name)) and (found := texts(thought, "reasoning")):
            break
    if content:
        found += [("content", content)] if isinstance(content, str) else texts(content, "content")
    if refusal := delta.get("refusal"):
        found.append(("refusal", str(refusal)))
    return found


def texts(value: Json, part: Part, depth: int = 0) -> list[tuple[Part, str]]:
    """Returns the texts of a content that may be a list of typed parts."""
    if isinstance(value, str):
        return [(part, value)] if value else []
    if depth > DEEPEST:
        return []
    if isinstance(value, list):
        return [found for each in value for found in texts(each, part, depth + 1)]
    if not isinstance(value, dict):
        return [(part, str(value))] if isinstance(value, int | float) else []
    kind = str(value.get("type") or "")
    if "thinking" in kind or "reasoning" in kind:
        part = "reasoning"
    elif "refusal" in kind:
        part = "refusal"
    named = (value.get(name) for name in ("text", "thinking", "reasoning", "refusal", "content", "summary"))
    inner = next((each for each in named if each), None)
    return [] if inner is None else texts(inner, part, depth + 1)


def token_of(row: Json) -> Token | None:
    """Returns a token with its candidates, best first, whichever of them a server lists first; None without a value."""
    if not isinstance(row, dict):
        return None
    value = _logprob(row.get("logprob"))
    if value is None:
        return None
    top: list[tuple[str, float]] = []
    given = row.get("top_logprobs")
    for each in given if isinstance(given, list) else ():
        if isinstance(each, dict) and (other := _logprob(each.get("logprob"))) is not None:
            top.append((_name(each), other))
    if len(top) > 1:
        top.sort(key=_worst_last)
    return Token(_name(row), value, tuple(top))


def _name(row: dict[str, Json]) -> str:
    name = row.get("token")
    return whole_text(name) if isinstance(name, str) else "" if name is None else str(name)


def _logprob(value: Json) -> float | None:
    if type(value) is not float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        value = float(value)
    if value > LEAST_LOGPROB:
        return value if value < math.inf else None
    return None if math.isnan(value) else LEAST_LOGPROB


def old_form(logprobs: dict[str, Json]) -> list[Json]:
    """Returns the rows of logprobs in the form of the older completions interface: parallel lists."""
    names, values, tops = (logprobs.get(name) for name in ("tokens", "token_logprobs", "top_logprobs"))
    if not isinstance(names, list) or not isinstance(values, list) or len(names) != len(values):
        return []
    tops = tops if isinstance(tops, list) and len(tops) == len(names) else [None] * len(names)
    return [
        {"token": name, "logprob": value, "top_logprobs": _old_tops(top)}
        for name, value, top in zip(names, values, tops, strict=True)
    ]


def _old_tops(top: Json) -> list[Json]:
    return [{"token": name, "logprob": value} for name, value in top.items()] if isinstance(top, dict) else []


def _worst_last(candidate: tuple[str, float]) -> float:
    return -candidate[1]
