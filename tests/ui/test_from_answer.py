"""What goes from an answer on the Ask tab to a run of its question, and a question that comes a second time."""

from __future__ import annotations

from pathlib import Path

import pytest

from vqa.answers import Answer
from vqa.errors import InputError
from vqa.media.images import ImageLimits, load_image
from vqa.settings import Settings
from vqa.ui.ask.conversation import Conversation, Message
from vqa.ui.ask.sending import Tickets, mark
from vqa.ui.lab import from_answer, lab_form


def conversation(picture: Path) -> Conversation:
    """Two questions about one picture; the second was asked with settings of its own."""
    image = load_image(picture, ImageLimits())
    found = Conversation().add(Message(1, None, "user", "What is it?", (image,)))
    found = found.add(Message(2, 1, "assistant", "A circle.", asked=(("temperature", 0.0), ("top_p", 0.9))))
    found = found.add(Message(3, 2, "user", "And its\ncolour?"))
    asked = (("temperature", 0.7), ("top_p", 0.5), ("max_tokens", 12), ("seed", 3), ("system", "Be brief."))
    return found.add(Message(4, 3, "assistant", "Red.", answer=Answer("Red.", "stop"), asked=asked))


def values(which: str, picture: Path) -> dict[str, object]:
    import gradio as gr

    with gr.Blocks():
        parts = {name: gr.Number(256 if name == "max_tokens" else 1) for name in lab_form.LabForm.__dataclass_fields__}
        form = lab_form.LabForm(**parts)  # type: ignore[arg-type]
    given = from_answer.values(form, which, conversation(picture), Settings())
    return dict(zip(lab_form.LabForm.__dataclass_fields__, given, strict=True))


def test_an_answer_takes_its_question_all_pictures_before_it_and_its_settings_along(red_circle: Path) -> None:
    given = values("4", red_circle)
    assert given["questions"] == "And its colour?", "a line is a question of its own in the form"
    (picture,) = given["images"]  # type: ignore[misc]
    assert Path(picture[0]).read_bytes() == red_circle.read_bytes()
    asked = {name: given[name] for name in ("n", "temperature", "top_p", "max_tokens", "seed", "system")}
    assert asked == {
        "n": 20, "temperature": 0.7, "top_p": 0.5, "max_tokens": 12, "seed": 3, "system": "Be brief.",
    }  # fmt: skip


def test_settings_that_were_left_alone_are_those_of_the_form(red_circle: Path) -> None:
    given = values("2", red_circle)
    assert (given["questions"], given["seed"], given["max_tokens"]) == ("What is it?", None, 256)


@pytest.mark.parametrize("which", ["", "1", "99", "x"])
def test_what_is_no_answer_of_the_conversation_starts_nothing(which: str, red_circle: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        values(which, red_circle)


def test_a_question_that_was_taken_is_not_asked_again_and_one_that_was_refused_may_come_again() -> None:
    tickets = Tickets()
    assert tickets.known("a") is None
    assert tickets.known("a") is False, "the same press a second time"
    tickets.refuse("a")
    assert tickets.known("a") is None
    tickets.take("a")
    tickets.refuse("a")
    assert tickets.known("a") is True
    assert tickets.known("") is None
    assert "<script" not in mark("<script>")
