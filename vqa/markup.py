"""HTML made of pieces that cannot be broken by what stands in them: every value is escaped unless it is HTML itself.

A value counts as HTML when it is `Markup`, which only this module and jinja2 make; all other text, a model's and a
user's above all, is shown as it is written.
"""

from collections.abc import Iterable
from functools import cache
from typing import LiteralString

from markupsafe import Markup, escape

__all__ = ["Markup", "escape", "html", "joined"]


def html(template: LiteralString, /, *values: object, **named: object) -> Markup:
    """Returns the template with its `{}` filled in as `str.format` does it, each value escaped.

    The template stands in the code, literally; a brace that is meant is written twice.
    """
    if (pieces := _simple(template)) and len(pieces) == len(values) + 1 and not named:
        filled = [part for pair in zip(map(escape, values), pieces[1:], strict=True) for part in pair]
        return Markup("".join((pieces[0], *filled)))  # noqa: S704
    return Markup(template).format(*values, **named)  # noqa: S704


@cache
def _simple(template: str) -> tuple[str, ...]:
    """Returns what stands around the `{}` of a template that holds no other braces, which is filled in many times
    faster; nothing for others.
    """
    pieces = template.split("{}")
    return () if any("{" in piece or "}" in piece for piece in pieces) else tuple(pieces)


def joined(pieces: Iterable[str]) -> Markup:
    """Returns the pieces one after the other; those that are no HTML are escaped."""
    return Markup().join(pieces)
