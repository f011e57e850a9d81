"""Pictures go where the text of a question has their marks."""

from tests.lab.made import picture
from vqa.answers import Question
from vqa.client import messages


def kinds(text: str, pictures: int) -> list[str]:
    made = [picture() for _ in range(pictures)]
    (message,) = messages(Question(text, tuple(made), placed=True))
    return [part.get("text", "picture") for part in message["content"]]


def test_pictures_stand_where_their_marks_are() -> None:
    assert kinds("Is <image 2> left of <image 1>?", 2) == ["Is", "picture", "left of", "picture", "?"]


def test_a_picture_without_a_mark_comes_before_the_text() -> None:
    assert kinds("What is <image 2>?", 2) == ["picture", "What is", "picture", "?"]


def test_a_mark_without_a_picture_stays_text() -> None:
    assert kinds("What is <image 3>?", 1) == ["picture", "What is", "<image 3>", "?"]
