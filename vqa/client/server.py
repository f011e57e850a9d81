"""What a server says of itself, and what it was found to take; remembered for each address."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from vqa.answers import Json, Question

NO_CHAT = re.compile(
    r"embed|rerank|\bbge\b|\be5\b|\bgte\b|whisper|\btts\b|speech|moderation|dall-?e|stable-diffusion|\bclip\b", re.I
)
"""Names of models that answer no questions; a list may have them first."""
KNOWN_SECONDS = 600.0
"""After which a new client asks anew: a server may have been replaced behind its address."""
LOGPROBS, TOKEN_IDS, USAGE = "logprobs", "token_ids", "usage"
LEANER = ((LOGPROBS,), (TOKEN_IDS,), (LOGPROBS, TOKEN_IDS))
"""What is left out of a request that was rejected, in the order in which it is tried."""
NAMED = {
    LOGPROBS: re.compile(r"log[ _-]?prob|对数概率", re.I),
    TOKEN_IDS: re.compile(r"return_token_ids|token[ _-]ids", re.I),
    USAGE: re.compile(r"stream_options|include_usage", re.I),
}
"""How a server's words name what it does not take."""
OTHER = re.compile(
    r"temperature|top_[pk]\b|max_(?:completion_)?tokens|messages?\b|image|picture|multimodal|\bseed\b|schema|\brole\b"
    r"|response_format|structured|cache_salt",
    re.I,
)
"""Words that name what a leaner form would not heal."""


@dataclass(frozen=True)
class ServerInfo:
    """What a server says of itself."""

    base_url: str
    model_ids: tuple[str, ...]
    """As it lists them, those that answer no questions (embedders and their like) last."""
    max_model_len: int | None = None
    """Tokens of context of the first model; None when the server does not tell."""
    vllm_version: str | None = None
    """None for a server that is not vLLM; `unknown` for a vLLM that does not tell."""
    root: str | None = None
    """The folder or id that the first model was loaded from; None when the server does not tell."""

    @property
    def is_vllm(self) -> bool:
        """Returns whether vLLM's own request fields are understood."""
        return self.vllm_version is not None


@dataclass
class Known:
    """What was found out by asking the server at one address, as long as it lists the same models."""

    models: tuple[str, ...] = ()
    since: float = field(default_factory=time.monotonic)
    refused: tuple[str, ...] = ()
    """What it refused to be asked for, and is no longer asked: `logprobs`, `token_ids`, `usage`."""
    settled: bool = False
    """Whether it has answered a question that asked for everything, so that a rejection has another cause."""
    vllm_version: str | None = None
    counts: bool | None = None
    """Whether it counts tokens at /tokenize; None when it was not asked."""
    learnt: bool = False
    """Whether it was asked a question to learn if vLLM's fields reach it."""


@dataclass
class Memory:
    """What is known of servers, by address and the model that is asked there; lasts as long as this process."""

    known: dict[tuple[str, str | None], Known] = field(default_factory=dict)

    def of(self, base_url: str, models: tuple[str, ...], model: str | None = None) -> Known:
        """Returns what is known of a model at an address; nothing of it stays when other models are listed there."""
        known = self.known.get((base_url, model))
        if known is None or known.models != models or time.monotonic() - known.since > KNOWN_SECONDS:
            known = self.known[base_url, model] = Known(models)
        return known


MEMORY = Memory()


def without(question: Question, names: Sequence[str]) -> Question:
    """Returns the question without what a server refused to be asked for."""
    if not names:
        return question
    logprobs = None if LOGPROBS in names else question.logprobs
    return replace(question, logprobs=logprobs, token_ids=question.token_ids and TOKEN_IDS not in names)


def leaner(words: str, shown: Mapping[str, bool]) -> list[tuple[str, ...]]:
    """Returns what to leave out, in the order to try: what the server's words name first; none where they name else."""
    choices: list[tuple[str, ...]] = [names for names in LEANER if all(shown[name] for name in names)]
    named = tuple(name for name, mark in NAMED.items() if mark.search(words) and shown[name])
    if not named and OTHER.search(words):
        return []
    return [named, *(each for each in choices if each != named)] if named else choices


def listed_models(value: Json) -> list[dict[str, Json]] | None:
    """Returns the models of a `/models` reply, whichever form the list has; None when there is none in it."""
    if isinstance(value, dict):
        value = next((value[name] for name in ("data", "models") if isinstance(value.get(name), list)), None)
    if not isinstance(value, list):
        return None
    rows = [each if isinstance(each, dict) else {"id": each} for each in value if isinstance(each, dict | str)]
    models = [row | {"id": name} for row in rows if (name := _name(row))]
    return sorted(models, key=lambda row: bool(NO_CHAT.search(row["id"])))


def _name(row: Mapping[str, Json]) -> str:
    return next((row[key] for key in ("id", "model", "name") if isinstance(row.get(key), str)), "")
