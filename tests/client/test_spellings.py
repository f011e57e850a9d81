"""What a server says is understood whichever of the known ways it spells it, and nothing of it is lost or made up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.client.raw import delta, http, raw_server, sse, texts
from vqa.answers import Answer, Question, ToolCall
from vqa.client import BrokenStreamError, Client, Collector, NoAnswerError, whole
from vqa.client import asking as asking_module
from vqa.errors import ServerError, VQAError
from vqa.lab.stats.agreement import Level, level_key, shown_levels


def chunk(*, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk whose choice has more than a delta."""
    return {"id": "r", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": finish} | more]}


async def both_ways(reply: bytes, *, patience: float = 60.0) -> list[Answer | VQAError]:
    """What comes of a reply that is taken piece by piece, and of one that is read in one go."""
    found: list[Answer | VQAError] = []
    async with raw_server(reply) as server, Client(server.address, timeout=patience) as client:
        for collected in (Collector(), Collector(whole=True)):
            try:
                events = [event async for event in client.stream(Question("What?"), into=collected)]
                found.append(events[-1])  # type: ignore[arg-type]
            except VQAError as problem:
                found.append(problem)
    return found


@pytest.mark.parametrize(
    "parts",
    [
        {"reasoning": "", "reasoning_content": "Hm."},
        {"reasoning": None, "reasoning_content": "Hm."},
        {"thinking": "Hm."},
        {"content": "", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
        {"reasoning": "Hm.", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "Hm."}, {"type": "reasoning.encrypted"}]},
    ],
)
async def test_reasoning_is_found_under_each_of_its_names_and_once(parts: dict[str, Any]) -> None:
    for answer in await both_ways(sse(delta(**parts), delta("stop", content="Red"))):
        assert isinstance(answer, Answer)
        assert (answer.text, answer.reasoning) == ("Red", "Hm.")


@pytest.mark.parametrize("index", [{}, {"index": 0}])
async def test_calls_that_share_an_index_and_not_an_id_are_two(index: dict[str, int]) -> None:
    one, two = (
        index | {"id": name, "type": "function", "function": {"name": name, "arguments": "{"}} for name in ("a", "b")
    )
    more = index | {"function": {"arguments": "}"}}
    calls = sse(*(delta(tool_calls=[each]) for each in (one, more, two, more)), delta("tool_calls"))
    for answer in await both_ways(calls):
        assert isinstance(answer, Answer)
        assert answer.tool_calls == (ToolCall("a", "{}"), ToolCall("b", "{}"))


@pytest.mark.parametrize(
    "event",
    [
        chunk(error={"code": 502, "message": "engine died"}),
        chunk(error={"code": 502, "message": "engine died"}, finish="stop"),
        {"choices": [], "object": "error", "message": "engine died"},
        {"choices": [], "detail": "engine died"},
        {"choices": [], "error": {"message": "engine died"}},
        {"id": "r", "choices": None, "error": "engine died"},
        chunk() | {"object": "error", "message": "engine died"},
    ],
)
async def test_an_error_beside_choices_is_an_error_both_ways(event: dict[str, Any]) -> None:
    for told in await both_ways(sse(delta(content="Re"), event, delta("stop"))):
        assert isinstance(told, BrokenStreamError)
        assert ("engine died" in told.message(), told.partial.text) == (True, "Re")


async def test_an_error_of_the_choice_of_a_whole_answer_keeps_its_words() -> None:
    choice = {"message": {"content": ""}, "finish_reason": "error", "error": {"code": 502, "message": "engine died"}}
    for told in await both_ways(http({"choices": [choice]})):
        assert isinstance(told, ServerError)
        assert "engine died" in told.message()


@pytest.mark.parametrize("body", [{"id": "x"}, {"choices": []}, {"error": {"id": "x"}}])
async def test_what_is_no_answer_is_never_shown_as_python(body: object) -> None:
    for told in await both_ways(http(body)):
        assert isinstance(told, ServerError)
        assert "'" not in told.message()


