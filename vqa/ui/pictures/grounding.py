"""Boxes and points in an answer, in the formats of Qwen-VL, InternVL and Gemini, drawn on the picture."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from vqa.answers import Json
from vqa.markup import Markup, html, joined
from vqa.media.images import ImagePayload
from vqa.ui.nested import read_json

GRID = 1000.0
"""InternVL, Qwen2-VL and Qwen3-VL count in thousandths of the picture's sides; Qwen2.5-VL in pixels."""
COLOURS = ("#e11d48", "#2563eb", "#059669", "#d97706", "#7c3aed", "#0891b2")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
TAGGED = re.compile(r"(?:<ref>([^<]*)</ref>\s*)?<(box|point)>([^<]*)</\2>")
"""InternVL, with several boxes in one list, and the first Qwen-VL, with corners in round brackets."""
QWEN2 = re.compile(
    r"(?:<\|object_ref_start\|>(.*?)<\|object_ref_end\|>\s*)?<\|(box|point)_start\|>([^<]*)<\|\2_end\|>", re.DOTALL
)
CORNERS = r"\(\s*\d+\s*,\s*\d+\s*\)"
BARE_QWEN2 = re.compile(rf"([^\n()<>:;,.]*?)\s*(?<!\|>)({CORNERS}\s*,\s*{CORNERS})")
"""What is left of the same where the server hands out no special tokens."""
JSON_BLOCK = re.compile(r"```(?:json)?\s*(.*?)```|(\[\s*\{.*\}\s*\]|\{[^{}]*_2d\"[^{}]*\})", re.DOTALL)


@dataclass(frozen=True)
class Mark:
    """A box, or a point when both corners are one; from 0 to 1 of the picture's width and height."""

    left: float
    top: float
    right: float
    bottom: float
    label: str = ""


def find_marks(text: str, image: ImagePayload, model: str = "") -> tuple[Mark, ...]:
    """Returns the boxes and points that an answer names, in order."""
    marks = []
    for pattern in (TAGGED, QWEN2):
        for found in pattern.finditer(text):
            label, kind, body = found.groups()
            marks += _of_numbers(body, 4 if kind == "box" else 2, label or "")
    if not marks and re.search(r"qwen", model, re.IGNORECASE):
        for found in BARE_QWEN2.finditer(text):
            marks += _of_numbers(found[2], 4, found[1])
    in_pixels = re.search(r"qwen2[._-]?5", model, re.IGNORECASE) is not None
    for row in _json_rows(text):
        corners = row.get("bbox_2d") or row.get("point_2d") or row.get("bbox") or _rows_first(row.get("box_2d"))
        if not (
            isinstance(corners, list) and len(corners) in (2, 4) and all(isinstance(n, int | float) for n in corners)
        ):
            continue
        pixels = in_pixels or max(corners) > GRID
        width, height = (float(image.width), float(image.height)) if pixels else (GRID, GRID)
        marks.append(_mark([float(n) for n in corners], width, height, str(row.get("label", ""))))
    return tuple(mark for mark in marks if mark.left <= 1 and mark.top <= 1)


def _of_numbers(body: str, each: int, label: str) -> list[Mark]:
    """Returns the marks of a list of numbers, so many to each."""
    numbers = [float(number) for number in NUMBER.findall(body)]
    starts = range(0, len(numbers) - each + 1, each)
    return [_mark(numbers[start : start + each], GRID, GRID, label) for start in starts]


def _rows_first(corners: Json) -> Json:
    """Returns a `box_2d`, which counts from the top first, with the left first (Gemini, PaliGemma)."""
    if isinstance(corners, list) and len(corners) == 4:
        return [corners[1], corners[0], corners[3], corners[2]]
    return corners


def _mark(corners: list[float], width: float, height: float, label: str) -> Mark:
    left, top, right, bottom = corners if len(corners) == 4 else [*corners, *corners]
    xs, ys = sorted((left / width, right / width)), sorted((top / height, bottom / height))
    return Mark(max(0.0, xs[0]), max(0.0, ys[0]), min(1.0, xs[1]), min(1.0, ys[1]), label.strip())


def _json_rows(text: str) -> list[dict[str, Json]]:
    for found in JSON_BLOCK.finditer(text):
        try:
            value = read_json(found.group(1) or found.group(2))
        except ValueError:
            continue
        rows = value if isinstance(value, list) else [value]
        return [row for row in rows if isinstance(row, dict)]
    return []


def marks_html(image: ImagePayload, marks: tuple[Mark, ...]) -> Markup:
    """Returns the picture with the marks drawn on it, as SVG that scales with the page."""
    width, height = image.width, image.height
    line = max(width, height) / 220
    drawn = joined(_svg_mark(mark, width, height, line, COLOURS[n % len(COLOURS)]) for n, mark in enumerate(marks))
    source = base64.b64encode(image.thumbnail(1024)).decode()
    names = ", ".join(mark.label for mark in marks if mark.label)
    return html(
        '<svg class="vqa-marks" viewBox="0 0 {width} {height}" role="img" aria-label="{names}">'
        '<image href="data:image/png;base64,{source}" width="{width}" height="{height}"/>{drawn}</svg>',
        width=width, height=height, names=names, source=source, drawn=drawn,
    )  # fmt: skip


def _svg_mark(mark: Mark, width: int, height: int, line: float, colour: str) -> Markup:
    x, y = mark.left * width, mark.top * height
    if mark.left == mark.right and mark.top == mark.bottom:
        shape = html(
            '<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" fill="{}" stroke="#fff" stroke-width="{:.1f}"/>',
            x, y, line * 3, colour, line,
        )  # fmt: skip
    else:
        shape = html(
            '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="none" stroke="{}" '
            'stroke-width="{:.1f}"/>',
            x, y, (mark.right - mark.left) * width, (mark.bottom - mark.top) * height, colour, line,
        )  # fmt: skip
    if not mark.label:
        return shape
    letters = line * 7
    return html(
        '{}<text x="{:.1f}" y="{:.1f}" font-size="{:.1f}" fill="{}" stroke="#fff" stroke-width="{:.1f}" '
        'paint-order="stroke" font-weight="600">{}</text>',
        shape, x + line, max(letters, y - line * 1.5), letters, colour, line * 0.8, mark.label,
    )  # fmt: skip
