"""Streams the records of a CSV, TSV, JSONL or JSON file one by one, whatever its size. Knows no format of data set."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import IO

from vqa.answers import Json
from vqa.errors import InputError
from vqa.evaluate.reading.values import RowError

Record = tuple[int, Mapping[str, Json] | RowError]
"""Number of the line where a record begins (of the record in JSON), and its fields or why there are none."""
LISTS = ("questions", "data", "rows", "examples", "items", "records", "annotations", "test", "validation", "train")
"""Names under which a JSON object holds its records."""
WHOLE = 16_000_000
"""Bytes up to which a JSON file is read at once, which tells a fault with its line."""
FIELD_LIMIT = 2**31 - 1
DELIMITERS = ",;\t|"
HEAD = 1 << 16


def table_records(file: IO[bytes], encoding: str, delimiter: str | None) -> Iterator[Record]:
    r"""Yields the rows of a CSV or TSV file; lines end at \n only, fields are of any length.

    Raises:
        InputError: there is no header.
    """
    csv.field_size_limit(FIELD_LIMIT)
    text = io.TextIOWrapper(file, encoding=encoding, newline="\n")
    reader = csv.reader(text, delimiter=delimiter or _delimiter(file, encoding))
    names: list[str] | None = None
    while True:
        number = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as problem:
            yield number, RowError("row_broken", reason=str(problem))
            continue
        if not any(field.strip() for field in fields):
            continue
        if names is None:
            names = [name.strip() for name in fields]
            continue
        if len(fields) > len(names) and any(fields[len(names) :]):
            yield number, RowError("row_width", fields=len(fields), columns=len(names))
        else:
            yield number, dict(zip(names, fields, strict=False))
    text.detach()


def _delimiter(file: IO[bytes], encoding: str) -> str:
    """Returns the delimiter that the header uses most."""
    header = file.read(HEAD).decode(encoding, errors="ignore").partition("\n")[0]
    file.seek(0)
    return max(DELIMITERS, key=header.count)


def line_records(file: IO[bytes], encoding: str) -> Iterator[Record]:
    r"""Yields the objects of a JSONL file; lines end at \n only, so U+2028 within a text ends none."""
    lines: Iterator[str | bytes] = iter(file)
    if encoding.startswith("utf-16"):
        lines = io.TextIOWrapper(file, encoding=encoding, newline="\n")
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else encoding) if isinstance(line, bytes) else line
        except UnicodeDecodeError as problem:
            yield number, RowError("row_broken", reason=str(problem))
            continue
        if text.strip():
            yield number, _object(text)


def _object(text: str) -> Mapping[str, Json] | RowError:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as problem:
        return RowError("row_broken", reason=str(problem) or type(problem).__name__)
    return value if isinstance(value, dict) else RowError("row_no_object", type=type(value).__name__)


def is_lines(file: IO[bytes], encoding: str) -> bool:
    """Returns whether a JSON file holds an object on each line, whatever its name says."""
    head = file.readline(WHOLE).decode(encoding, errors="ignore").strip().removeprefix("\ufeff")
    while not head and (line := file.readline(WHOLE)):
        head = line.decode(encoding, errors="ignore").strip()
    rest = file.read(4096).decode(encoding, errors="ignore").strip()
    file.seek(0)
    if not head.startswith("{"):
        return False
    if rest.startswith("{"):
        return True
    try:
        value = json.loads(head)
    except ValueError:
        return False
    return not rest and isinstance(value, dict) and not any(isinstance(each, list | dict) for each in value.values())


def json_records(file: IO[bytes], encoding: str, name: str, size: int) -> Iterator[Record]:
    """Yields the records of a JSON file: a list, an object that holds one, or an object of records by their id.

    Raises:
        InputError: it is no JSON, or holds no records.
    """
    if size <= WHOLE or encoding not in {"utf-8", "utf-8-sig"}:
        yield from _read_whole(file, encoding, name)
    else:
        yield from _read_stream(file, name)


def _read_whole(file: IO[bytes], encoding: str, name: str) -> Iterator[Record]:
    try:
        value = json.loads(file.read().decode(encoding))
    except json.JSONDecodeError as problem:
        raise InputError("dataset_json", path=name, line=problem.lineno, reason=problem.msg) from problem
    except (ValueError, RecursionError) as problem:
        raise InputError("dataset_unreadable", path=name, reason=str(problem)) from problem
    common: Mapping[str, Json] = {}
    if isinstance(value, dict):
        key = next((key for key in LISTS if isinstance(value.get(key), list)), None)
        if key is not None:
            common = {name: each for name, each in value.items() if isinstance(each, str)}
            value = value[key]
        elif value and all(isinstance(each, dict) for each in value.values()):
            value = [{"id": key} | each for key, each in value.items()]
        else:
            value = [value]
    if not isinstance(value, list):
        raise InputError("dataset_empty", path=name)
    for number, each in enumerate(value, 1):
        yield number, _record(each, common)


def _record(value: Json, common: Mapping[str, Json]) -> Mapping[str, Json] | RowError:
    if isinstance(value, dict):
        inner = value.get("row")
        if isinstance(inner, dict) and "row_idx" in value:  # as Hugging Face's data set server sends rows
            return inner
        subtype = common.get("data_subtype")
        return value if subtype is None or "data_subtype" in value else value | {"data_subtype": subtype}
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):  # as easy-VQA writes questions
        return {"question": value[0], "answer": value[1], "image_id": value[2]}
    return RowError("row_no_object", type=type(value).__name__)


def _read_stream(file: IO[bytes], name: str) -> Iterator[Record]:
    import ijson

    prefix, common = _stream_prefix(file, name)
    file.seek(0)
    number = 0
    try:
        if prefix is None:
            for number, (key, value) in enumerate(ijson.kvitems(file, "", use_float=True), 1):
                yield number, _record({"id": key} | value if isinstance(value, dict) else value, common)
            return
        for number, value in enumerate(ijson.items(file, prefix, use_float=True), 1):
            yield number, _record(value, common)
    except ijson.JSONError as problem:
        raise InputError("dataset_json", path=name, line=f"({number + 1}.)", reason=str(problem)) from problem


def _stream_prefix(file: IO[bytes], name: str) -> tuple[str | None, Mapping[str, Json]]:
    """Returns where in a large file the records are, as ijson says it, and the texts that stand before them."""
    import ijson

    common: dict[str, Json] = {}
    try:
        for prefix, event, value in ijson.parse(file, use_float=True):
            if event == "start_array" and prefix in {"", *LISTS}:
                return (f"{prefix}.item" if prefix else "item"), common
            if event == "string" and re.fullmatch(r"\w+", prefix):
                common[prefix] = value
            if event == "start_map" and "." not in prefix and prefix and prefix not in {"info", "license", "meta"}:
                return None, common
    except ijson.JSONError as problem:
        raise InputError("dataset_json", path=name, line=1, reason=str(problem)) from problem
    raise InputError("dataset_empty", path=name)
