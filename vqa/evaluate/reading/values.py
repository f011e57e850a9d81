"""What reading a data set gives: rows that can be asked, and rows that cannot with the reason. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vqa.errors import InputError, VQAError

Role = Literal["user", "assistant"]


class RowError(InputError):
    """A row cannot be asked; the rest of the data set can."""


@dataclass(frozen=True, slots=True)
class PictureSource:
    """Where the bytes of one picture are: exactly one of `path`, `data` and `address` is given."""

    name: str
    """What a reader calls it: the path as the data set has it, or the column."""
    path: Path | None = None
    """A file; with `member`, the archive that holds it."""
    member: str = ""
    data: bytes | None = None
    address: str = ""
    """A web address, fetched under the guard against local addresses."""


@dataclass(frozen=True, slots=True)
class Row:
    """One question of a data set, ready to be asked once its pictures are loaded."""

    place: int
    """Place among all rows of the data set, bad ones included, from 0: what `Sample.question` says."""
    number: int
    """Line of the file where the row begins, or number of its record where a file has no lines; from 1."""
    question: str
    """The question alone, without the options and without what the prompt adds."""
    id: str = ""
    """The data set's own name of the row; empty when it has none."""
    pictures: tuple[PictureSource, ...] = ()
    answers: tuple[str, ...] = ()
    """The expected answers as the data set has them (VQAv2: ten of them); empty when it has none."""
    options: tuple[tuple[str, str], ...] = ()
    """Letter and text of each option, in order."""
    kind: str = ""
    """The type of question, by which accuracy is broken down."""
    hint: str = ""
    """What the data set puts before the question."""
    system: str = ""
    history: tuple[tuple[Role, str], ...] = ()
    """Earlier turns of the conversation, as role and text; the pictures belong to the question."""
    placed: bool = False
    """Whether the question has the marks `<image 1>` … where the pictures stand."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is not asked, and why."""

    place: int
    number: int
    error: VQAError
    id: str = ""
