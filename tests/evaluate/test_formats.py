"""Each format is told by its shape, and its questions, pictures, answers and options are read from the right fields."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.evaluate import made
from vqa.errors import InputError
from vqa.evaluate.reading import BadRow, Row, open_dataset
from vqa.evaluate.reading.pictures import load_local
from vqa.media.images import ImageLimits


def read(path: Path, **options: Any) -> tuple[str, list[Row]]:
    dataset = open_dataset(path, **options)
    rows = list(dataset.rows())
    bad = [f"{row.number}: {row.error}" for row in rows if isinstance(row, BadRow)]
    assert not bad
    return dataset.format.name, [row for row in rows if isinstance(row, Row)]


def colours(row: Row) -> list[str]:
    """The pictures of a row by their colour, loaded as they are sent."""
    found = []
    for source in row.pictures:
        pixel = load_local(source, ImageLimits()).picture().convert("RGB").getpixel((5, 5))
        found.append(next(name for name, value in made.COLOURS.items() if value == pixel))
    return found


def vqav2(folder: Path) -> tuple[Path, Path]:
    asked = [{"image_id": 42, "question": "Is it red?", "question_id": 42000}]
    said = [{"answer": "yes", "answer_confidence": "yes", "answer_id": n} for n in range(1, 10)]
    answers = [*said, {"answer": "no", "answer_confidence": "maybe", "answer_id": 10}]
    noted = {"question_type": "is it", "answer_type": "yes/no", "multiple_choice_answer": "yes", "answers": answers}
    noted |= {"image_id": 42, "question_id": 42000}
    questions = folder / "v2_OpenEnded_mscoco_val2014_questions.json"
    made.document(questions, {"data_subtype": "val2014", "questions": asked})
    return questions, made.document(folder / "v2_mscoco_val2014_annotations.json", {"annotations": [noted]})


@pytest.mark.parametrize("name", ["COCO_val2014_000000000042.jpg", "000000000042.jpg", "42.png"])
def test_vqav2_joins_its_two_files_and_finds_coco_pictures(name: str, tmp_path: Path) -> None:
    questions, _ = vqav2(tmp_path)
    made.put(tmp_path / "val2014", name)
    made.put(tmp_path / "val2014", "COCO_val2014_000000000142.jpg", colour="blue")
    form, (row,) = read(questions, images=(tmp_path / "val2014",))
    assert form == "vqav2"
    assert (row.question, row.kind, row.id) == ("Is it red?", "yes/no", "42000")
    assert sorted(row.answers) == ["no", *["yes"] * 9]
    assert colours(row) == ["red"]


def test_vqav2_takes_annotations_that_lie_elsewhere(tmp_path: Path) -> None:
    questions, annotations = vqav2(tmp_path)
    annotations = annotations.rename(tmp_path / "other.json")
    made.put(tmp_path, "42.jpg")
    assert len(read(questions, annotations=annotations)[1][0].answers) == 10
    assert read(questions)[1][0].answers == ()


def test_textvqa_as_lines_and_as_its_own_file(tmp_path: Path) -> None:
    record = {"image_id": "0a1", "question_id": 7, "question": "What does it say?", "ocr_tokens": ["STOP"]}
    record |= {"image_classes": ["Sign"], "answers": ["stop"] * 9 + ["shop"], "set_name": "val"}
    made.put(tmp_path / "images", "0a1.jpg")
    for path in (
        made.lines(tmp_path / "a.jsonl", [record]),
        made.document(tmp_path / "TextVQA_val.json", {"dataset_name": "textvqa", "data": [record]}),
    ):
        form, (row,) = read(path)
        assert (form, row.question, len(row.answers), colours(row)) == ("textvqa", "What does it say?", 10, ["red"])


def test_ten_empty_answers_are_no_answers(tmp_path: Path) -> None:
    made.put(tmp_path, "a.png")
    record = {"image_id": "a", "question_id": 1, "question": "What?", "answers": [""] * 10, "ocr_tokens": []}
    form, (row,) = read(made.lines(tmp_path / "a.jsonl", [record]))
    assert (form, row.answers) == ("textvqa", ())


def test_gqa_joins_instructions_and_pictures(tmp_path: Path) -> None:
    asked = {"id": "q1", "imageId": "n7", "question": "What color?", "answer": "red", "fullAnswer": "It is red."}
    asked |= {"isBalanced": True, "groups": {"global": "color"}, "types": {"structural": "query", "semantic": "attr"}}
    shard = "testdev-00000-of-00001.parquet"
    path = made.parquet(tmp_path / "testdev_balanced_instructions" / shard, [asked])
    pictures = [
        {"id": f"n{n}", "image": {"bytes": made.png("red" if n == 7 else "blue"), "path": f"{n}.jpg"}}
        for n in range(40)
    ]
    made.parquet(tmp_path / "testdev_balanced_images" / shard, pictures)
    for place in (path, tmp_path):
        form, (row,) = read(place)
        assert (form, row.answers, row.kind, colours(row)) == ("gqa", ("red",), "query", ["red"])


def test_gqa_as_one_object_by_id(tmp_path: Path) -> None:
    made.put(tmp_path / "images", "2405.jpg")
    record = {"imageId": "2405", "question": "Is it red?", "answer": "yes", "fullAnswer": "Yes.", "isBalanced": True}
    form, (row, _) = read(made.document(tmp_path / "testdev.json", {"0211": record, "0212": record}))
    assert (form, row.id, row.answers, colours(row)) == ("gqa", "0211", ("yes",), ["red"])


def test_docvqa(tmp_path: Path) -> None:
    record = {
        "questionId": "9",
        "question": "Date?",
        "question_types": ["form", "table"],
        "docId": 3,
        "answers": ["1 May"],
    }
    record |= {"image": {"bytes": made.png(), "path": None}, "data_split": "val", "ucsf_document_id": "x"}
    form, (row,) = read(made.parquet(tmp_path / "val.parquet", [record]))
    assert (form, row.answers, row.kind, colours(row)) == ("docvqa", ("1 May",), "form", ["red"])
    form, (row,) = read(made.parquet(tmp_path / "test.parquet", [{**record, "answers": None}]))
    assert (form, row.answers) == ("docvqa", ())


@pytest.mark.parametrize(
    "record",
    [
        {"imgname": "a.png", "query": "How many?", "label": "14", "type": "human"},
        {"image": "a.png", "query": "How many?", "label": ["14"], "human_or_machine": 0},
        {"type": "human_test", "question": "How many?", "answer": "14", "image": "a.png"},
    ],
)
def test_chartqa_in_its_three_spellings(record: dict[str, Any], tmp_path: Path) -> None:
    made.put(tmp_path / "png", "a.png")
    made.put(tmp_path, "a.png")
    form, (row,) = read(made.document(tmp_path / "test.json", [record]))
    assert (form, row.question, row.answers, colours(row)) == ("chartqa", "How many?", ("14",), ["red"])


def test_mmbench_takes_pictures_from_other_rows_and_as_many_options_as_there_are(tmp_path: Path) -> None:
    option = dict.fromkeys("ABCDE", "")
    base = {
        "question": "Which?",
        "hint": "",
        **option,
        "answer": "B",
        "category": "logic",
        "l2-category": "x",
        "split": "dev",
    }
    rows = [
        {"index": 0, "image": 2, **base, "A": "cat", "B": "dog"},
        {"index": 1, "image": made.b64("blue"), **base, "A": "1", "B": "2", "C": "3", "D": "4", "E": "5"},
        {"index": 2, "image": made.b64(), **base, "hint": "Look.", "A": "x", "B": "y", "C": "nan"},
        {"index": 3, "image": str([made.b64("green"), made.b64("black")]), **base, "A": "x", "B": "y"},
    ]
    form, found = read(made.table(tmp_path / "MMBench.tsv", rows))
    assert form == "mmbench"
    assert [colours(row) for row in found] == [["red"], ["blue"], ["red"], ["green", "black"]]
    assert [name for name, _ in found[1].options] == ["A", "B", "C", "D", "E"]
    assert found[0].options == (("A", "cat"), ("B", "dog"))
    assert (found[2].hint, found[0].kind, found[0].answers) == ("Look.", "logic", ("B",))


def test_fields_far_beyond_the_usual_limit(tmp_path: Path) -> None:
    out = base64.b64encode(made.png() + bytes(300_000)).decode()
    rows = [{"index": 0, "image": out, "question": "?" * 300_000, "A": "1", "B": "2", "answer": "A"}]
    form, (row,) = read(made.table(tmp_path / "long.tsv", rows))
    assert (form, len(row.question)) == ("mmbench", 300_000)


def test_mmmu_puts_pictures_where_their_marks_are(tmp_path: Path) -> None:
    record = {f"image_{n}": None for n in range(1, 8)} | {
        "id": "v_1", "question": "Is <image 1> like <image 3>?",
        "options": "['yes, <image 3>', \"don't\"]", "answer": "A",
        "image_1": {"bytes": made.png(), "path": "1.png"}, "image_3": {"bytes": made.png("blue"), "path": "3.png"},
        "img_type": "['Plots']", "question_type": "multiple-choice", "subfield": "Art",
    }  # fmt: skip
    form, (row,) = read(made.parquet(tmp_path / "val.parquet", [record]))
    assert (form, row.question, row.placed) == ("mmmu", "Is <image 1> like <image 2>?", True)
    assert row.options == (("A", "yes, <image 2>"), ("B", "don't"))
    assert (row.kind, colours(row)) == ("Art", ["red", "blue"])


def test_options_are_never_evaluated(tmp_path: Path) -> None:
    made.put(tmp_path, "a.png")
    told = "[__import__('pathlib').Path('ran').touch(), 'b']"
    record = {"image_1": "a.png", "question": "?", "options": told, "answer": "A"}
    open_dataset(made.lines(tmp_path / "a.jsonl", [record])).rows().__next__()
    assert not Path("ran").exists()


def test_llava_asks_the_last_turn_with_those_before_it(tmp_path: Path) -> None:
    made.put(tmp_path, "a.png")
    talk = [("human", "<image>\nWhat is it?"), ("gpt", "A square."), ("human", "Which color?"), ("gpt", "red")]
    record = {"id": "7", "image": "a.png", "conversations": [{"from": who, "value": said} for who, said in talk]}
    form, (row,) = read(made.document(tmp_path / "llava.json", [record]))
    assert (form, row.question, row.answers) == ("llava", "Which color?", ("red",))
    assert row.history == (("user", "<image 1>\nWhat is it?"), ("assistant", "A square."))
    assert colours(row) == ["red"]


@pytest.mark.parametrize("images", [["a.png", "b.png"], [{"path": "a.png", "bytes": None}, {"path": "b.png"}]])
def test_swift_and_llama_factory(images: list[Any], tmp_path: Path) -> None:
    made.put(tmp_path, "a.png")
    made.put(tmp_path, "b.png", colour="blue")
    record = {
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "<image><image>Same?"},
            {"role": "assistant", "content": "no"},
        ],
        "images": images,
    }
    form, (row,) = read(made.lines(tmp_path / "swift.jsonl", [record]))
    assert (form, row.system, row.question, row.answers) == ("swift", "Be short.", "<image 1><image 2>Same?", ("no",))
    assert colours(row) == ["red", "blue"]


def test_evalscope_with_parts_and_with_columns(tmp_path: Path) -> None:
    made.put(tmp_path, "a.png")
    parts = [
        {"type": "text", "text": "Colour?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{made.b64('blue')}"}},
    ]
    records = [{"messages": [{"role": "user", "content": parts}], "answer": "blue"}]
    form, (row,) = read(made.lines(tmp_path / "a.jsonl", records))
    assert (form, row.question, row.answers, colours(row)) == ("evalscope", "Colour?\n<image 1>", ("blue",), ["blue"])
    record = {
        "messages": json.dumps([{"role": "user", "content": "<image 1> Colour?"}]),
        "image_1": "a.png",
        "answer": "red",
    }
    form, (row,) = read(made.table(tmp_path / "a.tsv", [record]))
    assert (form, row.question, row.answers, colours(row)) == ("evalscope", "<image 1> Colour?", ("red",), ["red"])


def test_pope_is_lines_although_named_json(tmp_path: Path) -> None:
    made.put(tmp_path, "COCO_val2014_000000000042.jpg")
    record = {"question_id": 1, "image": "COCO_val2014_000000000042.jpg", "text": "Is there a cat?", "label": "no"}
    form, rows = read(made.lines(tmp_path / "coco_pope_random.json", [record, {**record, "question_id": 2}]))
    assert (form, len(rows), rows[0].question, rows[0].answers) == ("pope", 2, "Is there a cat?", ("no",))
    assert read(made.lines(tmp_path / "one.json", [record]))[0] == "pope"


def test_easy_vqa(tmp_path: Path) -> None:
    made.put(tmp_path / "images", "0.png")
    made.document(tmp_path / "questions.json", [["what is the red shape?", "triangle", 0]])
    for place in (tmp_path / "questions.json", tmp_path):
        form, (row,) = read(place)
        assert (form, row.question, row.answers, colours(row)) == (
            "easy-vqa",
            "what is the red shape?",
            ("triangle",),
            ["red"],
        )


@pytest.mark.parametrize("image", ["a.png", "./a.png", "sub\\a.png", "data", "base64", "struct", "list"])
def test_pictures_in_all_their_shapes(image: str, tmp_path: Path) -> None:
    made.put(tmp_path, "a.png", "sub/a.png")
    cell: Any = {
        "data": f"data:image/png;base64,{made.b64()}",
        "base64": made.b64(),
        "struct": {"bytes": made.png(), "path": None},
        "list": [{"bytes": made.png(), "path": None}],
    }.get(image, image)
    record = {"image": cell, "question": "What?", "answer": "red"}
    path = tmp_path / "rows.parquet"
    made.parquet(path, [record])
    form, (row,) = read(path)
    assert (form, colours(row)) == ("table", ["red"])


@pytest.mark.parametrize(
    ("name", "encoding"), [("a.csv", "gbk"), ("a.tsv", "gb18030"), ("a.csv", "utf-8-sig"), ("a.csv", "utf-16")]
)
def test_chinese_headers_in_the_encodings_of_chinese_tables(name: str, encoding: str, tmp_path: Path) -> None:
    made.put(tmp_path, "图.png")
    record = {"图片": "图.png", "问题": "这是什么颜色？", "答案": "红色", "类型": "颜色"}
    path = made.table(tmp_path / name, [record], encoding)
    form, (row,) = read(path)
    assert (form, row.question, row.answers, row.kind) == ("table", "这是什么颜色？", ("红色",), "颜色")
    assert open_dataset(path).encoding in {encoding, "gb18030"}


def test_bytes_that_are_no_chinese_are_refused_rather_than_guessed(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("image,question,answer\na.png,Où est le café très élégant à Besançon ?,ici\n".encode("latin-1"))
    with pytest.raises(InputError) as raised:
        open_dataset(path)
    assert raised.value.code == "dataset_encoding"
    made.put(tmp_path, "a.png")
    assert "café" in read(path, encoding="latin-1")[1][0].question


def test_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    made.put(tmp_path, "a.png")
    told = "one\u2028two\x85three"
    for path in (
        made.lines(tmp_path / "a.jsonl", [{"image": "a.png", "question": told, "answer": "x"}]),
        made.table(tmp_path / "a.csv", [{"image": "a.png", "question": told, "answer": "x"}]),
    ):
        assert read(path)[1][0].question == told


def test_a_zip_is_read_in_place(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("set/rows.jsonl", json.dumps({"image": "pics/a.png", "question": "?", "answer": "red"}))
        archive.writestr("set/pics/a.png", made.png())
    form, (row,) = read(path)
    assert (form, colours(row)) == ("table", ["red"])


def test_a_folder_of_pictures_with_a_table(tmp_path: Path) -> None:
    made.put(tmp_path, "a.png")
    made.table(tmp_path / "metadata.csv", [{"file_name": "a.png", "question": "?", "answer": "red"}])
    form, (row,) = read(tmp_path)
    assert (form, colours(row)) == ("table", ["red"])


def test_several_tables_in_a_folder_are_named_rather_than_guessed(tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        made.table(tmp_path / name, [{"image": "a.png", "question": "?", "answer": "red"}])
    with pytest.raises(InputError, match=r"one\.csv, two\.csv"):
        open_dataset(tmp_path)


def test_unknown_columns_are_shown_and_can_be_mapped(tmp_path: Path) -> None:
    made.put(tmp_path, "a.png")
    path = made.table(tmp_path / "a.csv", [{"foto": "a.png", "q": "What?", "antwort": "red"}])
    with pytest.raises(InputError, match="foto, q, antwort"):
        open_dataset(path)
    dataset = open_dataset(path, columns={"image": "foto", "question": "q", "answer": "antwort"})
    (row,) = dataset.rows()
    assert isinstance(row, Row)
    assert (row.question, row.answers, colours(row)) == ("What?", ("red",), ["red"])


def test_a_column_that_may_hold_pictures_is_not_left_out_in_silence(tmp_path: Path) -> None:
    path = made.table(tmp_path / "a.csv", [{"foto": "a.png", "question": "What?", "answer": "red"}])
    with pytest.raises(InputError) as raised:
        open_dataset(path)
    assert raised.value.code == "dataset_no_column"
    assert len(list(open_dataset(path, columns={"image": ""}).rows())) == 1


def test_bad_rows_are_named_by_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    made.put(tmp_path, "a.png")
    good = json.dumps({"image": "a.png", "question": "What?", "answer": "red"})
    texts = [good, "", "{broken", "[1]", json.dumps({"image": "gone.png", "question": "What?"}),
             json.dumps({"image": "a.png", "question": " "}), json.dumps({"image": "", "question": "What?"}),
             json.dumps({"image": "a.png", "question": "What is <image 2>?"}), good]  # fmt: skip
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(texts))
    rows = list(open_dataset(path).rows())
    assert [row.place for row in rows] == list(range(8))
    bad = {row.number: row.error.code for row in rows if isinstance(row, BadRow)}
    assert bad == {
        3: "row_broken",
        4: "row_no_object",
        5: "image_missing",
        6: "row_no_question",
        7: "row_no_image",
        8: "row_mark",
    }
    assert [row.number for row in rows if isinstance(row, Row)] == [1, 9]


def test_a_row_of_a_table_is_named_by_the_line_where_it_begins(tmp_path: Path) -> None:
    made.put(tmp_path, "a.png")
    path = tmp_path / "a.csv"
    path.write_text('image,question,answer\na.png,"two\nlines",x\ngone.png,What?,x\na.png,too,many,fields\n')
    rows = list(open_dataset(path).rows())
    assert [(row.number, isinstance(row, BadRow)) for row in rows] == [(2, False), (4, True), (5, True)]


def test_a_data_set_from_elsewhere_reads_no_file_outside_its_folder(tmp_path: Path) -> None:
    made.put(tmp_path, "secret.png")
    (tmp_path / "set").mkdir()
    for name in ("../secret.png", str(tmp_path / "secret.png")):
        path = made.lines(tmp_path / "set" / "a.jsonl", [{"image": name, "question": "What?"}])
        (row,) = open_dataset(path, confined=True).rows()
        assert isinstance(row, BadRow)
        assert len(read(path)[1]) == 1


def test_a_large_json_file_is_streamed_with_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made.put(tmp_path, "1.png")
    records = [{"image_id": 1, "question": f"What {n}?", "question_id": n} for n in range(50)]
    shapes = [records, {"info": {"a": 1}, "data_subtype": "val2014", "questions": records},
              {str(n): {"imageId": "1", **record} for n, record in enumerate(records)}]  # fmt: skip
    for number, shape in enumerate(shapes):
        path = made.document(tmp_path / f"{number}.json", shape)
        whole = read(path, format="table", columns={"image": "imageId"} if number == 2 else None)
        with monkeypatch.context() as patch:
            patch.setattr("vqa.evaluate.reading.records.WHOLE", 100)
            assert read(path, format="table", columns={"image": "imageId"} if number == 2 else None) == whole
        assert len(whole[1]) == 50


def test_a_forced_format_is_taken_and_an_unknown_one_named(tmp_path: Path) -> None:
    made.put(tmp_path, "a.png")
    path = made.lines(tmp_path / "a.jsonl", [{"image": "a.png", "text": "Is it?", "label": "yes"}])
    assert read(path)[0] == "pope"
    assert read(path, format="table")[0] == "table"
    with pytest.raises(InputError, match="--format"):
        open_dataset(path, format="no-such")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the most memory that a process held")
def test_many_rows_and_large_pictures_are_read_in_flat_memory(tmp_path: Path) -> None:
    """As a process of its own, since others' memory would count; `ru_maxrss` is handed down and tells nothing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "large.parquet"
    chance = random.Random(1)
    rows = [
        {"image": {"bytes": made.png() + chance.randbytes(250_000)}, "question": "?", "answer": "x"} for _ in range(160)
    ]
    # As pyarrow writes by itself: packed, with a dictionary, which together take three times their size to read whole.
    pq.write_table(pa.Table.from_pylist(rows), path)
    many = tmp_path / "many.jsonl"
    made.put(tmp_path, "a.png")
    many.write_text('{"image": "a.png", "question": "What?", "answer": "x"}\n' * 20_000)
    program = (
        "import re, sys, pathlib\n"
        "import pyarrow.parquet\n"
        "from vqa.evaluate.reading import open_dataset\n"
        "list_of = lambda path: sum(1 for _ in open_dataset(pathlib.Path(path)).rows())\n"
        "def most(): return int(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1])\n"
        "before = most()\n"
        "counts = [list_of(path) for path in sys.argv[1:]]\n"
        "print(*counts, most() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path, many], capture_output=True, text=True, check=True)
    rows, lines, kilobytes = map(int, done.stdout.split())
    assert (rows, lines) == (160, 20_000)
    assert path.stat().st_size > 40_000_000
    assert kilobytes < 60_000, "the file's one page of 40 MB was held in memory"


def test_rows_are_counted_without_reading_pictures(tmp_path: Path) -> None:
    path = made.parquet(tmp_path / "rows.parquet", [{"image": made.png() + bytes(9000), "question": "?"}] * 60)
    dataset = open_dataset(path)
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(len(data) // 2) + data[len(data) // 2 + 4 :])  # not its end
    assert (dataset.count(), dataset.count(7)) == (60, 7)
    with pytest.raises(InputError):
        list(dataset.records())
    lines = open_dataset(made.lines(tmp_path / "rows.jsonl", [{"question": "?"}] * 30))
    assert (lines.count(), lines.count(7)) == (30, 7)
