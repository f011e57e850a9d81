"""What stands in a cell: pictures in all their shapes, answers, options. Pure but for looking up files."""

from __future__ import annotations

import ast
import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence

from vqa.answers import Json
from vqa.evaluate.reading.values import PictureSource, RowError
from vqa.media.fetch import is_web_address

LONGEST_PATH = 512
LONGEST_REFERENCE = 64
"""Characters up to which an MMBench picture cell is the index of another row."""
BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]+={0,2}\s*")
DATA_URL = re.compile(r"data:[\w.+/-]*(;[\w.=-]+)*;base64,", re.IGNORECASE)
STRUCT = ("bytes", "path", "url", "image_url", "image", "src", "file_name", "filename", "base64", "data")
MOST_NESTING = 20_000_000
"""Characters up to which a cell is read as a Python or JSON list."""

Finder = Callable[[str], PictureSource | None]


def empty(value: Json) -> bool:
    """Returns whether a cell says nothing: missing, blank, or NaN as pandas writes it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return isinstance(value, str | list | dict) and not (value.strip() if isinstance(value, str) else value)


def text_of(value: Json) -> str:
    """Returns a cell as text: a whole number without its point, true and false as JSON spells them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return "" if empty(value) else str(value)


def literal(text: str) -> Json:
    """Returns the list or object that a text spells in JSON or Python, or the text itself; nothing is evaluated."""
    stripped = text.strip()
    if not stripped or stripped[0] + stripped[-1] not in {"[]", "{}", "()"} or len(stripped) > MOST_NESTING:
        return text
    try:
        return json.loads(stripped)
    except (ValueError, RecursionError):
        pass
    try:
        value = ast.literal_eval(stripped)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        # numpy prints lists without commas
        quoted = re.findall(r"'([^']*)'|\"([^\"]*)\"", stripped[1:-1])
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", stripped[1:-1]).strip()
        return [one or other for one, other in quoted] if quoted and not bare else text
    return list(value) if isinstance(value, tuple | set) else value


def pictures_of(value: Json, find: Finder, name: str) -> list[PictureSource]:
    """Returns the pictures of a cell, in order; `name` is the column's, for what has no name of its own.

    Raises:
        RowError: something stands there that is no picture that can be found.
    """
    if empty(value):
        return []
    if isinstance(value, list | tuple):
        return [source for each in value for source in pictures_of(each, find, name)]
    if isinstance(value, bytes | bytearray):
        return [PictureSource(name, data=bytes(value))]
    if isinstance(value, Mapping):
        return [_struct(value, find, name)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [_file(text_of(value), find)]
    if not isinstance(value, str):
        raise RowError("row_image", image=type(value).__name__)
    inner = literal(value)
    if not isinstance(inner, str):
        return pictures_of(inner, find, name)
    return [_text(value.strip(), find, name)]


def _struct(value: Mapping[str, Json], find: Finder, name: str) -> PictureSource:
    for key in STRUCT:
        each = value.get(key)
        if empty(each):
            continue
        if isinstance(each, bytes | bytearray):
            return PictureSource(str(value.get("path") or name), data=bytes(each))
        if key in {"bytes", "base64", "data"} and isinstance(each, str):
            return PictureSource(str(value.get("path") or name), data=_decoded(each, name))
        if found := pictures_of(each, find, name):
            return found[0]
    raise RowError("row_image", image=", ".join(map(str, value)) or "{}")


def _text(value: str, find: Finder, name: str) -> PictureSource:
    if is_web_address(value):
        return PictureSource(value, address=value)
    if value[:5].lower() == "data:":
        mark = DATA_URL.match(value)
        if mark is None:
            raise RowError("row_image", image=value[:60])
        return PictureSource(name, data=_decoded(value[mark.end() :], name))
    if value.lower().startswith("file://"):
        from urllib.parse import unquote, urlsplit

        return _file(unquote(urlsplit(value).path), find)
    if len(value) <= LONGEST_PATH and (found := find(value)) is not None:
        return found
    if len(value) > LONGEST_REFERENCE and BASE64.fullmatch(value):
        return PictureSource(name, data=_decoded(value, name))
    raise RowError("image_missing", path=value[:200])


def _file(value: str, find: Finder) -> PictureSource:
    found = find(value)
    if found is None:
        raise RowError("image_missing", path=value[:200])
    return found


def _decoded(value: str, name: str) -> bytes:
    packed = re.sub(r"\s+", "", value).replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError) as problem:
        raise RowError("image_damaged", name=name, reason="base64") from problem


def answers_of(value: Json) -> tuple[str, ...]:
    """Returns the expected answers of a cell; VQAv2's objects by their `answer`; blank ones are none."""
    if empty(value):
        return ()
    if isinstance(value, str):
        inner = literal(value)
        if isinstance(inner, list):
            return answers_of(inner)
        return (value.strip(),)
    if isinstance(value, Mapping):
        return answers_of(next((value[key] for key in ("answer", "text", "label", "value") if key in value), None))
    if isinstance(value, Sequence):
        return tuple(answer for each in value for answer in answers_of(each))
    return (text_of(value),)


def options_of(value: Json) -> tuple[tuple[str, str], ...]:
    """Returns letter and text of each option of a list, an object by letter, or a text of lines; see `letter`.

    Raises:
        RowError: it is none of these.
    """
    if empty(value):
        return ()
    if isinstance(value, str):
        inner = literal(value)
        if isinstance(inner, str):
            lines = [
                line.strip()
                for line in re.split(r"\n|(?<=\S)\s+(?=\(?[B-Z][).:、．]\s|\([b-z]\)\s)", inner)
                if line.strip()
            ]
            inner = lines if len(lines) > 1 else [each.strip() for each in re.split(r"[;；|]", inner) if each.strip()]
        return options_of(inner) if inner else ()
    if isinstance(value, Mapping):
        if {"label", "text"} <= value.keys():
            return tuple(zip(map(text_of, value["label"]), map(text_of, value["text"]), strict=False))
        return tuple((str(key).strip(), text_of(each)) for key, each in value.items() if not empty(each))
    if not isinstance(value, list | tuple):
        raise RowError("row_options", options=type(value).__name__)
    texts = [text_of(each.get("text", each.get("value")) if isinstance(each, Mapping) else each) for each in value]
    marks = [re.match(r"\(?([A-Za-z])[).:、．]\s*(.*)", text, re.DOTALL) for text in texts]
    found = [mark for mark in marks if mark is not None]
    if len(found) == len(texts) and [each[1].upper() for each in found] == [letter(n) for n in range(len(texts))]:
        return tuple((each[1].upper(), each[2].strip()) for each in found)
    return tuple((letter(number), text) for number, text in enumerate(texts))


def letter(number: int) -> str:
    """Returns A for 0, Z for 25, AA for 26."""
    return ("" if number < 26 else letter(number // 26 - 1)) + chr(65 + number % 26)
