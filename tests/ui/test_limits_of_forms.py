"""What the forms accept is bounded in every direction, and as a product."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import regex
from PIL import Image

from vqa.errors import InputError
from vqa.settings import Settings
from vqa.ui.ask import asking
from vqa.ui.ask.structured import schema_fault
from vqa.ui.lab import lab_form
from vqa.ui.nested import DEEPEST, read_json

PUBLIC = Settings(public=True).for_visitors()


def form(folder: Path, *, pictures: int = 1, **changes: Any) -> list[Any]:
    paths = []
    for place in range(pictures):
        out = io.BytesIO()
        Image.new("RGB", (8 + place, 8), "red").save(out, "PNG")
        paths.append(folder / f"{place}.png")
        paths[-1].write_bytes(out.getvalue())
    values = {
        "images": [(str(path), None) for path in paths], "questions": "What?", "each_image": False, "n": 2,
        "concurrency": 1, "temperature": 0, "seed_policy": "fixed", "cache": "as_is", "seed": None, "max_tokens": 8,
        "top_p": 1, "system": "", "name": "", "tones": "auto", "background": "auto", "shape": "whole",
    }  # fmt: skip
    return list((values | changes).values())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"pictures": 5}, "too_many_pictures"),
        ({"questions": "What?\n" * 41}, "too_many_requests"),
        ({"questions": "What?\n" * 4, "n": 20, "pictures": 2, "each_image": True}, "too_many_requests"),
        ({"concurrency": 3}, "number_invalid"),
        ({"system": "x" * 2001}, "question_too_long"),
        ({"n": None}, "repeats_missing"),
    ],
)
def test_a_visitors_run_is_bounded_as_a_whole(tmp_path: Path, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(InputError) as refused:
        lab_form.read(form(tmp_path, **changes), PUBLIC)
    assert refused.value.code == code


def test_the_largest_run_of_a_visitor_is_accepted_and_a_users_may_be_far_larger(tmp_path: Path) -> None:
    most = PUBLIC.public_concurrent
    spec = lab_form.read(form(tmp_path, questions="a\nb\nc\nd", n=20, pictures=4, concurrency=most), PUBLIC)
    assert len(spec.cases) * spec.n == PUBLIC.max_requests
    mine = form(tmp_path, questions="a\n" * 50, n=20, pictures=12, each_image=True, concurrency=20)
    assert lab_form.read(mine, Settings()).n == 20


def options(*, choices: str = "", schema: str = "") -> asking.AskOptions:
    return asking.read_options(PUBLIC, 0, 1, "", "", "", choices, schema)


def test_choices_and_schemas_have_a_length_and_a_depth() -> None:
    most = PUBLIC.max_question_chars
    assert options(choices="a\nb").choices == ("a", "b")
    assert options(schema='{"type": "object"}').json_schema == {"type": "object"}
    with pytest.raises(InputError, match="both given"):
        options(choices="a\nb", schema='{"type": "object"}')
    for given, code in (
        ({"choices": "a\n" * most}, "choices_too_long"),
        ({"schema": '{"description": "' + "x" * most + '"}'}, "schema_too_long"),
        ({"schema": '{"a":' * 300 + "1" + "}" * 300}, "schema_invalid"),
    ):
        with pytest.raises(InputError) as refused:
            options(**given)
        assert refused.value.code == code


@pytest.mark.parametrize("depth", [DEEPEST + 1, 5000, 200_000])
def test_json_that_is_nested_too_deeply_is_no_json(depth: int) -> None:
    for opened, closed in (("[", "]"), ('{"a":', "}")):
        with pytest.raises(ValueError, match="levels deep"):
            read_json(opened * depth + "1" + closed * depth)
    assert read_json("[" * DEEPEST + "]" * DEEPEST)


def test_patterns_hold() -> None:
    properties = {"a": {"pattern": "^b+$"}}
    schema = {"type": "object", "properties": properties, "patternProperties": {"^n": {"type": "number"}}}
    assert schema_fault({"a": "bb", "n1": 1}, schema) is None
    assert "match" in str(schema_fault({"a": "c"}, schema))
    assert "number" in str(schema_fault({"n1": "x"}, schema))


def test_a_pattern_that_takes_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    def slow(*_: object, timeout: float) -> None:
        limits.append(timeout)
        raise TimeoutError

    monkeypatch.setattr(regex, "search", slow)
    assert schema_fault("b", {"pattern": "b"}) == "schema: TimeoutError"
    assert 0 < limits[0] < 1
