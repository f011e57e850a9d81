"""Makes a row of a record: its question, pictures, answers and options, by the columns of its format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress

from vqa.answers import Json
from vqa.evaluate.reading.cells import Finder, answers_of, empty, literal, options_of, pictures_of, text_of
from vqa.evaluate.reading.columns import Columns, Field, letter_of
from vqa.evaluate.reading.conversations import MARK, number_marks, read_talk
from vqa.evaluate.reading.formats import Format
from vqa.evaluate.reading.joined import Annotations
from vqa.evaluate.reading.values import PictureSource, Row, RowError

NUMBER = re.compile(r"(\d+)$")


class RowMaker:
    """Knows a data set's columns; makes one row at a time."""

    def __init__(
        self,
        form: Format,
        columns: Columns,
        find: Finder,
        annotations: Annotations | None,
        system: str | None,
        first: int = 0,
    ) -> None:
        """`first` is the number of the first option where answers are numbers."""
        self._format = form
        self._columns = columns
        self._find = find
        self._annotations = annotations
        self._system = system
        self._first = first

    def row(self, record: Mapping[str, Json], place: int, number: int) -> Row:
        """Returns the row.

        Raises:
            RowError: it has no question, a picture that it names cannot be found, or its options cannot be read.
        """
        names, pictures = self._pictures(record)
        if self._format.talks:
            return self._talk(record, place, number, pictures)
        question = text_of(self._cell(record, "question")).strip()
        if not question:
            raise RowError("row_no_question")
        options = self._options(record)
        answers, kind = lettered(self._answers(record), options, self._first), text_of(self._kind(record))
        if self._annotations is not None:
            answers, kind = self._annotations.get(self.id_of(record))
        hint = "" if _nothing(self._cell(record, "hint")) else text_of(self._cell(record, "hint")).strip()
        texts = number_marks([question, hint, *(text for _, text in options)], len(pictures), names)
        return Row(
            place,
            number,
            texts[0],
            self.id_of(record),
            tuple(pictures),
            answers,
            tuple((name, text) for (name, _), text in zip(options, texts[2:], strict=True)),
            kind,
            texts[1],
            self._system if self._system is not None else text_of(self._cell(record, "system")),
            placed=any(MARK.search(text) for text in texts),
        )

    def _talk(self, record: Mapping[str, Json], place: int, number: int, beside: list[PictureSource]) -> Row:
        talk = read_talk(record.get(self._column(self._format.talks, record)), self._find, self._format.talks)
        pictures = [*talk.pictures, *beside] if talk.pictures else beside
        *history, question = number_marks([*(text for _, text in talk.history), talk.question], len(pictures))
        if not MARK.sub("", question).strip():
            raise RowError("row_no_question")
        answers = self._answers(record) or ((talk.answer.strip(),) if talk.answer.strip() else ())
        options = self._options(record)
        return Row(
            place,
            number,
            question.strip(),
            self.id_of(record),
            tuple(pictures),
            answers,
            options,
            text_of(self._kind(record)),
            "",
            self._system if self._system is not None else talk.system or text_of(self._cell(record, "system")),
            tuple((role, text) for (role, _), text in zip(talk.history, history, strict=True)),
            placed=any(MARK.search(text) for text in (*history, question)),
        )

    def numbers_from(self, records: Iterable[Mapping[str, Json]]) -> int:
        """Returns 1 where the answers of some records number their options from 1: the last one's number is there."""
        last = False
        for record in records:
            with suppress(RowError):
                answers, count = self._answers(record), len(self._options(record))
                if count and "0" in answers:
                    return 0
                last = last or (count > 0 and str(count) in answers)
        return int(last)

    def id_of(self, record: Mapping[str, Json]) -> str:
        """Returns the data set's own name of the row."""
        return text_of(self._cell(record, "id"))

    def _cell(self, record: Mapping[str, Json], field: Field) -> Json:
        column = self._columns.found.get(field)
        return None if column is None else record.get(column)

    @staticmethod
    def _column(name: str, record: Mapping[str, Json]) -> str:
        return next((each for each in record if str(each).lower() == name), name)

    def _pictures(self, record: Mapping[str, Json]) -> tuple[tuple[int, ...], list[PictureSource]]:
        """Returns the pictures in order, and the numbers by which numbered columns call them."""
        if self._columns.pictures:
            names, found = [], []
            for column in self._columns.pictures:
                if not empty(record.get(column)):
                    mark = NUMBER.search(column)
                    each = pictures_of(record[column], self._find, column)
                    names += [int(mark[1]) if mark else 0] * len(each)
                    found += each
            self._refuse_without(found, record)
            return tuple(names), found
        if "image" not in self._columns.found:
            return (), []
        column = self._columns.found["image"]
        cell = record.get(column)
        if empty(cell):  # MMBench keeps a path beside an empty picture
            cell = next((record.get(name) for name in ("image_path", "image_url") if not empty(record.get(name))), None)
        if self._format.name == "vqav2" and column == "image_id":
            named = _coco(cell, record)
            cell = named if isinstance(named, str) and self._find(named) is not None else cell
        found = pictures_of(cell, self._find, column)
        self._refuse_without(found, record)
        return (), found

    def _refuse_without(self, found: list[PictureSource], record: Mapping[str, Json]) -> None:
        if not found and not self._format.talks:
            raise RowError("row_no_image")

    def _answers(self, record: Mapping[str, Json]) -> tuple[str, ...]:
        return answers_of(self._cell(record, "answer"))

    def _kind(self, record: Mapping[str, Json]) -> Json:
        value = self._cell(record, "kind")
        if isinstance(value, str):
            value = literal(value)
        if isinstance(value, Mapping):  # GQA: structural, semantic, detailed
            value = value.get("structural") or next(iter(value.values()), "")
        if isinstance(value, list):
            return text_of(value[0]) if value else ""
        return value

    def _options(self, record: Mapping[str, Json]) -> tuple[tuple[str, str], ...]:
        if self._columns.letters:
            cells = ((letter_of(name), record.get(name)) for name in self._columns.letters)
            return tuple((name, text_of(cell).strip()) for name, cell in cells if not _nothing(cell))
        return options_of(self._cell(record, "options"))


def lettered(answers: tuple[str, ...], options: tuple[tuple[str, str], ...], first: int) -> tuple[str, ...]:
    """Returns answers with the letter in place of an option's number, unless an option is called so."""
    if not options or not all(answer.isdecimal() for answer in answers):
        return answers
    texts = {text.strip() for _, text in options}
    places = [int(answer) - first for answer in answers]
    if any(answer in texts for answer in answers) or not all(0 <= place < len(options) for place in places):
        return answers
    return tuple(options[place][0] for place in places)


def _nothing(cell: Json) -> bool:
    """Returns whether a cell says nothing, as MMBench's `nan`, which pandas made a text of, does."""
    return empty(cell) or cell == "nan"


def _coco(cell: Json, record: Mapping[str, Json]) -> Json:
    """Returns the name of a picture of COCO, COCO_val2014_000000000042.jpg, where the split is known; else the id."""
    split = record.get("data_subtype")
    if not split or not str(cell).isdigit():
        return cell
    # test-dev questions are about pictures of the whole test split.
    return f"COCO_{str(split).replace('test-dev', 'test')}_{int(cell):012d}.jpg"
