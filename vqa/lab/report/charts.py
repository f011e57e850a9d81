"""Plots of a run as HTML and SVG fragments that need no script: numbers in, markup out.

The page and the report show the same fragments. Geometry is in percent and text in pixels, so that a plot stays
legible on a phone; a long run is drawn in buckets, so that ten thousand samples stay a few kilobytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from vqa.lab.report.cells import colour, letter
from vqa.markup import html, joined
from vqa.text import Language, t

POINTS = 400
"""Up to this many requests or tokens each has a mark of its own; more are drawn in buckets."""
LOG_SPREAD = 4.0


@dataclass(frozen=True)
class _Scale:
    """Where a value stands between bottom (0) and top (100), in percent."""

    low: float
    high: float
    log: bool

    @classmethod
    def over(cls, values: Sequence[float]) -> _Scale:
        """Returns a linear scale from 0, or a logarithmic one where the largest dwarfs the typical value."""
        high = max(values)
        positive = [value for value in values if value > 0]
        if positive and high > LOG_SPREAD * median(positive):
            return cls(min(positive) / 1.5, high * 1.3, log=True)
        return cls(0.0, high * 1.12 or 1.0, log=False)

    def percent(self, value: float) -> float:
        """Returns the height of a value in percent of the plot."""
        if self.log:
            span = math.log(self.high / self.low)
            return 100 * math.log(max(value, self.low) / self.low) / span
        return 100 * (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Returns two to six round values within the scale."""
        if self.log:
            low, high = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            marks = [digit * 10.0**power for power in range(low, high + 1) for digit in (1, 2, 5)]
            inside = [mark for mark in marks if self.low <= mark <= self.high]
            return inside if len(inside) <= 6 else inside[:: math.ceil(len(inside) / 5)]
        step = 10 ** math.floor(math.log10(self.high))
        step = next(part * step for part in (1, 0.5, 0.2, 0.1) if self.high / (part * step) >= 3)
        return [step * count for count in range(int(self.high / step) + 1)]


def latency(seconds: Sequence[float | None], groups: Sequence[int], language: Language) -> str:
    """Returns a plot of the seconds of each request in order of sending; the first has a panel of its own."""
    known = [value for value in seconds if value is not None]
    if not known:
        return ""
    scale = _Scale.over(known)
    rest = [value for value in seconds[1:] if value is not None]
    middle = median(rest) if rest else None
    first = "" if seconds[0] is None else _dot(50, scale.percent(seconds[0]), groups[0], _seconds(seconds[0]))
    body = _latency_rest(seconds[1:], groups[1:], scale, language) if rest else ""
    if middle is not None:
        body = html("{}{}", rule(scale.percent(middle), "vl-median"), body)
    label = t(
        "report.latency_label",
        language,
        first="–" if seconds[0] is None else _seconds(seconds[0]),
        median="–" if middle is None else _seconds(middle),
        most="–" if not rest else _seconds(max(rest)),
    )
    panels = html(
        '<div class="vl-panel vl-panel-first"><svg aria-hidden="true">{}{}</svg><span>{}</span>'
        '</div><div class="vl-panel"><svg aria-hidden="true">{}{}</svg>{}</div>',
        _grid(scale),
        first,
        t("report.first_request", language),
        _grid(scale),
        body,
        axis_ends("2", str(max(len(seconds), 2)), t("report.order_of_sending", language)),
    )
    caption = t("report.latency_caption_log" if scale.log else "report.latency_caption", language)
    return figure(panels, _axis(scale, _seconds), label, f"{caption} {label}")


def _latency_rest(seconds: Sequence[float | None], groups: Sequence[int], scale: _Scale, language: Language) -> str:
    count = len(seconds)
    if count <= POINTS:
        marks = []
        for index, value in enumerate(seconds):
            if value is not None:
                title = t("report.cell_title", language, index=index + 2, group=letter(groups[index]))
                place = 100 * (index + 0.5) / count
                marks.append(_dot(place, scale.percent(value), groups[index], f"{title} · {_seconds(value)}"))
        return joined(marks)
    return _buckets(seconds, scale)


