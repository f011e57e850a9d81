"""How a data set is asked, as plain values that a run keeps; and its rows as the store has them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from vqa.answers import Json, Question, Sampling, Turn
from vqa.errors import VQAError
from vqa.evaluate.reading.conversations import MARK
from vqa.evaluate.reading.prompts import prompt_of
from vqa.evaluate.reading.values import BadRow, Row
from vqa.media.images import ImageLimits, ImagePayload

ARM = "evaluate"
WAIT_SECONDS = 600.0


@dataclass(frozen=True)
class Asking:
    """How the rows are asked."""

    repeats: int = 1
    """Passes over the whole data set."""
    concurrency: int = 8
    """Requests under way at a time at each server."""
    sampling: Sampling = field(default_factory=Sampling)
    model: str | None = None
    """What the servers call it; None stands for their first one."""
    limit: int | None = None
    """Only so many rows from the first one on."""
    logprobs: int | None = 2
    wait_seconds: float = WAIT_SECONDS
    """How long a server that has gone away is waited for."""
    scorer: str = ""
    """The one that a user chose; empty stands for the format's own."""
    places: tuple[int, ...] | None = None
    """Only these rows of the data set."""
    limits: ImageLimits = field(default_factory=ImageLimits)
    allow_local: bool = False
    """Whether pictures may be fetched from addresses of the local network."""

    def record(self) -> dict[str, Json]:
        """Returns plain values; `asking_from_record` reads them back."""
        values = {name: value for name, value in vars(self).items() if name not in {"sampling", "limits"}}
        return {**values, "places": self.places and list(self.places), "sampling": asdict(self.sampling)}


def asking_from_record(record: Mapping[str, Json], limits: ImageLimits, *, allow_local: bool) -> Asking:
    """Returns what `Asking.record` wrote; what the settings say of pictures holds as it is now."""
    values = dict(record) | {"limits": limits, "allow_local": allow_local}
    values["sampling"] = Sampling(**values["sampling"])
    values["places"] = tuple(values["places"]) if values.get("places") else None
    return Asking(**values)


def question_of(row: Row, images: tuple[ImagePayload, ...], template: str, asking: Asking) -> Question:
    """Returns what is sent for a row, its pictures where their marks are."""
    history, rest = _history(row, images)
    text = prompt_of(row, template)
    numbers = {id(image): number for number, image in enumerate(rest, 1)}

    def renumbered(found: re.Match[str]) -> str:
        number = numbers.get(id(images[int(found[1]) - 1]))
        return f"<image {number}>" if number else ""

    return Question(
        MARK.sub(renumbered, text) if row.placed else text,
        rest,
        history=history,
        system=row.system,
        sampling=asking.sampling,
        logprobs=asking.logprobs,
        placed=row.placed,
    )


def _history(row: Row, images: tuple[ImagePayload, ...]) -> tuple[tuple[Turn, ...], tuple[ImagePayload, ...]]:
    """Returns the earlier turns with the pictures marked in them, and the pictures that are left."""
    turns, used = [], set()
    for role, text in row.history:
        numbers = [int(found[1]) - 1 for found in MARK.finditer(text)]
        used.update(numbers)
        own = {number: place for place, number in enumerate(dict.fromkeys(numbers), 1)}
        marked = MARK.sub(lambda found, own=own: f"<image {own[int(found[1]) - 1]}>", text)  # type: ignore[misc]
        turns.append(Turn(role, marked, tuple(images[number] for number in own)))
    return tuple(turns), tuple(image for number, image in enumerate(images) if number not in used)


def row_record(row: Row, images: tuple[ImagePayload, ...]) -> dict[str, Json]:
    """Returns what the store keeps of a row: enough to score its answers again and to show it."""
    return {
        "id": row.id,
        "question": row.question,
        "answers": list(row.answers),
        "options": [list(option) for option in row.options],
        "kind": row.kind,
        **({"hint": row.hint} if row.hint else {}),
        **({"system": row.system} if row.system else {}),
        **({"history": [list(turn) for turn in row.history]} if row.history else {}),
        "pictures": [
            {"name": source.name[:200], "sha256": image.sha256}
            for source, image in zip(row.pictures, images, strict=True)
        ],
    }


def bad_record(row: BadRow | Row, error: VQAError) -> dict[str, Json]:
    """Returns what the store keeps of a row that is not asked."""
    reasons = {"reason": error.message("en")[:500], "reason_zh": error.message("zh")[:500]}
    question = {"question": row.question} if isinstance(row, Row) else {}
    return {"id": row.id, **question, "bad": {"code": error.code, **reasons}}
