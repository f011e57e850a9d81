"""How groups of equal answers are named and coloured, and the strip of all requests, as HTML that needs no script.

A long run's strip is a bitmap, so that ten thousand requests stay a few kilobytes.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence

from PIL import Image

from vqa.markup import html, joined
from vqa.text import Language, t

ERROR = -1
"""The group number of a request that gave no answer."""
PENDING = -2
"""The group number of a request that has not come back yet."""

PALETTE = ("#1f7a6d", "#b8500a", "#a83268", "#4a7729", "#6a4fc0", "#856900", "#8b4a2b", "#3b5bdb")
"""Colours of groups, most frequent first; white letters on them have a contrast of at least 4.5."""
OTHER_COLOUR = "#5f6570"
ERROR_COLOUR = "#c92a2a"

LETTERED_CELLS = 240
"""Up to this many requests each has a cell with its letter; more are drawn as a bitmap."""


def letter(group: int) -> str:
    """Returns a group's name: A to Z, then AA and on; `!` for an error and `·` for what is pending."""
    if group == ERROR:
        return "!"
    if group < 0:
        return "·"
    head, tail = divmod(group, 26)
    return (letter(head - 1) if head else "") + chr(ord("A") + tail)


def colour(group: int) -> str:
    """Returns a group's colour as #rrggbb."""
    if group == ERROR:
        return ERROR_COLOUR
    return PALETTE[group] if 0 <= group < len(PALETTE) else OTHER_COLOUR


def strip(groups: Sequence[int], planned: int, language: Language) -> str:
    """Returns a strip of one cell for each planned request, coloured by group, the first set apart.

    `groups` holds the group number of each request in order of sending, `ERROR` or `PENDING`; those that are missing
    up to `planned` are pending.
    """
    cells = [*groups, *(PENDING,) * (planned - len(groups))]
    if not cells:
        return ""
    draw = _lettered if len(cells) <= LETTERED_CELLS else _bitmap
    first = html(
        '<span class="vl-first"><b>{}</b>{}</span>', t("report.first_request", language), _cell(0, cells[0], language)
    )
    label = _strip_label(cells, language)
    return html('<div class="vl-strip" role="img" aria-label="{}">{}{}</div>', label, first, draw(cells[1:], language))


def _strip_label(cells: Sequence[int], language: Language) -> str:
    rest = [cell for cell in cells[1:] if cell != PENDING]
    if not rest:
        return t("report.strip_label_start", language, first=letter(cells[0]), n=len(cells))
    same = sum(cell == cells[0] for cell in rest)
    return t("report.strip_label", language, first=letter(cells[0]), same=same, rest=len(rest), n=len(cells))


def _cell(index: int, group: int, language: Language) -> str:
    if group == PENDING:
        return html('<i class="vl-cell vl-pending"></i>')
    title = t("report.cell_title", language, index=index + 1, group=letter(group))
    name = "vl-cell vl-error" if group == ERROR else "vl-cell"
    return html('<i class="{}" style="background:{}" title="{}">{}</i>', name, colour(group), title, letter(group))


def _lettered(cells: Sequence[int], language: Language) -> str:
    inside = joined(_cell(index + 1, group, language) for index, group in enumerate(cells))
    return html('<span class="vl-cells">{}</span>', inside)


def _bitmap(cells: Sequence[int], _: Language) -> str:
    """Draws one pixel for each request, row by row, scaled up by the browser without smoothing."""
    columns = next(size for size in (50, 100, 200) if len(cells) / size <= size / 4 or size == 200)
    rows = math.ceil(len(cells) / columns)
    pending = len(PALETTE) + 2
    codes = {PENDING: pending, ERROR: len(PALETTE) + 1}
    pixels = bytes(codes.get(group, min(group, len(PALETTE))) for group in cells)
    picture = Image.frombytes("P", (columns, rows), pixels.ljust(columns * rows, bytes([pending])))
    flat = [
        int(value[place : place + 2], 16) for value in (*PALETTE, OTHER_COLOUR, ERROR_COLOUR) for place in (1, 3, 5)
    ]
    picture.putpalette([*flat, 128, 128, 128])
    out = io.BytesIO()
    # The most frequent answer is drawn pale, so that one differing request among thousands stands out.
    alpha = bytes([90, *(255,) * (pending - 1), 30])
    picture.save(out, "PNG", transparency=alpha, optimize=True)
    data = base64.b64encode(out.getvalue()).decode()
    size = f"aspect-ratio:{columns}/{rows}"
    return html('<img class="vl-bitmap" alt="" style="{}" src="data:image/png;base64,{}">', size, data)
