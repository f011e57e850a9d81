"""An answer has typed parts; what was aborted, filtered, only reasoned or empty is no answer, and is told as such."""

from typing import Any

import pytest

from tests.client.raw import delta, http, raw_server, sse
from vqa.answers import Answer, Question, ToolCall, answer_of
from vqa.client import Client, Collector, NoAnswerError
from vqa.errors import ServerError


def collected(*chunks: dict[str, Any]) -> Answer:
    collector = Collector()
    for chunk in chunks:
        collector.add(chunk)
    return collector.answer(ended=True)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_is_a_part_of_its_own(field: str) -> None:
    answer = collected(delta(**{field: "Let me "}), delta(**{field: "see."}), delta("stop", content="Red."))
    assert (answer.text, answer.reasoning, answer.fault) == ("Red.", "Let me see.", None)


def test_refusals_and_tool_calls_are_answers_of_their_kind() -> None:
    refused = collected(delta(refusal="I will "), delta("stop", refusal="not."))
    assert (refused.text, refused.refusal, refused.fault) == ("", "I will not.", None)
    first = {"index": 0, "id": "call-1", "function": {"name": "zoom", "arguments": '{"x":'}}
    called = collected(
        delta(tool_calls=[first]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": " 1}"}}]),
        delta(
            "tool_calls", tool_calls=[{"index": 1, "id": "call-2", "function": {"name": "count", "arguments": "{}"}}]
        ),
    )
    assert called.tool_calls == (ToolCall("zoom", '{"x": 1}'), ToolCall("count", "{}"))
    assert called.fault is None


@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        ([{"type": "text", "text": "Re"}, {"type": "text", "text": "d"}], "Red", ""),
        (
            [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Red"}],
            "Red",
            "Hm.",
        ),
        (None, "", ""),
        ([], "", ""),
        (7, "7", ""),
    ],
)
def test_a_content_in_parts_is_read_and_never_printed_as_python(content: object, text: str, reasoning: str) -> None:
    answer = collected(delta("stop", content=content))
    assert (answer.text, answer.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    ("chunks", "fault"),
    [
        ([delta(content="The pict"), delta("abort")], "aborted"),
        ([delta(content="The pict"), delta("cancelled")], "aborted"),
        ([delta(content="The pict"), delta("content_filter")], "filtered"),
        ([delta("SAFETY")], "filtered"),
        ([delta(content="The pict"), delta("error")], "failed"),
        ([delta(content="The pict"), delta("weather")], "unfamiliar"),
        ([delta(reasoning="Hm."), delta("stop", content=None)], "only_reasoning"),
        ([delta(reasoning="Hm."), delta("length")], "only_reasoning"),
        ([delta("stop", content=" \n")], "empty"),
        ([delta("stop")], "empty"),
    ],
)
async def test_what_is_no_answer_is_told_and_what_had_arrived_is_kept(chunks: list[dict[str, Any]], fault: str) -> None:
    async with raw_server(sse(*chunks)) as server, Client(server.address) as client:
        with pytest.raises(NoAnswerError) as none:
            await client.ask(Question("What?"))
    assert none.value.code == f"answer_{fault}"
    assert none.value.partial.fault == fault
    assert none.value.partial.text + none.value.partial.reasoning in {"The pict", "Hm.", " \n", ""}
    assert "{" not in none.value.message("zh") + none.value.message("en")


@pytest.mark.parametrize("reason", ["stop", "length", "eos", "STOP", "MAX_TOKENS", "repetition"])
def test_answers_that_ended_as_answers_do_count(reason: str) -> None:
    assert collected(delta(reason, content="Red")).fault is None


def test_parts_survive_being_written_down() -> None:
    answer = Answer("Red", "stop", reasoning="Hm.", refusal="no", tool_calls=(ToolCall("zoom", "{}"),))
    assert answer_of(answer.content) == answer
    assert "reasoning" not in Answer("Red", "stop").content, "what was stored before keeps its digest"


LOGPROBS = {"token": "Red", "bytes": [82], "logprob": -0.1}


