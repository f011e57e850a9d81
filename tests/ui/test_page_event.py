"""What the page's scripts tell with an event may come from anybody."""

from typing import Any

import gradio as gr
import pytest

from vqa.errors import InputError
from vqa.ui.widgets.page_event import sent


def event(data: Any) -> gr.EventData:
    return gr.EventData(None, data)


def test_what_was_sent_is_read() -> None:
    told = event({"act": "left", "place": 3, "box": {"left": 0.5}})
    assert (sent(told, "act", str), sent(told, "place", int), sent(told, "box", dict)) == ("left", 3, {"left": 0.5})


@pytest.mark.parametrize(
    "data", [None, [], "place", {}, {"place": None}, {"place": "3"}, {"place": True}, {"place": 3.5}]
)
def test_anything_else_is_refused(data: Any) -> None:
    with pytest.raises(InputError, match="cannot read"):
        sent(event(data), "place", int)
