"""A conversation as a tree of messages, so that one can be edited or asked again and no version is lost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

from vqa.answers import Answer, Json, ToolCall, Turn, tokens_from_json
from vqa.media.images import ImagePayload

NAME_LENGTH = 60
BESIDE = "beside"
"""Among the settings of an answer: the id of the one at its side."""


@dataclass(frozen=True)
class Problem:
    """Why an answer is missing or only partly there: an error's code with the values of its placeholders."""

    code: str
    values: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Message:
    """One message with what it was asked with, and what was measured when it is an answer."""

    id: int
    parent: int | None
    role: Literal["user", "assistant"]
    text: str
    images: tuple[ImagePayload, ...] = ()
    answer: Answer | None = None
    asked: tuple[tuple[str, Json], ...] = ()
    """The settings of the request, as names and values; on answers only."""
    problem: Problem | None = None
    stopped: bool = False

    @property
    def beside(self) -> int | None:
        """The answer to the same question that was asked for along with this one, and is shown at its side."""
        return dict(self.asked).get(BESIDE)


@dataclass(frozen=True)
class Conversation:
    """All versions of a conversation and the one that is shown."""

    chat_id: str = ""
    """Its place in the store; empty before its first message is stored."""
    name: str = ""
    messages: tuple[Message, ...] = ()
    leaf: int | None = None
    """The last message of the version that is shown."""
    unstored: bool = False
    """Whether the store failed it: from then on it grows on the page alone."""

    def path(self) -> tuple[Message, ...]:
        """Returns the messages that are shown, oldest first."""
        by_id = {message.id: message for message in self.messages}
        shown: list[Message] = []
        current = by_id.get(self.leaf) if self.leaf is not None else None
        while current is not None:
            shown.append(current)
            current = by_id.get(current.parent) if current.parent is not None else None
        return tuple(reversed(shown))

    def add(self, message: Message) -> Conversation:
        """Returns the conversation with one more message, which is shown last."""
        return replace(self, messages=(*self.messages, message), leaf=message.id)

    def until(self, message_id: int | None) -> Conversation:
        """Returns the same conversation shown up to a message; None shows nothing yet."""
        return replace(self, leaf=message_id)

    def versions(self) -> tuple[int, ...]:
        """Returns the last message of every version, those that begin alike side by side, older ones first.

        An answer that stands beside another is no version of its own.
        """
        beside = {message.beside for message in self.messages}
        below: dict[int | None, list[int]] = {}
        for message in self.messages:
            below.setdefault(message.parent, []).append(message.id)
        found: list[int] = []
        ahead = list(reversed(below.get(None, ())))
        while ahead:
            current = ahead.pop()
            if following := below.get(current):
                ahead += reversed(following)
            elif current not in beside:
                found.append(current)
        return tuple(found)

    def turns(self) -> tuple[Turn, ...]:
        """Returns what is shown as the history of the next question; answers without any text are left out."""
        return tuple(Turn(each.role, each.text, each.images) for each in self.path() if each.text.strip())

    def images(self) -> tuple[ImagePayload, ...]:
        """Returns the pictures of the shown version in the order in which they are sent."""
        return tuple(image for message in self.path() for image in message.images)

    def last_answer(self) -> Message | None:
        """Returns the newest shown answer that was measured."""
        answers = [each for each in self.path() if each.role == "assistant" and each.answer is not None]
        return answers[-1] if answers else None

    def next_id(self) -> int:
        """Returns a message id that is free, for conversations that are not stored."""
        return max((message.id for message in self.messages), default=0) + 1


def name_of(text: str) -> str:
    """Returns a name for a conversation that begins with `text`."""
    line = " ".join(text.split())
    return line if len(line) <= NAME_LENGTH else f"{line[: NAME_LENGTH - 1]}…"


def message_json(message: Message) -> dict[str, Json]:
    """Returns a message as the store keeps it; pictures by hash, id and parent kept by the store itself."""
    answer = message.answer
    return {
        "role": message.role,
        "text": message.text,
        "images": [image.sha256 for image in message.images],
        "answer": None if answer is None else {**asdict(answer), "tokens": answer.content["tokens"]},
        "asked": dict(message.asked),
        "problem": message.problem and {"code": message.problem.code, "values": dict(message.problem.values)},
        "stopped": message.stopped,
    }


def message_from_json(row: dict[str, Json], images: tuple[ImagePayload, ...]) -> Message:
    """Returns the message that `message_json` wrote, with its pictures."""
    problem = row.get("problem")
    return Message(
        id=row["id"],
        parent=row["parent"],
        role=row["role"],
        text=row["text"],
        images=images,
        answer=_answer(row.get("answer")),
        asked=tuple((row.get("asked") or {}).items()),
        problem=problem and Problem(problem["code"], tuple(problem["values"].items())),
        stopped=bool(row.get("stopped")),
    )


def _answer(row: dict[str, Json] | None) -> Answer | None:
    if row is None:
        return None
    known = {each.name for each in fields(Answer)}
    values = {name: value for name, value in row.items() if name in known}
    ids = values.get("token_ids")
    calls = tuple(ToolCall(**call) for call in values.get("tool_calls") or ())
    values |= {"tokens": tokens_from_json(values.get("tokens")), "token_ids": ids and tuple(ids), "tool_calls": calls}
    return Answer(**values)


def as_markdown(conversation: Conversation, titles: dict[str, str]) -> str:
    """Returns the shown version as Markdown, its pictures in it as they were sent; `titles` names the roles."""
    parts = [f"# {conversation.name or titles['untitled']}"]
    for message in conversation.path():
        pictures = [f"![{_alt(image)}]({image.data_url})" for image in message.images]
        measured = _measured(message.answer)
        said = message.answer.all_text if message.answer is not None else message.text
        body = [f"## {titles[message.role]}", *pictures, said, *([measured] if measured else [])]
        parts.append("\n\n".join(part for part in body if part))
    return "\n\n".join(parts) + "\n"


def as_json(conversation: Conversation) -> dict[str, Json]:
    """Returns all versions as plain values; messages name their pictures by hash, and `pictures` holds each once."""
    rows = [{"id": m.id, "parent": m.parent, **message_json(m)} for m in conversation.messages]
    images = {image.sha256: image for message in conversation.messages for image in message.images}
    pictures = {digest: {"name": image.given_name, "url": image.data_url} for digest, image in images.items()}
    head = {"version": 1, "id": conversation.chat_id, "name": conversation.name, "shown": conversation.leaf}
    return head | {"messages": rows, "pictures": pictures}


def _alt(image: ImagePayload) -> str:
    return (image.given_name or image.sha256[:12]).translate(str.maketrans("[]", "()"))


def _measured(answer: Answer | None) -> str:
    if answer is None:
        return ""
    first = answer.seconds_to_first_token
    parts = [answer.model, f"{answer.completion_tokens} tokens" if answer.completion_tokens else ""]
    parts += [f"{first:.3f} s to first token" if first is not None else "", f"{answer.seconds:.3f} s"]
    return f"*{' · '.join(part for part in parts if part)}*"