@pytest.mark.parametrize("ids", [[None], ["5"], [2**70], [5.0], [True], [-1], [[1]], "12", {"a": 1}, 5])
async def test_token_ids_that_are_none_are_not_shown(ids: object) -> None:
    for answer in await both_ways(sse(chunk(delta={"content": "Red"}, token_ids=ids), delta("stop"))):
        assert isinstance(answer, Answer)
        assert (answer.text, answer.token_ids, answer.completion_tokens) == ("Red", None, None)


@pytest.mark.parametrize("ids", [[None], ["5"], [{"a": 1}], {"a": 1}, 5, "12"])
async def test_a_prompt_of_no_token_ids_is_not_shown(ids: object) -> None:
    for answer in await both_ways(sse(delta(content="Red") | {"prompt_token_ids": ids}, delta("stop"))):
        assert isinstance(answer, Answer)
        assert (answer.text, answer.prompt_token_ids_sha256, answer.image_tokens) == ("Red", None, None)


@pytest.mark.parametrize("top", [5, True, "Red", {"Red": -0.1}, [5], [None], [[]]])
async def test_candidates_of_no_known_form_are_none(top: object) -> None:
    row = {"token": "Red", "logprob": -0.1, "top_logprobs": top}
    for answer in await both_ways(sse(delta(content="Red", logprobs={"content": [row]}), delta("stop"))):
        assert isinstance(answer, Answer)
        assert answer.tokens is not None
        assert (answer.tokens[0].logprob, answer.tokens[0].top) == (-0.1, ())


async def test_ids_of_some_tokens_alone_are_none() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    events = chunk(delta={"content": "Red"}, token_ids=[5]), delta("stop", content=" hat"), usage
    for answer in await both_ways(sse(*events)):
        assert isinstance(answer, Answer)
        assert (answer.text, answer.token_ids, answer.completion_tokens) == ("Red hat", None, 2)


def test_what_was_said_counts_on_every_level_whatever_ids_a_server_shows() -> None:
    one, other = (Answer(text, "stop", token_ids=(5,)) for text in ("Red hat", "Red cap"))
    assert level_key(one, Level.TOKENS) != level_key(other, Level.TOKENS)


async def test_bit_for_bit_needs_the_logprobs_of_every_token() -> None:
    row = {"token": "Red", "logprob": -0.1, "top_logprobs": []}
    first = chunk(delta={"content": "Red"}, token_ids=[5], logprobs={"content": [row]})
    for answer in await both_ways(sse(first, chunk(delta={"content": " hat"}, token_ids=[6], finish="stop"))):
        assert isinstance(answer, Answer)
        assert shown_levels(answer) == {Level.TOKENS, Level.TEXT, Level.ANSWER}


async def test_no_piece_has_half_a_character() -> None:
    one, two = (b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % half for half in (rb"Re\ud83d", rb"\ude00d"))
    async with raw_server(sse(one, two, delta("stop"))) as server, Client(server.address) as client:
        events = [event async for event in client.stream(Question("What?"))]
    assert texts(events) == ["Re", "\U0001f600d", "Re\U0001f600d"]
    async with raw_server(sse(one, delta("stop"))) as server, Client(server.address) as client:
        assert (await client.ask(Question("What?"))).text == "Re\ufffd"


@pytest.mark.parametrize("status", [201, 206, 299])
async def test_every_status_of_success_is_one(status: int) -> None:
    reply = sse(delta(content="Red"), delta("stop")).replace(b"200 OK", b"%d X" % status)
    for answer in await both_ways(reply):
        assert isinstance(answer, Answer)
        assert answer.text == "Red"


ENDLESS = b"<pause>".join([b": still there\n\n"] * 200)


async def test_a_server_that_only_keeps_the_connection_alive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "QUIET_SECONDS", 0.2)
    for told in await both_ways(sse(delta(role="assistant"), ENDLESS, done=False), patience=0.5):
        assert isinstance(told, ServerError)
        assert told.code == "server_timeout"