@pytest.mark.parametrize(
    ("row", "value", "top"),
    [
        (LOGPROBS, -0.1, 0),
        (LOGPROBS | {"top_logprobs": None}, -0.1, 0),
        (LOGPROBS | {"top_logprobs": [{"token": "Red", "logprob": None}, {"token": "Blue", "logprob": -3}]}, -0.1, 1),
        (LOGPROBS | {"logprob": -9999.0}, -9999.0, 0),
        (LOGPROBS | {"logprob": float("-inf")}, -9999.0, 0),
        (LOGPROBS | {"logprob": -0.0}, 0.0, 0),
    ],
)
def test_logprobs_as_servers_send_them(row: dict[str, Any], value: float, top: int) -> None:
    answer = collected(delta("stop", content="Red", logprobs={"content": [row]}))
    assert answer.tokens is not None
    assert (answer.tokens[0].text, answer.tokens[0].logprob, len(answer.tokens[0].top)) == ("Red", value, top)


@pytest.mark.parametrize("logprob", [None, float("nan"), "low", True, float("inf")])
def test_a_token_without_a_value_leaves_an_answer_without_logprobs(logprob: object) -> None:
    rows = [LOGPROBS, LOGPROBS | {"logprob": logprob}]
    answer = collected(delta(content="Red"), delta("stop", content=" Red", logprobs={"content": rows}))
    assert (answer.text, answer.tokens) == ("Red Red", None)


@pytest.mark.parametrize("logprobs", [[], "none", {"content": None}, {"content": 3}, {"content": []}, {}])
def test_logprobs_of_no_known_form_are_none(logprobs: object) -> None:
    assert collected(delta("stop", content="Red", logprobs=logprobs)).tokens is None


def test_logprobs_in_their_old_form_are_read() -> None:
    old = {"tokens": ["Re", "d"], "token_logprobs": [-0.1, -0.2], "top_logprobs": [{"Re": -0.1, "Bl": -2.5}, None]}
    tokens = collected(delta("stop", content="Red", logprobs=old)).tokens
    assert tokens is not None
    assert [(token.text, token.logprob, token.top) for token in tokens] == [
        ("Re", -0.1, (("Re", -0.1), ("Bl", -2.5))),
        ("d", -0.2, ()),
    ]


async def test_an_emoji_cut_in_two_is_one_again_and_half_a_one_harms_nothing() -> None:
    halves = [
        b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"\\ude00 \\ud83d"},"finish_reason":"stop"}]}\n\n',
    ]
    async with raw_server(sse(*halves)) as server, Client(server.address) as client:
        answer = await client.ask(Question("What?"))
    assert answer.text == "\N{GRINNING FACE} \N{REPLACEMENT CHARACTER}"
    assert answer.text.encode()


async def test_what_had_arrived_can_be_asked_for_at_any_time() -> None:
    rows = {"content": [LOGPROBS]}
    chunk = delta(content="Red", logprobs=rows) | {"prompt_token_ids": [1, 2, 3], "usage": {"prompt_tokens": 3}}
    chunk["choices"][0]["token_ids"] = [7]
    async with raw_server(sse(chunk, delta("stop", content="."))) as server, Client(server.address) as client:
        kept = Collector()
        events = client.stream(Question("What?"), into=kept)
        await anext(events)
        await events.aclose()
    answer = kept.answer()
    assert answer.tokens is not None
    assert (answer.text[:3], answer.prompt_tokens, answer.completion_tokens) == ("Red", 3, 1)


async def test_a_whole_answer_in_one_json_is_an_answer() -> None:
    message = {"role": "assistant", "content": "Red", "reasoning_content": "Hm."}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": [LOGPROBS]}}
    whole = {"id": "r", "model": "m", "choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    async with raw_server(http(whole)) as server, Client(server.address) as client:
        answer = await client.ask(Question("What?"))
    assert (answer.text, answer.reasoning, answer.prompt_tokens, answer.fault) == ("Red", "Hm.", 3, None)
    assert answer.tokens is not None


async def test_a_page_instead_of_an_answer_is_told() -> None:
    page = http("<html><head><title>Sign in to the network</title></head></html>", kind="text/html")
    async with raw_server(page) as server, Client(server.address) as client:
        with pytest.raises(ServerError, match="Sign in to the network") as told:
            await client.ask(Question("What?"))
    assert told.value.code == "server_not_openai"
