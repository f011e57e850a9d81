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


def values_of(wanted: str, notes: tuple[str, ...]) -> dict[str, str]:
    """Returns the values of the first note of that name; none where there is no such note."""
    found = next((each for each in notes if each.partition("?")[0] == f"images.{wanted}"), "")
    return dict(parse_qsl(found.partition("?")[2], keep_blank_values=True))


def note_text(written: str, language: Language) -> str:
    """Returns what a note says."""
    key, _, values = written.partition("?")
    return t(key, language, **dict(parse_qsl(values, keep_blank_values=True)))
