"""Puts the chunks of one reply together to an Answer, whatever a server leaves out or adds.

Fields as OpenAI's chat completions and vLLM spell them; where others differ, what they mean is understood.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import orjson

from vqa.answers import Answer, Json, Token, ToolCall, ended_well, ids_digest, placeholder_count, whole_text
from vqa.client.fields import Part, old_form, pieces, token_of

MAX_ID = 1 << 63


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer as it arrives."""

    text: str
    part: Part = "content"


@dataclass(slots=True)
class _Call:
    """A call of a tool, of which more may come."""

    index: int
    id: Json = None
    name: str = ""
    arguments: str = ""


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
        self.ended: float | None = None
        """When the server fell silent, where nothing else told the end."""
        self._parts: dict[Part, list[str]] = {"content": [], "reasoning": [], "refusal": []}
        self._halves: dict[Part, str] = {}
        self._calls: list[_Call] = []
        self._tokens: list[Token] | None = []
        self._token_ids: list[int] = []
        self._prompt_ids: list[int] | None = None
        self._fingerprint: str | None = None
        self.worker = ""
        """Who a router says has answered."""
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
            self._prompt_ids = _numbers(ids)
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = usage
        choice = _first_choice(chunk.get("choices"))
        return [] if choice is None else self._choice(choice)

    def _choice(self, choice: dict[str, Json]) -> list[Delta]:
        if logprobs := choice.get("logprobs"):
            self._logprobs(logprobs)
        if isinstance(ids := choice.get("token_ids"), list):
            self._token_ids += ids
        if (reason := choice.get("finish_reason")) is not None and ended_well(self.finish_reason):
            self.finish_reason = str(reason)  # one that cut the answer off stands, whatever comes after it
        delta = choice.get("delta")
        if not delta:
            said = self._calls or any(self._parts.values())
            delta = {} if said else choice.get("message")  # some servers repeat the whole answer at the end
        if not isinstance(delta, dict):
            delta = {"content": choice.get("text")}
        deltas = []
        for part, text in pieces(delta):
            self._parts[part].append(text)
            if shown := text if text.isascii() and not self._halves else self._characters(text, part):
                deltas.append(Delta(shown, part))
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
        self._prompt_ids = _numbers(once.get("prompt_token_ids"))
        self._usage = once.get("usage") or {}
        if texts or reason is not None:
            self._first = self.arrived or time.monotonic()

    def _characters(self, text: str, part: Part) -> str:
        """Returns a piece in whole characters; the first half of one waits for the piece with the second."""
        text = self._halves.pop(part, "") + text
        if "\ud800" <= text[-1] <= "\udbff":
            self._halves[part] = text[-1]
            text = text[:-1]
        return whole_text(text)

    def _tool_calls(self, calls: Json) -> list[Delta]:
        deltas: list[Delta] = []
        for place, call in enumerate(calls if isinstance(calls, list) else [{"function": calls}]):
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict):
                continue
            name, given = function.get("name") or "", function.get("arguments") or ""
            given = given if isinstance(given, str) else orjson.dumps(given).decode()
            known = self._call(call.get("index"), place, call.get("id"))
            known.name += str(name)
            known.arguments += given
            if text := whole_text(f"{name}{given}"):
                deltas.append(Delta(text, "tool_call"))
        return deltas

    def _call(self, index: Json, place: int, given_id: Json) -> _Call:
        """Returns the call that a piece belongs to: the last of its index, or of its id where that is another one."""
        index = index if isinstance(index, int) else place
        known = next((each for each in reversed(self._calls) if each.index == index), None)
        if known is None or (given_id and known.id and given_id != known.id):
            known = _Call(index)
            self._calls.append(known)
        known.id = known.id or given_id
        return known

    def _logprobs(self, logprobs: Json) -> None:
        if self._tokens is None or not isinstance(logprobs, dict):
            return
        rows = logprobs.get("content")
        if not isinstance(rows, list):
            rows = old_form(logprobs)
        for row in rows:
            token = token_of(row)
            if token is None:  # a list with holes cannot be compared place by place
                self._tokens = None
                return
            self._tokens.append(token)

    def answer(self, *, ended: bool = False) -> Answer:
        """Returns what has arrived so far; `ended` says that the server ended it, with or without a finish reason."""
        now = self.ended or time.monotonic()
        usage, details = self._usage, self._usage.get("prompt_tokens_details")
        details = details if isinstance(details, dict) else {}
        multimodal = details.get("multimodal_tokens")
        image_tokens = _count(multimodal.get("image")) if isinstance(multimodal, dict) else None
        seen = placeholder_count(self._prompt_ids) if self._prompt_ids else 0
        if image_tokens is None and self._prompt_ids:
            image_tokens = seen
        prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
        ids = _numbers(self._token_ids) or []
        if completion is not None and len(ids) < completion:
            ids = []  # of some of the tokens alone nothing can be said
        content, reasoning, refusal = (whole_text("".join(pieces)) for pieces in self._parts.values())
        return Answer(
            text=content,
            finish_reason="" if ended and self.finish_reason is None else self.finish_reason,
            tokens=tuple(self._tokens or ()) or None,
            token_ids=tuple(ids) or None,
            prompt_token_ids_sha256=ids_digest(self._prompt_ids),
            prompt_tokens=prompt if prompt is not None or not self._prompt_ids else len(self._prompt_ids),
            completion_tokens=completion if completion is not None or not ids else len(ids),
            cached_tokens=_count(details.get("cached_tokens")),
            image_tokens=image_tokens,
            image_markers=image_tokens - seen if image_tokens and 0 < seen <= image_tokens else None,
            model=self._model,
            request_id=self._id,
            system_fingerprint=self._fingerprint,
            server=self.worker,
            seconds_to_first_token=None if self._first is None else self._first - self._began,
            seconds=now - self._began,
            reasoning=reasoning,
            refusal=refusal,
            tool_calls=tuple(
                ToolCall(whole_text(call.name), whole_text(call.arguments))
                for call in sorted(self._calls, key=lambda call: call.index)
            ),
            retried=self.retried,
        )


def _first_choice(choices: Json) -> dict[str, Json] | None:
    """Returns the first choice of a chunk; one question asks for one answer."""
    if not isinstance(choices, list) or not choices:
        return None
    return next((each for each in choices if isinstance(each, dict) and not each.get("index")), None)


def _numbers(ids: Json) -> list[int] | None:
    """Returns a list of token ids; None where it is none, or some of them are no whole numbers that can be kept."""
    whole = isinstance(ids, list) and (not ids or ({*map(type, ids)} == {int} and 0 <= min(ids) <= max(ids) < MAX_ID))
    return ids if whole else None


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
