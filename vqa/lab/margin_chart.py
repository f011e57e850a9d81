"""The plot of the margins along an answer as an SVG fragment without a script: numbers in, markup out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from vqa.lab.charts import POINTS, axis_ends, figure, rule
from vqa.text import Language, t


def margins(
    values: Sequence[float | None],
    tokens: Sequence[str],
    language: Language,
    *,
    threshold: float | None = None,
    fragile: Sequence[int] = (),
    splits: Sequence[int] = (),
) -> str:
    """Returns a plot of the margin between the two best candidates at each token, in nats, on a bent scale.

    Args:
        values: one margin for each position of the modal answer; None where there is no second candidate.
        tokens: the texts of the tokens.
        language: of the words around it.
        threshold: margins up to this could flip under the drift that was seen.
        fragile: positions at or below the threshold.
        splits: positions where other answers left this one.
    """
    known = [value for value in values if value is not None]
    if not known:
        return ""
    top = max(1.0, *known)
    weak, split = set(fragile), set(splits)
    marks = _margin_marks(values, tokens, weak, split, top) if len(values) <= POINTS else ""
    if not marks:
        marks = _margin_buckets(values, weak, split, top)
    line = "" if threshold is None else rule(_bend(threshold, top), "vl-threshold")
    lowest = min(range(len(values)), key=lambda place: math.inf if values[place] is None else values[place] or 0.0)
    text = repr(tokens[lowest])[1:-1] if lowest < len(tokens) else ""
    label = t("report.margin_label", language, n=len(values), least=_nats(min(known)), at=lowest, token=text)
    ticks = [value for value in (0.0, 0.01, 0.1, 1.0, 5.0, 20.0) if value <= top]
    axis = "".join(f'<i style="bottom:{_bend(tick, top):.1f}%">{tick:g}</i>' for tick in ticks)
    rules = "".join(rule(_bend(tick, top), "vl-grid") for tick in ticks)
    panel = (
        f'<div class="vl-panel"><svg aria-hidden="true">{rules}{line}{marks}</svg>'
        f"{axis_ends('0', str(len(values) - 1), t('report.token_position', language))}</div>"
    )
    return figure(panel, axis, label, f"{t('report.margin_caption', language)} {label}")


def _bend(value: float, top: float) -> float:
    """Returns a height in percent: near-zero margins are the ones that matter, so the scale is log(1 + 100 m)."""
    return 96 * math.log1p(100 * value) / math.log1p(100 * top)


def _margin_marks(
    values: Sequence[float | None], tokens: Sequence[str], weak: set[int], split: set[int], top: float
) -> str:
    marks = []
    for place, value in enumerate(values):
        if value is None:
            continue
        name = "vl-split" if place in split else "vl-fragile" if place in weak else "vl-margin"
        height = max(_bend(value, top), 0.8)
        word = escape(tokens[place].strip() or repr(tokens[place])[1:-1]) if place < len(tokens) else ""
        wide = 100 / len(values)
        marks.append(
            f'<rect class="{name}" x="{place * wide:.2f}%" width="{wide * 0.78:.2f}%" y="{100 - height:.2f}%"'
            f' height="{height:.2f}%"><title>{place} {word}: {_nats(value)}</title></rect>'
        )
        if name != "vl-margin":
            marks.append(f'<circle class="{name}" cx="{(place + 0.39) * wide:.2f}%" cy="{100 - height:.2f}%" r="4"/>')
    return "".join(marks)


def _margin_buckets(values: Sequence[float | None], weak: set[int], split: set[int], top: float) -> str:
    width = math.ceil(len(values) / POINTS)
    marks = []
    for start in range(0, len(values), width):
        stretch = range(start, min(start + width, len(values)))
        known = [value for value in (values[place] for place in stretch) if value is not None]
        if known:
            height = max(_bend(min(known), top), 0.8)
            name = "vl-split" if split & set(stretch) else "vl-fragile" if weak & set(stretch) else "vl-margin"
            left, wide = 100 * start / len(values), 100 * width / len(values)
            marks.append(
                f'<rect class="{name}" x="{left:.2f}%" width="{wide * 0.8:.2f}%" y="{100 - height:.2f}%"'
                f' height="{height:.2f}%"/>'
            )
    return "".join(marks)


def _nats(value: float) -> str:
    return f"{value:.3g}"
