"""The values that travel between rooms: what was asked, what came back, one sample of a run."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from vqa.media.images import ImagePayload

Json: TypeAlias = Any  # what json.loads returns


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


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer with the candidates it was chosen from; logprobs in nats."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()
    """The most probable candidates at this position, best first, as (text, logprob)."""


@dataclass(frozen=True)
class Answer:
    """What the server answered, with its own counts; seconds by the client's monotonic clock."""

    text: str
    finish_reason: str | None
    """`stop`, `length`, or None when the stream ended early."""
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
    model: str = ""
    request_id: str = ""
    system_fingerprint: str | None = None
    seconds_to_first_token: float | None = None
    seconds: float = 0.0

    @property
    def content(self) -> dict[str, Json]:
        """Returns the part that equals in two bitwise identical answers: text, tokens, ids and finish reason."""
        tokens = self.tokens and [
            [token.text, token.logprob, [list(top) for top in token.top]] for token in self.tokens
        ]
        return {
            "text": self.text,
            "finish_reason": self.finish_reason,
            "token_ids": self.token_ids and list(self.token_ids),
            "tokens": tokens,
        }

    @property
    def tokens_per_second(self) -> float | None:
        """Returns the decoding speed: tokens after the first over the seconds after the first."""
        if not self.completion_tokens or self.completion_tokens < 2 or self.seconds_to_first_token is None:
            return None
        return (self.completion_tokens - 1) / max(self.seconds - self.seconds_to_first_token, 1e-9)


def content_json(content: dict[str, Json]) -> bytes:
    """Returns the canonical JSON of an answer's content; equal bytes mean bitwise identical answers."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def tokens_from_json(rows: list[Json] | None) -> tuple[Token, ...] | None:
    """Returns the tokens written by `Answer.content`, or None."""
    if rows is None:
        return None
    return tuple(Token(text, logprob, tuple((name, value) for name, value in top)) for text, logprob, top in rows)


@dataclass(frozen=True)
class SampleError:
    """Why a request gave no answer that counts."""

    code: str
    """A code of `vqa.errors`, or `truncated` when the answer ended before its end-of-sequence token by a fault."""
    message: str
    partial: str = ""


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
    return None if not token_ids else hashlib.sha256(json.dumps(token_ids).encode()).hexdigest()


def placeholder_count(token_ids: list[int]) -> int:
    """Returns how often the most frequent token stands in a prompt.

    A vision-language prompt repeats its image's placeholder once for each image token, so this counts image tokens
    on servers that do not report them, as long as the image has more tokens than any word has repeats.
    """
    return max(Counter(token_ids).values(), default=0)
