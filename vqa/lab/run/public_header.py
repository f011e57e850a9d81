"""What a report may say of the machine that a run was made on: no secret, and of a path only its last part."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit, urlunsplit

from vqa.answers import Json

HIDDEN = "***"
_SECRET = re.compile(r"api[-_]?key|secret|passw(or)?d|authorization|credential|(^|[-_])(auth|token)$", re.I)
_ABSOLUTE = re.compile(r"^(file://)?(/|~/|[A-Za-z]:[\\/])")


def public(value: Json, key: str = "") -> Json:
    """Returns a header (or any JSON value) without secrets, and with paths cut to their last part."""
    if key and _SECRET.search(key):
        return HIDDEN if value not in (None, "") else value
    if key == "command" and isinstance(value, str):
        return _public_command(value)
    if isinstance(value, Mapping):
        return {name: public(part, str(name)) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return _public_list(list(value))
    return public_text(value) if isinstance(value, str) else value


def _public_list(values: list[Json]) -> list[Json]:
    """Returns a list, taken as a command line wherever a word looks like a flag: the word after a secret flag goes."""
    shown: list[Json] = []
    for place, value in enumerate(values):
        before = values[place - 1] if place else ""
        flag = isinstance(before, str) and before.startswith("--") and "=" not in before and _SECRET.search(before)
        shown.append(HIDDEN if flag and not str(value).startswith("--") else public(value))
    return shown


def _public_command(line: str) -> str:
    """Returns a command line without secrets and with the paths in it cut to their last part."""
    try:
        return shlex.join(str(word) for word in _public_list(list(shlex.split(line))))
    except ValueError:
        return public_text(line)


def public_text(text: str) -> str:
    """Returns a text with the secret of `--flag=secret` or of an address hidden and a path cut to its last part."""
    name, equals, value = text.partition("=")
    if equals and re.fullmatch(r"-{0,2}[\w.-]+", name):
        return f"{name}={HIDDEN if _SECRET.search(name) else public_text(value)}"
    if "://" in text and not text.startswith("file:"):
        return _public_address(text)
    if _ABSOLUTE.match(text) and "\n" not in text and len(text) < 4096:
        return re.split(r"[\\/]", text.rstrip("\\/"))[-1] or text
    return text


def _public_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        if parts.username is None and parts.password is None:
            return text
        host = parts.hostname or ""
        return urlunsplit(parts._replace(netloc=host if parts.port is None else f"{host}:{parts.port}"))
    except ValueError:
        return text


def rows(header: Mapping[str, Json]) -> list[tuple[str, str]]:
    """Returns a header as (name, text) rows: names of nested values are joined by dots, empty values left out."""
    return [(name, text) for name, text in _flat(public(header)) if text]


def _flat(value: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, part in value.items():
        name = f"{prefix}{key}"
        if isinstance(part, Mapping):
            yield from _flat(part, f"{name}.")
        elif isinstance(part, list | tuple):
            plain = all(isinstance(item, str | int | float) for item in part)
            if plain:
                words = [str(item) for item in part]
                yield name, shlex.join(words) if any(word.startswith("-") for word in words) else ", ".join(words)
            else:
                for place, item in enumerate(part):
                    inner = item if isinstance(item, Mapping) else {"": item}
                    yield from _flat(inner, f"{name}[{place}].")
        elif part is not None:
            yield name, str(part)
