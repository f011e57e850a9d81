"""The formats of data sets by their shape: what tells each, its columns, its prompt and its scorer. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vqa.answers import Json
from vqa.errors import InputError
from vqa.evaluate.reading.cells import empty, literal
from vqa.evaluate.reading.columns import Field, plain

AS_IS = "{question}"
SHORT = "{question}\nAnswer the question using a single word or phrase."
YES_NO = "{question}\nAnswer yes or no."
LETTER = "{hint}\n{question}\n{options}\nAnswer with the option's letter from the given choices directly."


@dataclass(frozen=True)
class Shape:
    """The first records of a data set."""

    names: frozenset[str]
    """All their columns, in `columns.plain` spelling."""
    records: tuple[Mapping[str, Json], ...]
    ending: str = ""
    """Of the file, such as `.tsv`."""
    raw: frozenset[str] = frozenset()
    """The columns as they are spelt."""

    def has(self, *names: str) -> bool:
        """Returns whether all these columns are there."""
        return all(plain(name) in self.names for name in names)

    def any(self, *names: str) -> bool:
        """Returns whether one of these columns is there."""
        return any(plain(name) in self.names for name in names)

    def values(self, name: str) -> list[Json]:
        """Returns what stands in a column."""
        wanted = plain(name)
        cells = (value for record in self.records for key, value in record.items() if plain(str(key)) == wanted)
        return [value for value in cells if not empty(value)]


@dataclass(frozen=True)
class Format:
    """One format: `fits` tells it by its shape; `columns` are looked for before the general names."""

    name: str
    fits: Callable[[Shape], bool]
    scorer: str
    prompt: str = AS_IS
    columns: Mapping[Field, tuple[str, ...]] = field(default_factory=dict)
    talks: str = ""
    """The column of a conversation, where the question is in one."""
    referring: bool = False
    """Whether a short picture cell is the index of another row before it is a file's name."""


def _vqav2(shape: Shape) -> bool:
    if shape.has("multiple_choice_answer", "question"):
        return True
    other = shape.any("answer", "answers", "label", "image", "ocr_tokens", "options", "A", "docId", "image_path")
    return shape.has("image_id", "question", "question_id") and not other


def _textvqa(shape: Shape) -> bool:
    """With ten answers to a question, OK-VQA's and VizWiz's shape, too."""
    if shape.has("question", "answers") and shape.any("ocr_tokens", "image_classes"):
        return True
    cells = (literal(value) if isinstance(value, str) else value for value in _answers(shape))
    return shape.has("question") and any(isinstance(cell, list) and len(cell) == 10 for cell in cells)


HALVES = ("test_human", "test_augmented")
"""As VLMEvalKit calls ChartQA's."""


def _answers(shape: Shape) -> list[Json]:
    return shape.values("answers") or shape.values("answer")


def _chartqa(shape: Shape) -> bool:
    kinds = {str(value) for value in [*shape.values("type"), *shape.values("split")]}
    return (
        shape.has("imgname", "query")
        or shape.has("query", "human_or_machine")
        or shape.has("query", "label", "image")
        or bool(kinds & {"human_test", "augmented_test", "human_val", "augmented_val", *HALVES})
    )


def _pope(shape: Shape) -> bool:
    """POPE's own columns, or question and answer beside a category, as VLMEvalKit and lmms-eval write them."""
    if shape.has("text", "label", "image"):
        return _says(shape.values("label"), "yes", "no")
    return shape.has("question", "answer", "category") and _says(shape.values("answer"), "yes", "no")


def _yes_no(shape: Shape) -> bool:
    """Yes or no, where the questions themselves say so (MME), or answers of 1 and 0 do (HallusionBench)."""
    if shape.has("question", "gt_answer"):
        return _says(shape.values("gt_answer"), "0", "1")
    asked = [str(value).lower() for value in shape.values("question")]
    return _says(shape.values("answer"), "yes", "no") and all("yes or no" in text for text in asked)


