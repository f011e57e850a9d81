"""HTML made of pieces that cannot be broken by what stands in them: every value is escaped unless it is HTML itself.

A value counts as HTML when it is `Markup`, which only this module and jinja2 make; all other text, a model's and a
user's above all, is shown as it is written.
"""

from collections.abc import Iterable
from typing import LiteralString

from markupsafe import Markup, escape

__all__ = ["Markup", "escape", "html", "joined"]


def html(template: LiteralString, /, *values: object) -> Markup:
    """Returns the template with its `{}` filled in as `str.format` does it, each value escaped.

    The template stands in the code, literally; a brace that is meant is written twice.
    """
    return Markup(template).format(*values)  # noqa: S704


def joined(pieces: Iterable[str]) -> Markup:
    """Returns the pieces one after the other; those that are no HTML are escaped."""
    return Markup().join(pieces)
