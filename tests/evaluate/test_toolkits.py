"""The variants of columns that VLMEvalKit, lmms-eval and EvalScope write are told by their shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.evaluate import made
from tests.evaluate.test_formats import colours, read
from vqa.evaluate.reading import FORMATS, Row, open_dataset
from vqa.evaluate.scoring import Target, default_scorer

YES_AND_NO = [("Is there a dog?", "Yes"), ("Is there a cat?", "No")]


def test_yes_and_no_as_the_toolkits_write_them(tmp_path: Path) -> None:
    """POPE by VLMEvalKit (a picture once, then its row's index) and by lmms-eval; MME; HallusionBench's 1 and 0."""
    given = [
        {"index": n, "image": made.b64() if n == 0 else "0", "question": text, "answer": said, "category": "random"}
        for n, (text, said) in enumerate(YES_AND_NO)
    ]
    pope = open_dataset(made.table(tmp_path / "POPE.tsv", given))
    rows = [row for row in pope.rows() if isinstance(row, Row)]
    assert (pope.format.name, [row.answers for row in rows]) == ("pope", [("Yes",), ("No",)])
    assert [colours(row) for row in rows] == [["red"], ["red"]]
    assert pope.text_of(rows[0]) == "Is there a dog?\nAnswer yes or no."
    picture = {"bytes": made.png(), "path": None}
    lmms = [
        {"id": str(n), "question_id": str(n), "question": text, "answer": said.lower(), "image_source": "COCO_1",
         "image": picture, "category": "popular"}
        for n, (text, said) in enumerate(YES_AND_NO)
    ]  # fmt: skip
    assert read(made.parquet(tmp_path / "test.parquet", lmms))[0] == "pope"
    asks = [each | {"question": each["question"] + " Please answer yes or no."} for each in given]
    mme = open_dataset(made.table(tmp_path / "MME.tsv", asks))
    assert (mme.format.name, mme.prompt) == ("yes-no", "{question}")
    numbered = [{"question": "Is it?", "gt_answer": str(n), "image": picture, "category": "VD"} for n in (1, 0)]
    form, rows = read(made.parquet(tmp_path / "hallusion.parquet", numbered))
    scorer = default_scorer(next(each for each in FORMATS if each.name == form), rows)
    scores = [scorer.score(said, Target(row.answers)) for said, row in zip(("Yes.", "no"), rows, strict=True)]
    assert [score.value for score in scores] == [1, 1]


def test_options_as_the_toolkits_write_them(tmp_path: Path) -> None:
    """SEED-Bench's choice_a, AI2D's numbers from 0, numbers from 1, MMVP's line of options, MMBench's 'nan'."""
    seed = {"image": made.b64(), "question": "Which?", "choice_a": "cat", "choice_b": "dog", "answer": "B"}
    dataset = open_dataset(made.lines(tmp_path / "seed.jsonl", [seed]))
    (row,) = dataset.rows()
    assert isinstance(row, Row)
    assert row.options == (("A", "cat"), ("B", "dog"))
    assert dataset.text_of(row).startswith("Which?\nA. cat\nB. dog\nAnswer with the option's letter")

    def answers(*given: Any) -> list[tuple[str, ...]]:
        asked = {"image": made.b64(), "question": "?", "options": ["cat", "dog", "cow"]}
        records = [asked | {"answer": each} for each in given]
        return [row.answers for row in read(made.lines(tmp_path / "rows.jsonl", records))[1]]

    assert answers(0, 2) == [("A",), ("C",)]
    assert answers("1", "2") == [("B",), ("C",)]
    assert answers(1, 3) == [("A",), ("C",)]
    assert answers("dog", "B") == [("dog",), ("B",)]
    line = {"image": made.b64(), "Question": "Open?", "Options": "(a) Open (b) Closed", "Correct Answer": "(a)"}
    _, (row,) = read(made.table(tmp_path / "mmvp.csv", [line]))
    assert (row.options, row.answers) == ((("A", "Open"), ("B", "Closed")), ("(a)",))
    bench = {"index": 1, "question": "?", "hint": "nan", "A": "x", "B": "y", "C": "nan", "answer": "A"}
    bench["image"] = made.b64()
    _, (row,) = read(made.table(tmp_path / "bench.tsv", [bench]))
    assert (row.options, row.hint) == ((("A", "x"), ("B", "y")), "")


def test_a_letter_is_expected_where_the_options_stand_in_the_question(tmp_path: Path) -> None:
    """MMStar and RealWorldQA as lmms-eval keeps them."""
    text = "Which?\nOptions: A: one, B: two"
    form, rows = read(made.lines(tmp_path / "star.jsonl", [{"image": made.b64(), "question": text, "answer": "B"}]))
    scorer = default_scorer(next(each for each in FORMATS if each.name == form), rows)
    said = ("B", "(B) two", "The answer is B.", "A: one", "neither")
    scores = [scorer.score(each, Target(rows[0].answers)) for each in said]
    assert [(score.value, score.unparsed) for score in scores] == [(1, False)] * 3 + [(0, False), (0, True)]


def test_a_row_without_options_is_not_asked_for_a_letter(tmp_path: Path) -> None:
    record = {"id": "1", "question": "How many <image 1>?", "options": "[]", "image_1": made.b64(), "answer": "3"}
    other = record | {"options": "['2', '3']", "answer": "B"}
    dataset = open_dataset(made.table(tmp_path / "mmmu.csv", [record, other]))
    first, second = (dataset.text_of(row) for row in dataset.rows() if isinstance(row, Row))
    assert "letter" not in first
    assert "letter" in second


def test_ten_answers_of_a_list_and_a_picture_beside_its_path(tmp_path: Path) -> None:
    """TextVQA by VLMEvalKit, ChartQA's halves, MathVista's decoded_image, EvalScope's column of messages."""
    ten = {"index": 1, "image": made.b64(), "question": "Brand?", "answer": str(["a"] * 9 + ["b"])}
    form, (row,) = read(made.table(tmp_path / "TextVQA_VAL.tsv", [ten]))
    assert (form, len(row.answers)) == ("textvqa", 10)
    chart = {"index": 1, "image": made.b64(), "question": "How many?", "answer": "14", "split": "test_human"}
    assert read(made.table(tmp_path / "ChartQA_TEST.tsv", [chart]))[0] == "chartqa"
    picture = {"bytes": made.png(), "path": None}
    vista = {"pid": "1", "question": "?", "image": "images/1.jpg", "decoded_image": picture, "answer": "3"}
    assert colours(read(made.parquet(tmp_path / "vista.parquet", [vista]))[1][0]) == ["red"]
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + made.b64()}}
    said = [{"role": "user", "content": [{"type": "text", "text": "What?"}, part]}]
    dataset = open_dataset(made.lines(tmp_path / "scope.jsonl", [{"messages": said, "answer": "red"}]))
    assert (dataset.columns.found["question"], dataset.columns.unknown) == ("messages", ())
