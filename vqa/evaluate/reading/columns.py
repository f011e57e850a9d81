"""Which column holds the picture, the question, the answer: by the names that data sets give them, in two languages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from vqa.errors import InputError

Field = Literal["image", "question", "answer", "options", "kind", "id", "hint", "system"]
FIELDS: tuple[Field, ...] = get_args(Field)
NUMBERED = re.compile(r"(?:image|img|图片|图像)[_ -]?(\d+)", re.IGNORECASE)
NAMES: Mapping[Field, tuple[str, ...]] = {
    "image": (
        *(
            "decoded_image",
            "image",
            "images",
            "image_path",
            "img_path",
            "image_file",
            "image_filename",
            "image_name",
            "file_name",
        ),
        *("filename", "img", "imgs", "imgname", "img_name", "imgpath", "picture", "pictures", "photo", "photos", "pic"),
        *("image_url", "img_url", "image_urls", "image_link", "path", "file", "url", "image_id"),
        *("imageid", "img_id", "图片", "图像", "图片路径", "图像路径", "图片地址", "图片链接", "图", "照片", "图片名"),
    ),
    "question": (
        *("question", "query", "prompt", "questions", "text", "instruction", "input", "问题", "提问", "题目", "问句"),
        *("题干", "问"),
    ),
    "answer": (
        *("answers", "answer", "label", "labels", "gt_answer", "gt_answers", "target", "targets", "ground_truth"),
        *("groundtruth", "gt", "reference", "references", "expected", "solution", "output", "response"),
        *("multiple_choice_answer", "correct_answer", "答案", "标准答案", "正确答案", "参考答案", "标签", "回答", "答"),
    ),
    "options": ("options", "choices", "candidates", "选项", "候选项"),
    "kind": (
        *("type", "kind", "answer_type", "question_type", "question_types", "category", "task", "subfield", "类型"),
        *("类别", "题型", "分类"),
    ),
    "id": ("question_id", "questionid", "id", "index", "qid", "uid", "idx", "编号", "序号", "题号"),
    "hint": ("hint", "context", "提示", "背景"),
    "system": ("system", "system_prompt", "系统提示"),
}
LETTERS = re.compile(r"(?:[Cc]hoice[_ ]?|[Oo]ption[_ ]?)?([A-Z])|(?:choice|option)_([a-z])")
"""Columns of options: A, or choice_a as SEED-Bench calls it."""


@dataclass(frozen=True)
class Columns:
    """The column of each field, and the columns that nothing is read from."""

    found: Mapping[Field, str]
    pictures: tuple[str, ...] = ()
    """Several columns of pictures, image_1 …, in order; empty where `found` names the one."""
    letters: tuple[str, ...] = ()
    """The columns A, B, … of options, or choice_a, choice_b, …, in order."""
    unknown: tuple[str, ...] = ()

    def shown(self) -> dict[str, str]:
        """Returns field and column for a reader."""
        several = {"image": ", ".join(self.pictures)} if self.pictures else {}
        letters = {"options": ", ".join(self.letters)} if self.letters else {}
        return dict(self.found.items()) | several | letters


def letter_of(name: str) -> str:
    """Returns the letter of the option that a column holds; empty for one that holds none."""
    mark = LETTERS.fullmatch(name)
    return str(mark[1] or mark[2]).upper() if mark else ""


def plain(name: str) -> str:
    """Returns a column's name without case, blanks and underscores."""
    return re.sub(r"[\s_\-.]+", "", name.strip().casefold())


def find_columns(
    names: Iterable[str],
    wanted: Mapping[str, str] | None = None,
    first: Mapping[Field, tuple[str, ...]] | None = None,
    talks: str = "",
) -> Columns:
    """Returns the columns of a table; `wanted` are those that a user named, `first` the ones of a known format.

    `talks` is the column of a conversation, which holds the question.

    Raises:
        InputError: a field or a column that a user named does not exist.
    """
    names = list(dict.fromkeys(names))
    by_plain = {plain(name): name for name in reversed(names)}
    found: dict[Field, str] = {}
    taken: set[str] = set()
    wanted = dict(wanted or {})
    for field, column in wanted.items():
        if field not in FIELDS:
            raise InputError("choice_invalid", name="--columns", value=field, known=", ".join(FIELDS))
        if column and column not in names:
            raise InputError("dataset_column", column=column, known=", ".join(names))
        if column:
            found[field] = column
            taken.add(column)
    letters = tuple(name for name in sorted(names, key=letter_of) if letter_of(name) and name not in taken)
    letters = letters if len(letters) > 1 and letter_of(letters[0]) == "A" else ()
    taken.update(letters)
    numbered = sorted((int(mark[1]), name) for name in names if (mark := NUMBERED.fullmatch(name)))
    pictures = () if "image" in wanted else tuple(name for _, name in numbered)
    taken.update(pictures)
    for field in FIELDS:
        if field in wanted or (field == "image" and pictures) or (field == "options" and letters):
            continue
        for candidate in (*(first or {}).get(field, ()), *NAMES[field]):
            name = by_plain.get(plain(candidate))
            if name is not None and name not in taken:
                found[field] = name
                taken.add(name)
                break
    talk = next((name for name in names if talks and name.lower() == talks), "")
    if talk and "question" not in found:
        found["question"] = talk
        taken.add(talk)
    return Columns(found, pictures, letters, tuple(name for name in names if name not in taken))


def parse_columns(text: str) -> dict[str, str]:
    """Returns field and column of `image=photo,question=q`; an empty column means that there is none.

    Raises:
        InputError: it is written otherwise.
    """
    pairs = {}
    for part in filter(None, (part.strip() for part in text.replace("，", ",").split(","))):
        field, sign, column = part.partition("=")
        if not sign:
            raise InputError("choice_invalid", name="--columns", value=part, known="image=…,question=…,answer=…")
        pairs[field.strip()] = column.strip()
    return pairs
