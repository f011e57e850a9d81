"""Answers that are JSON, checked against their schema and shown as a table."""

from __future__ import annotations

import json
from collections.abc import Iterator

from vqa.answers import Json
from vqa.markup import Markup, html, joined
from vqa.text import Language
from vqa.ui.ask.conversation import Message
from vqa.ui.nested import read_json
from vqa.ui.text import words
from vqa.ui.widgets.parts import badge, card

PATTERN_SECONDS = 0.1
"""For one match; a schema's author may write a pattern that takes longer than the universe."""


def table_html(message: Message, lang: Language) -> Markup:
    """Returns the table of an answer that was asked for by a schema or a list of choices; empty for others."""
    tr, asked = words(lang), dict(message.asked)
    if choices := asked.get("choices"):
        fine = message.text.strip() in choices
        verdict = badge(tr("ask.valid") if fine else tr("ask.not_a_choice"), "good" if fine else "bad")
        return card(tr("ask.structured"), html("<p>{} {}</p>", message.text.strip(), verdict))
    schema = asked.get("json_schema")
    if schema is None:
        return Markup()
    try:
        value = read_json(message.text)
    except ValueError as problem:
        return card(tr("ask.structured"), badge(tr("ask.not_json", reason=str(problem)), "bad"))
    fault = schema_fault(value, schema)
    verdict = badge(tr("ask.valid"), "good") if fault is None else badge(tr("ask.invalid", reason=fault), "bad")
    return card(tr("ask.structured"), html("{}<p>{}</p>", _table(value), verdict))


def schema_fault(value: Json, schema: Json) -> str | None:
    """Returns the first way in which a value breaks its schema, or None.

    The schema may be a visitor's: a reference out of it is never fetched, one that leads nowhere is a fault of it, and
    a pattern that takes long to match is given up.
    """
    import jsonschema
    import regex
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
        patient = jsonschema.validators.extend(kind, {"pattern": _pattern, "patternProperties": _pattern_properties})
        fault = next(patient(schema, registry=Registry()).iter_errors(value), None)
        return None if fault is None else str(fault.message)
    except jsonschema.SchemaError as problem:
        return f"schema: {problem.message}"
    except (Unresolvable, RecursionError, TimeoutError, regex.error) as problem:
        return f"schema: {str(problem) or type(problem).__name__}"


def _matches(pattern: str, text: str) -> bool:
    import regex

    return regex.search(pattern, text, timeout=PATTERN_SECONDS) is not None


def _pattern(_: Json, pattern: str, value: Json, __: Json) -> Iterator[Json]:
    from jsonschema import ValidationError

    if isinstance(value, str) and not _matches(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(validator: Json, patterns: Json, value: Json, _: Json) -> Iterator[Json]:
    for pattern, below in patterns.items() if isinstance(value, dict) else ():
        for name, part in value.items():
            if _matches(pattern, name):
                yield from validator.descend(part, below, path=name, schema_path=pattern)


def _table(value: Json) -> Markup:
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        names = list(dict.fromkeys(name for row in value for name in row))
        head = joined(html("<th>{}</th>", name) for name in names)
        cells = (joined(html("<td>{}</td>", _cell(row.get(name))) for name in names) for row in value)
        rows = joined(html("<tr>{}</tr>", each) for each in cells)
        return html('<table class="vqa-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', head, rows)
    if isinstance(value, dict):
        rows = joined(html("<tr><th>{}</th><td>{}</td></tr>", name, _cell(item)) for name, item in value.items())
        return html('<table class="vqa-table"><tbody>{}</tbody></table>', rows)
    return html("<p>{}</p>", _cell(value))


def _cell(value: Json) -> Markup:
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value)):
        return _table(value)
    return html("{}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