def _says(values: list[Json], *words: str) -> bool:
    said = {str(value).strip().lower() for value in values}
    return bool(said) and said <= set(words)


def _evalscope(shape: Shape) -> bool:
    if not shape.has("messages"):
        return False
    talks = (literal(value) if isinstance(value, str) else value for value in shape.values("messages"))
    turns = [turn for talk in talks if isinstance(talk, list) for turn in talk if isinstance(turn, dict)]
    return shape.any("answer", "image_1") or any(isinstance(turn.get("content"), list) for turn in turns)


def _mmmu(shape: Shape) -> bool:
    return shape.has("question", "options") and shape.any("image_1", "img_type", "subfield")


def _general(_: Shape) -> bool:
    return True


FORMATS = (
    Format("vqav2", _vqav2, "vqa", SHORT, {"image": ("image", "image_id"), "kind": ("answer_type",)}),
    Format(
        "gqa",
        lambda shape: shape.any("fullAnswer", "isBalanced") or {"imageId", "question"} <= shape.raw,
        "normalized",
        SHORT,
        {"image": ("image", "imageId"), "answer": ("answer",), "kind": ("types",)},
    ),
    Format(
        "docvqa",
        lambda shape: {"questionId", "question"} <= shape.raw and shape.any("docId", "ucsf_document_id", "answers"),
        "anls",
        SHORT,
        {"image": ("image",), "answer": ("answers",), "kind": ("question_types",)},
    ),
    Format(
        "textvqa",
        _textvqa,
        "vqa",
        SHORT,
        {"image": ("image", "image_path", "image_id"), "answer": ("answers", "answer")},
    ),
    Format(
        "chartqa",
        _chartqa,
        "chartqa",
        SHORT,
        {"image": ("image", "imgname"), "question": ("query",), "kind": ("type", "human_or_machine", "split")},
    ),
    Format("llava", lambda shape: shape.has("conversations"), "normalized", talks="conversations"),
    Format("evalscope", _evalscope, "normalized", talks="messages"),
    Format("swift", lambda shape: shape.has("messages"), "normalized", talks="messages"),
    Format("mmmu", _mmmu, "choice", LETTER, {"answer": ("answer",), "kind": ("subfield", "question_type")}),
    Format(
        "mmbench",
        lambda shape: {"A", "B"} <= shape.raw and shape.has("question"),
        "choice",
        LETTER,
        {"image": ("image", "image_path"), "answer": ("answer",), "kind": ("category",), "id": ("index",)},
        referring=True,
    ),
    Format("yes-no", _yes_no, "pope", AS_IS, {"answer": ("gt_answer", "answer"), "kind": ("category",)}),
    Format(
        "pope",
        _pope,
        "pope",
        YES_NO,
        {"question": ("text", "question"), "answer": ("label", "answer"), "kind": ("category",)},
    ),
    Format(
        "easy-vqa",
        lambda shape: shape.names == {"question", "answer", "imageid"},
        "normalized",
        AS_IS,
    ),
    Format("table", _general, "normalized"),
)
"""In the order in which they are tried; `table` takes everything that has a question."""
ALIASES = {"ms-swift": "swift", "llama-factory": "swift", "llamafactory": "swift", "easyvqa": "easy-vqa",
           "general": "table", "csv": "table", "tsv": "table", "jsonl": "table", "sharegpt": "llava"}  # fmt: skip


def find_format(shape: Shape, forced: str | None = None) -> Format:
    """Returns the format that a shape has, or the one that a user named.

    Raises:
        InputError: there is none of that name.
    """
    if forced:
        name = ALIASES.get(forced.lower(), forced.lower())
        for each in FORMATS:
            if each.name == name:
                return each
        raise InputError("choice_invalid", name="--format", value=forced, known=", ".join(f.name for f in FORMATS))
    return next(each for each in FORMATS if each.fits(shape))
