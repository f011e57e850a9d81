"""Puts the chunks of one reply together to an Answer, whatever a server leaves out or adds.

Fields as OpenAI's chat completions and vLLM spell them; where others differ, what they mean is understood.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal, TypeAlias

import orjson

from vqa.answers import Answer, Json, Token, ToolCall, ids_digest, placeholder_count, whole_text

LEAST_LOGPROB = -9999.0
"""What OpenAI and vLLM write for a token that could not have come; -inf, which JSON cannot hold, is written so too."""
Part: TypeAlias = Literal["content", "reasoning", "refusal", "tool_call"]


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer as it arrives."""

    text: str
    part: Part = "content"


class Collector:
    """Takes the chunks of one reply in order. What has arrived can be asked for at any time."""

    def __init__(self, *, whole: bool = False) -> None:
        self.whole = whole
        """Whether nobody waits for the pieces, so that the reply may be read in one go; see `vqa.client.whole`."""
        self.retried = 0
        """How often the question was sent again, because the server had asked to wait."""
        self.begin()

    def begin(self) -> None:
        """Forgets what has arrived: the question is sent now (again)."""
        self._began = time.monotonic()
        self._first: float | None = None
        self.arrived: float | None = None
        """When the first piece arrived, where the pieces are taken in later than that."""
        self._parts: dict[Part, list[str]] = {"content": [], "reasoning": [], "refusal": []}
        self._calls: dict[int, list[str]] = {}
        self._tokens: list[Token] | None = []
        self._token_ids: list[int] = []
        self._prompt_ids: list[int] | None = None
        self._fingerprint: str | None = None
        self._model = self._id = ""
        self._usage: dict[str, Json] = {}
        self.finish_reason: str | None = None

    @property
    def started(self) -> bool:
        """Whether anything of the answer has arrived."""
        return self._first is not None

    def add(self, chunk: dict[str, Json]) -> list[Delta]:
        """Takes in one chunk, or a whole reply that was not streamed; returns its pieces."""
        if name := chunk.get("model"):
            self._model = str(name)
        if name := chunk.get("id"):
            self._id = str(name)
        if name := chunk.get("system_fingerprint"):
            self._fingerprint = str(name)
        if ids := chunk.get("prompt_token_ids"):
            self._prompt_ids = ids if isinstance(ids, list) else None
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = usage
        choice = _first_choice(chunk.get("choices"))
        return [] if choice is None else self._choice(choice)

    def _choice(self, choice: dict[str, Json]) -> list[Delta]:
        if logprobs := choice.get("logprobs"):
            self._logprobs(logprobs)
        if isinstance(ids := choice.get("token_ids"), list):
            self._token_ids += ids
        if (reason := choice.get("finish_reason")) is not None:
            self.finish_reason = str(reason)
        delta = choice.get("delta")
        if not delta:
            delta = choice.get("message")
        if not isinstance(delta, dict):
            delta = {"content": choice.get("text")}
        deltas = [Delta(text, part) for part, text in _pieces(delta) if text]
        for each in deltas:
            self._parts[each.part].append(each.text)
        if calls := delta.get("tool_calls") or delta.get("function_call"):
            deltas += self._tool_calls(calls)
        if self._first is None and (deltas or self.finish_reason is not None):
            self._first = self.arrived or time.monotonic()
        return deltas

    def take(
        self, texts: list[str], tokens: list[Token], ids: list[int], reason: str | None, once: dict[str, Json]
    ) -> None:
        """Takes in a whole reply that was read elsewhere; `once` holds what stands in any of its chunks."""
        self._parts["content"] += texts
        self._tokens = tokens
        self._token_ids += ids
        self.finish_reason = reason
        self._model, self._id = str(once.get("model") or ""), str(once.get("id") or "")
        self._fingerprint = str(once["system_fingerprint"]) if once.get("system_fingerprint") else None
        self._prompt_ids = once.get("prompt_token_ids")
        self._usage = once.get("usage") or {}
        if texts or reason is not None:
            self._first = self.arrived or time.monotonic()

    def _tool_calls(self, calls: Json) -> list[Delta]:
        deltas: list[Delta] = []
        for place, call in enumerate(calls if isinstance(calls, list) else [{"function": calls}]):
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict):
                continue
            index = call.get("index")
            known = self._calls.setdefault(index if isinstance(index, int) else place, ["", ""])
            name, given = function.get("name") or "", function.get("arguments") or ""
            given = given if isinstance(given, str) else orjson.dumps(given).decode()
            known[0] += str(name)
            known[1] += given
            if text := f"{name}{given}":
                deltas.append(Delta(text, "tool_call"))
        return deltas

    def _logprobs(self, logprobs: Json) -> None:
        if self._tokens is None or not isinstance(logprobs, dict):
            return
        rows = logprobs.get("content")
        if not isinstance(rows, list):
            rows = _old_form(logprobs)
        for row in rows:
            token = _token(row)
            if token is None:  # a list with holes cannot be compared place by place
                self._tokens = None
                return
            self._tokens.append(token)

    def answer(self, *, ended: bool = False) -> Answer:
        """Returns what has arrived so far; `ended` says that the server ended it, with or without a finish reason."""
        now = time.monotonic()
        usage, details = self._usage, self._usage.get("prompt_tokens_details")
        details = details if isinstance(details, dict) else {}
        multimodal = details.get("multimodal_tokens")
        image_tokens = _count(multimodal.get("image")) if isinstance(multimodal, dict) else None
        if image_tokens is None and self._prompt_ids:
            image_tokens = placeholder_count(self._prompt_ids)
        seen = placeholder_count(self._prompt_ids) if self._prompt_ids else 0
        prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
        content, reasoning, refusal = (whole_text("".join(pieces)) for pieces in self._parts.values())
        return Answer(
            text=content,
            finish_reason="" if ended and self.finish_reason is None else self.finish_reason,
            tokens=tuple(self._tokens or ()) or None,
            token_ids=tuple(self._token_ids) or None,
            prompt_token_ids_sha256=ids_digest(self._prompt_ids),
            prompt_tokens=prompt if prompt is not None or not self._prompt_ids else len(self._prompt_ids),
            completion_tokens=completion if completion is not None or not self._token_ids else len(self._token_ids),
            cached_tokens=_count(details.get("cached_tokens")),
            image_tokens=image_tokens,
            image_markers=image_tokens - seen if image_tokens and 0 < seen <= image_tokens else None,
            model=self._model,
            request_id=self._id,
            system_fingerprint=self._fingerprint,
            seconds_to_first_token=None if self._first is None else self._first - self._began,
            seconds=now - self._began,
            reasoning=reasoning,
            refusal=refusal,
            tool_calls=tuple(
                ToolCall(whole_text(name), whole_text(given)) for _, (name, given) in sorted(self._calls.items())
            ),
            retried=self.retried,
        )