async def test_an_answer_with_its_finish_reason_is_whole_where_nothing_comes_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (whole, asking_module):
        monkeypatch.setattr(module, "AFTER_FINISH", 0.1)
    events = json.dumps(delta(content="Red")), json.dumps(delta("stop"))
    body = "".join(f"data: {event}\n\n" for event in events).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n"
    pauses = b"<pause>" * 100
    for answer in await both_ways(head + body + pauses):
        assert isinstance(answer, Answer)
        assert (answer.text, answer.finish_reason) == ("Red", "stop")


@pytest.mark.parametrize("reason", ["error", "abort", "content_filter", "no_such_reason"])
async def test_a_reason_that_cut_an_answer_off_stands_whatever_comes_after_it(reason: str) -> None:
    for told in await both_ways(sse(delta(content="Re"), delta(reason), delta("stop"))):
        assert isinstance(told, NoAnswerError)
        assert (told.partial.finish_reason, told.partial.text) == (reason, "Re")


async def test_the_first_of_several_choices_is_found_in_any_place() -> None:
    choices = [{"index": 1, "delta": {"content": "Blue"}}, {"index": 0, "delta": {"content": "Red"}}]
    for answer in await both_ways(sse({"choices": choices}, delta("stop"))):
        assert isinstance(answer, Answer)
        assert answer.text == "Red"


async def test_a_message_that_repeats_the_whole_answer_is_not_said_twice() -> None:
    last = {"choices": [{"index": 0, "delta": {}, "message": {"content": "Red"}, "finish_reason": "stop"}]}
    for events in ((delta(content="Re"), delta(content="d"), last), (last,)):
        for answer in await both_ways(sse(*events)):
            assert isinstance(answer, Answer)
            assert answer.text == "Red"


@pytest.mark.parametrize("end", [b"[DONE]", b"[done]", b'"[DONE]"', b"  [DONE] "])
async def test_the_end_of_a_stream_is_known_however_it_is_written(end: bytes) -> None:
    for answer in await both_ways(sse(delta(content="[DONE]"), delta(None), b"data: %s\n\n" % end, done=False)):
        assert isinstance(answer, Answer)
        assert (answer.text, answer.finish_reason) == ("[DONE]", "")


async def test_what_arrived_together_with_an_error_is_handed_over_before_it() -> None:
    found: list[object] = []

    async def read(client: Client) -> None:
        async for event in client.stream(Question("What?")):
            found.append(event)

    reply = sse(delta(content="Re"), {"error": "engine died"})
    async with raw_server(reply) as server, Client(server.address) as client:
        with pytest.raises(BrokenStreamError):
            await read(client)
    assert texts(found) == ["Re"]


NESTED = ["[" * depth + "]" * depth for depth in (300, 1000, 100_000)]


@pytest.mark.parametrize("nested", [*NESTED, "[" * 100_000, '{"error":' * 500 + '"x"' + "}" * 500])
async def test_what_is_nested_without_end_is_told_as_any_other_fault(nested: str) -> None:
    content = json.dumps({"choices": [{"index": 0, "delta": {"content": "@"}}]}).replace('"@"', nested)
    for reply in (
        http(nested),
        http(nested, status=400),
        sse(b"data: %s\n\n" % nested.encode()),
        sse(b"data: %s\n\n" % content.encode(), delta("stop")),
    ):
        for told in await both_ways(reply):
            assert isinstance(told, ServerError)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"error": "余额不足"}'.encode("gb18030"), "余额不足"),
        (b'\xef\xbb\xbf{"error": "no"}', ": no"),
        ("<h1>caf\u00e9 closed</h1>".encode("latin-1"), "caf\u00e9 closed"),
    ],
)
async def test_a_servers_words_are_read_in_its_encoding(body: bytes, words: str) -> None:
    for told in await both_ways(http(body, status=400)):
        assert isinstance(told, ServerError)
        assert words in told.message()
