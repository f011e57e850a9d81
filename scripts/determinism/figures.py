"""The drawings of docs/determinism.md: plain SVG without words, so that both languages share them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vqa.lab.report.cells import colour, letter

INK = "#5f6570"
WEAK = "#d98200"
SPLIT = "#c92a2a"
CELL = 34
FONT = 'font-family="system-ui, sans-serif"'


def svg(width: int, height: int, body: str, label: str) -> str:
    """Returns an SVG document on a white card, legible on light and dark pages."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(label)}"><rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>'
        f"{body}</svg>\n"
    )


def text(left: float, top: float, words: str, *, size: int = 13, anchor: str = "middle", fill: str = INK) -> str:
    """Returns a line of text."""
    return (
        f'<text x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{fill}" {FONT}>'
        f"{escape(words)}</text>"
    )


def strip(groups: Sequence[int]) -> str:
    """Returns one lettered cell for each request in the order of sending, coloured by its answer."""
    cells = []
    for place, group in enumerate(groups):
        left = 12 + place * CELL + (10 if place else 0)
        cells.append(
            f'<rect x="{left}" y="12" width="{CELL - 4}" height="{CELL - 4}" rx="5" fill="{colour(group)}"/>'
            + text(left + CELL / 2 - 2, 33, letter(group), size=15, fill="#ffffff")
            + text(left + CELL / 2 - 2, 58, str(place + 1), size=11)
        )
    width = 12 * 2 + len(groups) * CELL + 6
    return svg(width, 70, "".join(cells), " ".join(letter(group) for group in groups))


def margins(values: Sequence[float | None], weak: Sequence[int], splits: Sequence[int]) -> str:
    """Returns a bar for each token of the answer: how far its best candidate lay above the second, in nats."""
    known = [value for value in values if value is not None]
    top = max(known) or 1.0
    left, wide, high = 58, 5, 130
    bars = []
    for place, value in enumerate(values):
        hue = SPLIT if place in splits else WEAK if place in weak else colour(0)
        tall = max(high * (value or 0.0) / top, 1.5)
        bars.append(
            f'<rect x="{left + place * wide}" y="{20 + high - tall:.1f}" width="{wide - 1}" height="{tall:.1f}"'
            f' fill="{hue}"/>'
        )
    for split in splits:
        centre = left + split * wide + wide / 2
        bars.append(text(centre, 20 + high + 28, f"{split}", size=12, fill=SPLIT))
        bars.append(f'<path d="M{centre:.1f} {20 + high + 4} l-5 9 h10 z" fill="{SPLIT}"/>')
    axis = text(left - 8, 26, f"{top:.3f}", anchor="end", size=11) + text(
        left - 8, 20 + high, "0", anchor="end", size=11
    )
    ends = text(left, 20 + high + 28, "0", size=11) + text(
        left + len(values) * wide, 20 + high + 28, str(len(values) - 1), size=11
    )
    return svg(left + len(values) * wide + 20, 190, "".join(bars) + axis + ends, f"margins of {len(values)} tokens")


def bars(rows: Sequence[tuple[str, Sequence[int]]], names: Sequence[str]) -> str:
    """Returns, for each row, one bar a name: how many different answers there were."""
    most = max(value for _, values in rows for value in values)
    left, wide, bar = 170, 420, 15
    tall = len(names) * (bar + 3) + 14
    body = []
    for place, name in enumerate(names):
        x = left + place * 210
        body.append(f'<rect x="{x}" y="14" width="12" height="12" rx="3" fill="{colour(1 - place)}"/>')
        body.append(text(x + 18, 25, name, anchor="start"))
    for place, (name, values) in enumerate(rows):
        top = 44 + place * tall
        body.append(text(left - 10, top + (len(names) * (bar + 3)) / 2 + 3, name, anchor="end"))
        for number, value in enumerate(values):
            y = top + number * (bar + 3)
            length = max(wide * value / most, 2)
            body.append(
                f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar}" rx="3" fill="{colour(1 - number)}"/>'
            )
            body.append(text(left + length + 6, y + 12, str(value), anchor="start", size=12))
    return svg(left + wide + 50, 44 + len(rows) * tall, "".join(body), "different answers under load")
