"""The question in a conversation, as LLaVA, ms-swift, LLaMA-Factory and EvalScope write them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vqa.answers import Json
from vqa.evaluate.reading.cells import Finder, literal, pictures_of, text_of
from vqa.evaluate.reading.values import PictureSource, Role, RowError

ROLES: Mapping[str, str] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "system": "system",
}
MARK = re.compile(r"<image(?: (\d+))?>")


@dataclass(frozen=True)
class Talk:
    """What a conversation asks last."""

    question: str
    answer: str
    system: str
    history: tuple[tuple[Role, str], ...]
    pictures: tuple[PictureSource, ...]
    """Those within the messages themselves, in the order of their marks."""


def read_talk(value: Json, find: Finder, name: str) -> Talk:
    """Returns the last question; a reply after it is the expected answer, what comes before it is history.

    Each picture within the messages is named in its text by the mark `<image>`.

    Raises:
        RowError: there is no question, or a picture cannot be found.
    """
    turns = literal(value) if isinstance(value, str) else value
    if not isinstance(turns, list) or not turns:
        raise RowError("row_no_question")
    system, pictures = "", []
    read: list[tuple[Role, str]] = []
    for turn in turns:
        if not isinstance(turn, Mapping):
            raise RowError("row_no_object", type=type(turn).__name__)
        role = ROLES.get(str(turn.get("role") or turn.get("from") or "").lower())
        text, found = _content(turn.get("content", turn.get("value")), find, name)
        pictures += found
        if role == "system":
            system = text
        elif role in {"user", "assistant"}:
            read.append(("user" if role == "user" else "assistant", text))
    answer = read.pop()[1] if read and read[-1][0] == "assistant" else ""
    if not read or read[-1][0] != "user":
        raise RowError("row_no_question")
    *history, (_, question) = read
    return Talk(question, answer, system, tuple(history), tuple(pictures))


def _content(value: Json, find: Finder, name: str) -> tuple[str, list[PictureSource]]:
    """Returns the text of a message and the pictures within it."""
    if isinstance(value, str) or value is None:
        return value or "", []
    if not isinstance(value, list):
        return text_of(value), []
    texts: list[str] = []
    pictures: list[PictureSource] = []
    for part in value:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and part.get("type") == "text":
            texts.append(text_of(part.get("text")))
        elif isinstance(part, Mapping) and str(part.get("type", "")).startswith("image"):
            cell = part.get("image_url", part.get("image", part.get("url")))
            if cell is None and not pictures_given(part):
                texts.append("<image>")  # the picture itself is in the column beside
                continue
            pictures += pictures_of(cell if cell is not None else dict(part), find, name)
            texts.append("<image>")
        else:
            raise RowError("row_part", type=str(part.get("type") if isinstance(part, Mapping) else type(part).__name__))
    return "\n".join(texts), pictures


def pictures_given(part: Mapping[str, Json]) -> bool:
    """Returns whether a part holds its picture."""
    return any(part.get(key) for key in ("bytes", "path", "url", "data", "base64"))


def number_marks(texts: list[str], pictures: int, names: tuple[int, ...] = ()) -> list[str]:
    """Returns the texts with every mark naming its picture, `<image 1>` for the first; marks are counted over all.

    `names` are the numbers by which the data set calls its pictures, where it leaves some out.

    Raises:
        RowError: a mark stands for a picture that is not there.
    """
    count = 0

    def number(found: re.Match[str]) -> str:
        nonlocal count
        if found[1] is not None:
            wanted = int(found[1])
            place = names.index(wanted) + 1 if wanted in names else wanted if not names else 0
        else:
            count += 1
            place = count
        if not 0 < place <= pictures:
            raise RowError("row_mark", mark=found[0], pictures=pictures)
        return f"<image {place}>"

    return [MARK.sub(number, text) for text in texts]
