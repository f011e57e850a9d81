"""A reply that is read in one go gives the same answer as one that is taken piece by piece; unusual ones are left."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa.answers import Answer
from vqa.client.collect import Collector
from vqa.client.events import EventReader
from vqa.client.replies import chunk_of
from vqa.client.whole import fill


def event(content: str | None = None, *, values: tuple[float, float] = (-0.1, -2.0), **choice: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"index": 0, "delta": {} if content is None else {"content": content}} | choice
    if content:
        tops = [{"token": content, "logprob": values[0]}, {"token": "?", "logprob": values[1]}]
        told |= {"logprobs": {"content": [tops[0] | {"top_logprobs": tops}]}, "token_ids": [7]}
    return {"id": "c1", "model": "m", "choices": [told]}


def stream(chunks: list[dict[str, Any]]) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def by_pieces(data: bytes) -> Answer:
    collected = Collector()
    for kind, each in EventReader().feed(data):
        if not each.startswith(b"[DONE]"):
            collected.add(chunk_of(kind, each))
    return collected.answer(ended=True)


def timeless(answer: Answer) -> dict[str, Any]:
    return {name: value for name, value in vars(answer).items() if not name.startswith("seconds")}


@given(
    st.lists(st.tuples(st.text(max_size=5), st.floats(-20, -1e-6), st.floats(-20, -1e-6)), max_size=8),
    st.sampled_from(["stop", "length", "abort", None]),
)
def test_both_ways_give_the_same_answer(pieces: list[tuple[str, float, float]], reason: str | None) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": len(pieces), "prompt_tokens_details": {"cached_tokens": 2}}
    data = stream(
        [
            event("") | {"prompt_token_ids": [1, 1, 2]},
            *(event(text, values=(one, other)) for text, one, other in pieces),
            event(finish_reason=reason),
            {"id": "c1", "model": "m", "choices": [], "usage": usage},
        ]
    )
    collected = Collector(whole=True)
    assert fill(data, collected)
    assert timeless(collected.answer(ended=True)) == timeless(by_pieces(data))


@pytest.mark.parametrize(
    "data",
    [
        stream([event("a", delta={"reasoning": "hm"})]),
        stream([event("a", delta={"tool_calls": [{"function": {"name": "f"}}]})]),
        stream([{"error": {"message": "no"}}]),
        stream([event("a", values=(-9999.0, -1.0))]),
        stream([event("a", values=(-0.5, float("-inf")))]),
        stream([event("a", index=1)]),
        stream([event("a", delta={"content": [{"type": "text", "text": "a"}]})]),
        stream([event("a")]).replace(b"\n\n", b"\r\n\r\n"),
        b"event: error\n" + stream([event("a")]),
        b": keep-alive\n\n" + stream([event("a")]),
        stream([event("a")])[:-20] + b"\n\n",
        b"<html></html>",
        b"",
    ],
)
def test_what_is_not_plain_is_left_to_the_ordinary_way(data: bytes) -> None:
    collected = Collector(whole=True)
    assert not fill(data, collected)
    assert not collected.started
    assert collected.answer().text == ""