def _buckets(seconds: Sequence[float | None], scale: _Scale) -> str:
    """Draws, for each stretch of requests, a bar from the quickest to the slowest and a mark at the median."""
    width = math.ceil(len(seconds) / 200)
    bars = []
    for start in range(0, len(seconds), width):
        values = [value for value in seconds[start : start + width] if value is not None]
        if not values:
            continue
        left, wide = 100 * start / len(seconds), 100 * width / len(seconds)
        top, bottom, middle = (100 - scale.percent(value) for value in (max(values), min(values), median(values)))
        bars.append(
            html(
                '<rect class="vl-range" x="{:.2f}%" width="{:.2f}%" y="{:.2f}%" height="{:.2f}%"/>'
                '<rect class="vl-middle" x="{:.2f}%" width="{:.2f}%" y="{:.2f}%" height="2"/>',
                left,
                wide * 0.8,
                top,
                max(bottom - top, 0.5),
                left,
                wide,
                middle,
            )
        )
    return joined(bars)


def _dot(left: float, bottom: float, group: int, title: str) -> str:
    return html(
        '<circle cx="{:.2f}%" cy="{:.2f}%" r="4" fill="{}"><title>{}</title></circle>',
        left,
        100 - bottom,
        colour(group),
        title,
    )


def rule(bottom: float, name: str) -> str:
    """Returns a line across a plot at a height in percent; `name` is its class."""
    height = f"{100 - bottom:.2f}%"
    return html('<line class="{}" x1="0" x2="100%" y1="{}" y2="{}"/>', name, height, height)


def _grid(scale: _Scale) -> str:
    return joined(rule(scale.percent(tick), "vl-grid") for tick in scale.ticks())


def _axis(scale: _Scale, unit: object) -> str:
    write = unit if callable(unit) else str
    return joined(html('<i style="bottom:{:.1f}%">{}</i>', scale.percent(tick), write(tick)) for tick in scale.ticks())


def axis_ends(first: str, last: str, title: str) -> str:
    """Returns the words under a plot: both ends of its axis and what it counts."""
    return html('<span class="vl-x"><i>{}</i><i>{}</i><i>{}</i></span>', first, title, last)


def figure(panels: str, axis: str, label: str, caption: str) -> str:
    """Returns a plot of panels beside an axis; `label` says to a screen reader what is to be seen."""
    return html(
        '<figure class="vl-figure"><div class="vl-plot" role="img" aria-label="{}">'
        '<div class="vl-y" aria-hidden="true">{}</div>{}</div><figcaption>{}</figcaption></figure>',
        label,
        axis,
        panels,
        caption,
    )


def _seconds(value: float) -> str:
    if value == 0:
        return "0"
    if value < 0.9995:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} s" if value < 1000 else f"{value:.0f} s"


def probability(logprob: float) -> float:
    """Returns exp(logprob), at most 1 whatever rounding did."""
    return min(math.exp(logprob), 1.0)


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
    axis = joined(html('<i style="bottom:{:.1f}%">{:g}</i>', _bend(tick, top), tick) for tick in ticks)
    rules = joined(rule(_bend(tick, top), "vl-grid") for tick in ticks)
    panel = html(
        '<div class="vl-panel"><svg aria-hidden="true">{}{}{}</svg>{}</div>',
        rules,
        line,
        marks,
        axis_ends("0", str(len(values) - 1), t("report.token_position", language)),
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
        word = tokens[place].strip() or repr(tokens[place])[1:-1] if place < len(tokens) else ""
        wide = 100 / len(values)
        marks.append(
            html(
                '<rect class="{}" x="{:.2f}%" width="{:.2f}%" y="{:.2f}%" height="{:.2f}%">'
                "<title>{} {}: {}</title></rect>",
                name,
                place * wide,
                wide * 0.78,
                100 - height,
                height,
                place,
                word,
                _nats(value),
            )
        )
        if name != "vl-margin":
            marks.append(
                html('<circle class="{}" cx="{:.2f}%" cy="{:.2f}%" r="4"/>', name, (place + 0.39) * wide, 100 - height)
            )
    return joined(marks)


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
                html(
                    '<rect class="{}" x="{:.2f}%" width="{:.2f}%" y="{:.2f}%" height="{:.2f}%"/>',
                    name,
                    left,
                    wide * 0.8,
                    100 - height,
                    height,
                )
            )
    return joined(marks)


def _nats(value: float) -> str:
    return f"{value:.3g}"
