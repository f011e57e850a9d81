"""From a question to the body of a chat completion request, as OpenAI and vLLM spell it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import orjson

from vqa.answers import Json, Question, Turn
from vqa.errors import InputError
from vqa.media.images import ImagePayload

if TYPE_CHECKING:  # the bodies are checked against the OpenAI client's types, and it is not imported for them
    from openai.types.chat import (
        ChatCompletionContentPartImageParam,
        ChatCompletionContentPartTextParam,
        ChatCompletionSystemMessageParam,
    )
    from openai.types.shared_params import ResponseFormatJSONSchema

IMAGE_MARK = re.compile(r"<image (\d+)>")


def check_question(question: Question) -> None:
    """Raises InputError when there is nothing to ask."""
    if not question.text.strip():
        raise InputError("question_empty")


def encoded(body: dict[str, Json]) -> bytes:
    """Returns a body as JSON; `extra_body` is the OpenAI client's name for fields of its own server, laid beside."""
    flat = {name: value for name, value in body.items() if name != "extra_body"} | body.get("extra_body", {})
    try:
        return orjson.dumps(flat)
    except TypeError:  # half a character, which orjson refuses, goes as an escape
        return json.dumps(flat).encode()


def messages(question: Question) -> list[Json]:
    """Returns the question as OpenAI chat messages, images as base64 data URLs."""
    system: ChatCompletionSystemMessageParam = {"role": "system", "content": question.system}
    out: list[Json] = [system] if question.system.strip() else []
    for turn in question.history:
        placed = question.placed and bool(turn.images)
        content = _placed(turn, ()) if placed else _content(turn, (), text_first=False)
        out.append({"role": turn.role, "content": content})
    last = Turn("user", question.text, question.images)
    if question.placed and question.images:
        out.append({"role": "user", "content": _placed(last, question.image_uuids)})
        return out
    out.append({"role": "user", "content": _content(last, question.image_uuids, text_first=question.text_first)})
    return out


def _placed(turn: Turn, uuids: tuple[str, ...]) -> list[Json]:
    """Returns text and images in the order of the marks in the text."""
    images = [_image_part(image, uuid) for image, uuid in _with_uuids(turn.images, uuids)]
    parts: list[Json] = []
    used: set[int] = set()
    for place, piece in enumerate(IMAGE_MARK.split(turn.text)):
        if place % 2 == 0:
            parts += [{"type": "text", "text": piece.strip()}] if piece.strip() else []
        elif 0 < (number := int(piece)) <= len(images):
            parts.append(images[number - 1])
            used.add(number - 1)
        else:
            parts.append({"type": "text", "text": f"<image {piece}>"})
    return [*(image for number, image in enumerate(images) if number not in used), *parts]


def request_body(question: Question, model: str, *, vllm: bool) -> dict[str, Json]:
    """Returns the keyword arguments of `chat.completions.create`; vLLM's own fields only where they are understood."""
    sampling = question.sampling
    body: dict[str, Json] = {
        "model": model,
        "messages": messages(question),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
    }
    if sampling.max_tokens is not None:
        body["max_tokens"] = sampling.max_tokens
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if question.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": question.logprobs}
    if question.json_schema is not None:
        form: ResponseFormatJSONSchema = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": question.json_schema, "strict": True},
        }
        body["response_format"] = form
    if vllm:
        body["extra_body"] = _vllm_fields(question)
    return body


def _vllm_fields(question: Question) -> dict[str, Json]:
    fields: dict[str, Json] = {"return_token_ids": True} if question.token_ids else {}
    if question.sampling.top_k is not None:
        fields["top_k"] = question.sampling.top_k
    if question.sampling.ignore_eos:
        fields["ignore_eos"] = True
    if question.cache_salt is not None:
        fields["cache_salt"] = question.cache_salt
    if question.choices:
        fields["structured_outputs"] = {"choice": list(question.choices)}
    return fields


def _content(turn: Turn, uuids: tuple[str, ...], *, text_first: bool) -> Json:
    if not turn.images:
        return turn.text
    parts: list[Json] = [_image_part(image, uuid) for image, uuid in _with_uuids(turn.images, uuids)]
    text: ChatCompletionContentPartTextParam = {"type": "text", "text": turn.text}
    return [text, *parts] if text_first else [*parts, text]


def _with_uuids(images: tuple[ImagePayload, ...], uuids: tuple[str, ...]) -> list[tuple[ImagePayload, str | None]]:
    padded: tuple[str | None, ...] = (*uuids, *(None,) * len(images))
    return list(zip(images, padded, strict=False))


def _image_part(image: ImagePayload, uuid: str | None) -> Json:
    part: ChatCompletionContentPartImageParam = {"type": "image_url", "image_url": {"url": image.data_url}}
    return part if uuid is None else {**part, "uuid": uuid}
