"""Server-sent events are read as the WHATWG's specification says, however the bytes are cut into blocks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa.client import events
from vqa.client.events import EventReader

CASES: list[tuple[str, bytes, list[tuple[bytes, bytes]]]] = [
    ("one event", b"data: a\n\n", [(b"", b"a")]),
    ("two lines are one text", b"data: a\ndata: b\n\n", [(b"", b"a\nb")]),
    ("no blank after the colon", b"data:a\n\n", [(b"", b"a")]),
    ("only one blank is taken", b"data:  a\n\n", [(b"", b" a")]),
    ("a type", b"event: error\ndata: a\n\ndata: b\n\n", [(b"error", b"a"), (b"", b"b")]),
    ("a type without data is no event", b"event: ping\n\ndata: a\n\n", [(b"", b"a")]),
    ("comments", b": keep-alive\n\n:\n\ndata: a\n\n", [(b"", b"a")]),
    ("an event with empty data", b"data:\n\ndata: a\n\n", [(b"", b""), (b"", b"a")]),
    ("a field without a colon", b"data\ndata\n\n", [(b"", b"\n")]),
    ("carriage returns and line feeds", b"data: a\r\n\r\ndata: b\r\n\r\n", [(b"", b"a"), (b"", b"b")]),
    ("carriage returns alone", b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")]),
    ("a byte order mark", b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
    ("id and retry are passed over", b"id: 1\nretry: 3000\ndata: a\n\n", [(b"", b"a")]),
    ("several blank lines", b"\n\ndata: a\n\n\n\n", [(b"", b"a")]),
    (
        "characters that end lines elsewhere",
        "data: a\u2028b\x85c\x0cd\n\n".encode(),
        [(b"", "a\u2028b\x85c\x0cd".encode())],
    ),
    ("null in the data", b"data: a\x00b\n\n", [(b"", b"a\x00b")]),
    ("a colon in the data", b"data: a:b\n\n", [(b"", b"a:b")]),
    ("a field named error", b"error: it broke\n\n", [(b"error", b"it broke")]),
]


@pytest.mark.parametrize(("stream", "found"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_events_are_those_of_the_specification_whatever_the_blocks(
    stream: bytes, found: list[tuple[bytes, bytes]]
) -> None:
    for size in (1, 2, 3, 7, len(stream)):
        reader = EventReader()
        blocks = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert [event for block in blocks for event in reader.feed(block)] == found


@given(st.data())
def test_cutting_a_stream_elsewhere_changes_nothing(data: st.DataObject) -> None:
    ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
    lines = data.draw(
        st.lists(st.tuples(st.sampled_from([b"data: x", b"data:", b"", b":c", b"event: e", b"data"]), ends))
    )
    stream = b"".join(line + end for line, end in lines) + b"\ndata: last\n\n"
    whole = EventReader().feed(stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = EventReader()
    pieces = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [event for piece in pieces for event in reader.feed(piece)] == whole


def test_an_event_that_the_end_of_the_stream_cuts_off_is_found_by_end() -> None:
    reader = EventReader()
    assert reader.feed(b"data: a\n\ndata: [DONE]") == [(b"", b"a")]
    assert reader.end() == [(b"", b"[DONE]")]


def test_lines_that_belong_to_no_event_are_kept_apart() -> None:
    reader = EventReader()
    reader.feed(b'{"choices": []}\n')
    assert reader.stray == [b'{"choices": []}']


def test_an_event_without_end_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_EVENT", 1000)
    reader = EventReader()
    for _ in range(100):
        reader.feed(b"data: " + b"x" * 100 + b"\n\n")
    with pytest.raises(ValueError, match="1000"):
        for _ in range(100):
            reader.feed(b"x" * 100)
