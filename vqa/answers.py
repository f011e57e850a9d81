"""The values that travel between rooms: what was asked, what came back, one sample of a run."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import orjson

from vqa.media.images import ImagePayload

Json: TypeAlias = Any  # what json.loads returns
Fault: TypeAlias = Literal["unfinished", "aborted", "filtered", "failed", "unfamiliar", "only_reasoning", "empty"]
"""Why what arrived is no answer: the stream ended early; the server aborted or filtered it, or failed; it gave a finish
reason that is not known; or it said nothing but its reasoning, or nothing at all."""


MAX_SEED = 2**63 - 1
"""The largest seed that vLLM takes, and the largest number that a store keeps."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen, named as vLLM's SamplingParams names it."""

    temperature: float = 0.0
    top_p: float = 0.9
    max_tokens: int | None = None
    """None leaves the length to the server: whatever the context still holds."""
    seed: int | None = None
    top_k: int | None = None
    """vLLM only; None leaves the model's own generation config in force."""
    ignore_eos: bool = False
    """vLLM only: go on to `max_tokens` whatever the model says; for measuring an engine, not a model."""


@dataclass(frozen=True)
class Turn:
    """One earlier message of a conversation."""

    role: Literal["user", "assistant"]
    text: str
    images: tuple[ImagePayload, ...] = ()


@dataclass(frozen=True)
class Question:
    """One request: the images, the text and everything that can change the answer."""

    text: str
    images: tuple[ImagePayload, ...] = ()
    history: tuple[Turn, ...] = ()
    system: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    logprobs: int | None = 2
    """How many top candidates to ask for at each position (at most 20); None asks for no logprobs."""
    token_ids: bool = True
    """vLLM only: ask for the token ids of the prompt and of the answer."""
    text_first: bool = False
    """Put the text before the images, as the source article does."""
    placed: bool = False
    """Put each image where the text has its mark, `<image 1>` for the first; those without a mark come before."""
    cache_salt: str | None = None
    """vLLM only: requests with different salts never share the prefix cache. Hex digits."""
    image_uuids: tuple[str, ...] = ()
    """vLLM only: one for each image; replaces the image's hash, so a new one is a cold image."""
    json_schema: Json | None = None
    choices: tuple[str, ...] = ()
    """The answer must be one of these (vLLM's structured outputs)."""


class Token(NamedTuple):
    """One token of an answer with the candidates it was chosen from; logprobs in nats.

    A tuple and no frozen dataclass, which takes three times as long to make: there is one for each token.
    """

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()
    """The most probable candidates at this position, best first, as (text, logprob)."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called; the call's random id is left out, since it never repeats."""

    name: str
    arguments: str
    """JSON, as the model wrote it."""


WHOLE = frozenset(
    {
        *("stop", "length", "tool_calls", "function_call", "repetition", "eos", "eos_token", "stop_sequence"),
        *("end_turn", "end_of_turn", "max_tokens", "model_length", "complete", "completed"),
    }
)
"""Finish reasons of an answer that ended as answers do: OpenAI's, vLLM's, and other servers' names for them."""
CUT_OFF: dict[str, Fault] = {
    **dict.fromkeys(("abort", "aborted", "cancelled", "canceled", "interrupted"), "aborted"),
    **dict.fromkeys(("content_filter", "safety", "sensitive", "recitation", "blocklist"), "filtered"),
    **dict.fromkeys(("prohibited_content", "spii", "image_safety", "language"), "filtered"),
    **dict.fromkeys(("error", "network_error", "insufficient_system_resource", "timeout", "overloaded"), "failed"),
    **dict.fromkeys(("malformed_function_call",), "failed"),
}
"""Finish reasons that say that the server, and not the model, ended the answer."""


