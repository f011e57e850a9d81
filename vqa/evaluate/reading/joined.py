"""Answers that lie in a file beside the questions, joined by the question's id, as VQAv2 has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import intern

from vqa.errors import InputError
from vqa.evaluate.reading.cells import answers_of, text_of
from vqa.evaluate.reading.columns import Field, find_columns, plain
from vqa.evaluate.reading.sources import Table
from vqa.evaluate.reading.values import RowError

KINDS: Mapping[Field, tuple[str, ...]] = {"kind": ("answer_type",), "answer": ("answers",)}
IDS = ("question_id", "questionId", "id", "index")


@dataclass
class Annotations:
    """Answers and type of each question; 200,000 questions of ten answers take 60 MB, since words are shared."""

    by_id: dict[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)

    def get(self, key: str) -> tuple[tuple[str, ...], str]:
        """Returns answers and type; none and "" for a question that is not there."""
        return self.by_id.get(key, ((), ""))


def read_annotations(table: Table) -> Annotations:
    """Returns the answers of a file.

    Raises:
        InputError: it cannot be read or has no ids or answers.
    """
    found = Annotations()
    columns: Mapping[str, str] | None = None
    for _, record in table.records():
        if isinstance(record, RowError):
            continue
        if columns is None:
            names = list(map(str, record))
            columns = dict(find_columns(names, None, KINDS).found.items())
            key = next((name for wanted in IDS for name in names if plain(name) == plain(wanted)), None)
            if key is None or "answer" not in columns:
                raise InputError("dataset_annotations", path=table.name, known=", ".join(names))
        answers = tuple(map(intern, answers_of(record.get(columns["answer"]))))
        kind = text_of(record.get(columns["kind"])) if "kind" in columns else ""
        found.by_id[text_of(record.get(key or ""))] = answers, intern(kind)
    return found
