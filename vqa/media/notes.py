"""What was done to a picture before it was sent, as text keys that may carry values. Pure; knows no picture."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from vqa.text import Language, t


def note(name: str, **values: object) -> str:
    """Returns a note of `vqa/text/<language>/images.json`, such as `images.toned?low=812&high=3071`."""
    return f"images.{name}" + (f"?{urlencode({key: str(value) for key, value in values.items()})}" if values else "")


def named(wanted: str, notes: tuple[str, ...]) -> bool:
    """Returns whether a note of that name is among the notes."""
    return any(each.partition("?")[0] == f"images.{wanted}" for each in notes)


def note_text(written: str, language: Language) -> str:
    """Returns what a note says."""
    key, _, values = written.partition("?")
    return t(key, language, **dict(parse_qsl(values, keep_blank_values=True)))