def _first_choice(choices: Json) -> dict[str, Json] | None:
    """Returns the first choice of a chunk; one question asks for one answer."""
    if not isinstance(choices, list) or not choices:
        return None
    choice = choices[0]
    return choice if isinstance(choice, dict) and not choice.get("index") else None


def _pieces(delta: dict[str, Json]) -> list[tuple[Part, str]]:
    """Returns what a delta says, reasoning first; vLLM calls it `reasoning`, others `reasoning_content`."""
    content = delta.get("content")
    thought = delta.get("reasoning")
    if thought is None:
        thought = delta.get("reasoning_content")
    found: list[tuple[Part, str]] = [] if not thought else _texts(thought, "reasoning")
    if content:
        found += [("content", content)] if isinstance(content, str) else _texts(content, "content")
    if refusal := delta.get("refusal"):
        found.append(("refusal", str(refusal)))
    return found


def _texts(value: Json, part: Part) -> list[tuple[Part, str]]:
    """Returns the texts of a content that may be a list of typed parts."""
    if isinstance(value, str):
        return [(part, value)]
    if isinstance(value, list):
        return [found for each in value for found in _texts(each, part)]
    if not isinstance(value, dict):
        return [(part, str(value))] if isinstance(value, int | float) else []
    kind = str(value.get("type") or "")
    if "thinking" in kind or "reasoning" in kind:
        part = "reasoning"
    elif "refusal" in kind:
        part = "refusal"
    named = (value.get(name) for name in ("text", "thinking", "reasoning", "refusal", "content", "summary"))
    inner = next((each for each in named if each), None)
    return [] if inner is None else _texts(inner, part)


def _token(row: Json) -> Token | None:
    """Returns a token with its candidates, best first, whichever of them a server lists first; None without a value."""
    if not isinstance(row, dict):
        return None
    value = _logprob(row.get("logprob"))
    if value is None:
        return None
    top: list[tuple[str, float]] = []
    for each in row.get("top_logprobs") or ():
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


def _old_form(logprobs: dict[str, Json]) -> list[Json]:
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


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