@dataclass(frozen=True)
class Answer:
    """What the server answered, part by part, with its own counts; seconds by the client's monotonic clock."""

    text: str
    """The content; empty where only other parts arrived."""
    finish_reason: str | None
    """As the server spells it: `stop`, `length`, …; empty when it ended the answer and gave no reason, None when the
    stream ended early."""
    tokens: tuple[Token, ...] | None = None
    """None when the server gives no logprobs."""
    token_ids: tuple[int, ...] | None = None
    """None when the server gives no token ids."""
    prompt_token_ids_sha256: str | None = None
    """Over the prompt's token ids as the server reports them; tells whether two prompts were the same."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    """Prompt tokens read from the prefix cache; None when the server does not tell."""
    image_tokens: int | None = None
    """Prompt tokens that stand for the images; None when it cannot be told."""
    image_markers: int | None = None
    """How many of them only mark where images and their rows begin and end; None when it cannot be told."""
    model: str = ""
    request_id: str = ""
    system_fingerprint: str | None = None
    server: str = ""
    """Who gave it, where that is told: the address, and the worker that a router names in its headers."""
    seconds_to_first_token: float | None = None
    seconds: float = 0.0
    reasoning: str = ""
    """What the server told of the model's thinking (vLLM's `--reasoning-parser`)."""
    refusal: str = ""
    """Why the model will not answer, where the server tells that apart from the content."""
    tool_calls: tuple[ToolCall, ...] = ()
    retried: int = 0
    """How often the question was sent again because the server had asked to wait (Retry-After)."""

    @property
    def content(self) -> dict[str, Json]:
        """Returns the part that equals in two bitwise identical answers: all that was said, tokens, finish reason."""
        tokens = self.tokens and [
            [token.text, token.logprob, [list(top) for top in token.top]] for token in self.tokens
        ]
        return {
            "text": self.text,
            "finish_reason": self.finish_reason,
            "token_ids": self.token_ids and list(self.token_ids),
            "tokens": tokens,
            **self.other_parts,
        }

    @property
    def other_parts(self) -> dict[str, Json]:
        """Returns what was said beside the content, by name, without what is empty; plain values."""
        parts: dict[str, Json] = {"reasoning": self.reasoning} if self.reasoning else {}
        if self.refusal:
            parts["refusal"] = self.refusal
        if self.tool_calls:
            parts["tool_calls"] = [[call.name, call.arguments] for call in self.tool_calls]
        return parts

    @property
    def parts(self) -> tuple[str, str, str, tuple[ToolCall, ...]]:
        """Returns all that was said: content, reasoning, refusal, tool calls."""
        return self.text, self.reasoning, self.refusal, self.tool_calls

    @property
    def all_text(self) -> str:
        """Returns the content; with other parts beside it, all of them under their names, for people to read."""
        if not self.other_parts:
            return self.text
        calls = [f"[tool call]\n{call.name}({call.arguments})" for call in self.tool_calls]
        named = (("reasoning", self.reasoning), ("content", self.text), ("refusal", self.refusal))
        return "\n".join([*(f"[{name}]\n{text}" for name, text in named if text), *calls])

    @property
    def answered(self) -> str:
        """Returns what was said but the reasoning: the content; with a refusal or calls of tools beside it, all."""
        return replace(self, reasoning="").all_text

    @property
    def fault(self) -> Fault | None:
        """Why this is no answer that could agree with another, or None when it is one."""
        reason = self.finish_reason
        if reason is None:
            return "unfinished"
        if not ended_well(reason):
            return CUT_OFF.get(reason.lower(), "unfamiliar")
        if self.text.strip() or self.refusal or self.tool_calls:
            return None
        return "only_reasoning" if self.reasoning else "empty"

    @property
    def tokens_per_second(self) -> float | None:
        """Returns the decoding speed: tokens after the first over the seconds after the first."""
        if not self.completion_tokens or self.completion_tokens < 2 or self.seconds_to_first_token is None:
            return None
        return (self.completion_tokens - 1) / max(self.seconds - self.seconds_to_first_token, 1e-9)


def ended_well(reason: str | None) -> bool:
    """Returns whether a finish reason, if there is one, says that the model ended the answer, or its length did."""
    return not reason or reason.lower() in WHOLE


def content_json(content: dict[str, Json]) -> bytes:
    """Returns the canonical JSON of an answer's content; equal bytes mean bitwise identical answers."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def tokens_from_json(rows: list[Json] | None) -> tuple[Token, ...] | None:
    """Returns the tokens written by `Answer.content`, or None."""
    if rows is None:
        return None
    return tuple(
        Token(whole_text(text), logprob, tuple((whole_text(name), value) for name, value in top))
        for text, logprob, top in rows
    )


def answer_of(content: Mapping[str, Json]) -> Answer:
    """Returns the answer, without its measured values, whose `Answer.content` this is.

    Raises:
        KeyError, TypeError, ValueError: it is no such content.
    """
    ids = content["token_ids"]
    return Answer(
        text=whole_text(content["text"]),
        finish_reason=content["finish_reason"],
        tokens=tokens_from_json(content["tokens"]),
        token_ids=None if ids is None else tuple(ids),
        reasoning=whole_text(content.get("reasoning") or ""),
        refusal=whole_text(content.get("refusal") or ""),
        tool_calls=tuple(
            ToolCall(whole_text(name), whole_text(given)) for name, given in content.get("tool_calls", ())
        ),
    )


def whole_text(text: str) -> str:
    """Returns text that can be written anywhere: halves of a character (surrogates) are joined, single ones replaced.

    A server that cuts an emoji in two, one half in each chunk, sends halves that only together are a character.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


@dataclass(frozen=True)
class SampleError:
    """Why a request gave no answer that counts."""

    code: str
    """A code of `vqa.errors`, or `truncated` when the answer ended before its end-of-sequence token by a fault."""
    message: str
    partial: str = ""
    """The content that had arrived."""
    reasoning: str = ""
    """The reasoning that had arrived."""


@dataclass(frozen=True)
class Sample:
    """One real request of a run: which arm and place it had, and its answer or its error."""

    arm: str
    index: int
    """Place within the arm, from 0, in the order of sending."""
    answer: Answer | None
    error: SampleError | None = None
    question: int = 0
    """Which question of the run, from 0."""
    started_at: float = 0.0
    """Unix time of sending."""
    seed: int | None = None
    concurrency: int = 1
    id: int = 0
    """Place in the store, growing in order of arrival; 0 before it is stored."""

    def stored_as(self, row_id: int) -> Sample:
        """Returns the same sample with its place in the store."""
        return replace(self, id=row_id)


def ids_digest(token_ids: list[int] | None) -> str | None:
    """Returns the SHA-256 of a list of token ids, or None."""
    if not token_ids:
        return None
    written = orjson.dumps(token_ids).replace(b",", b", ")  # as Python's own writer spaces them, at a fifth of its time
    return hashlib.sha256(written).hexdigest()


def placeholder_count(token_ids: list[int]) -> int:
    """Returns how often the most frequent token stands in a prompt.

    A vision-language prompt repeats its image's placeholder once for each image token, so this counts image tokens
    on servers that do not report them, as long as the image has more tokens than any word has repeats.
    """
    return max(Counter(token_ids).values(), default=0)
