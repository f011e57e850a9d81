"""What a run shows, as pieces of HTML that the page and the report share: levels, strips, groups, diff, plots.

What a model, a user or a server wrote is escaped by `vqa.markup`. Styled by `templates/lab.css`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import takewhile

from vqa.lab.report import cells, charts
from vqa.lab.report.diffs import TEXT_SHOWN, diff, shorten
from vqa.lab.report.glossary import explained
from vqa.lab.stats.agreement import LEVELS, Level
from vqa.lab.stats.summary import Group, Summary
from vqa.markup import html, joined
from vqa.text import Language, t

__all__ = [
    "cache_note",
    "cell_groups",
    "diff",
    "group_text",
    "groups",
    "latency",
    "levels",
    "margins",
    "places",
    "strips",
    "stylesheet",
    "unseen",
    "wrap",
]

GROUPS_SHOWN = 20


@cache
def stylesheet() -> str:
    """Returns the CSS of all fragments; everything is below the class `vl`."""
    return (files("vqa.lab.report") / "templates" / "lab.css").read_text(encoding="utf-8")


def wrap(*parts: str) -> str:
    """Returns fragments inside the element that the stylesheet is scoped to; nothing when all are empty."""
    inside = joined(parts)
    return html('<div class="vl">{}</div>', inside) if inside else ""


def levels(summary: Summary, language: Language) -> str:
    """Returns for each level of agreement whether it holds, with its number of variants, or is not shown."""
    items = []
    for level in LEVELS:
        view = summary.levels[level]
        name, mark, words = "vl-unseen", "?", t("report.level_unseen", language)
        if summary.ok < 2 and (view.visible or not summary.ok):
            name, mark, words = "vl-waiting", "·", t("report.level_waiting", language)
        elif view.holds:
            name, mark, words = "vl-holds", "✓", t("report.level_holds", language, n=summary.ok)
        elif view.holds is False:
            name, mark = "vl-broken", "✗"
            most = view.groups[0].count
            words = t("report.level_broken", language, distinct=view.distinct, most=most, n=summary.ok)
        if summary.compared and level is summary.level:
            name += " vl-strongest"
            words = f"{words} · {t('report.level_strongest', language)}"
        title = t(f"report.level_{level}", language)
        about = explained(t(f"report.level_{level}_about", language), language)
        items.append(
            html(
                '<li class="{}"><b><i aria-hidden="true">{}</i>{}</b><span>{}</span><span>{}</span></li>',
                name,
                mark,
                explained(title, language),
                explained(words, language),
                about,
            )
        )
    return html('<ol class="vl-levels">{}</ol>', joined(items))


def unseen(summary: Summary, language: Language) -> str:
    """Returns a note on the levels that this server does not show; empty when it shows all or nothing has landed."""
    hidden = [level for level in LEVELS if not summary.levels[level].visible]
    if not hidden or not summary.ok:
        return ""
    names = t("report.comma", language).join(t(f"report.level_{level}", language) for level in hidden)
    return html('<p class="vl-note-box">{}</p>', t("report.unseen", language, levels=names))


def cell_groups(summary: Summary, level: Level | None = None, *, running: bool = False) -> list[int]:
    """Returns the group number of each request as `cells.strip` takes it; a hole in a running run is pending."""
    hole = cells.PENDING if running else cells.ERROR
    return [hole if group is None else group for group in summary.cells(level)]


def strips(summary: Summary, planned: int, language: Language, *, running: bool = False) -> str:
    """Returns the strip of requests; where tokens agree and logprobs do not, a second one by logprobs."""
    if not planned:
        return ""
    shown = cells.strip(cell_groups(summary, running=running), planned, language)
    bitwise = summary.levels[Level.BITWISE]
    if not (summary.levels[summary.display_level].holds and bitwise.holds is False):
        return shown
    by_logprobs = cells.strip(cell_groups(summary, Level.BITWISE, running=running), planned, language)
    head = t("report.strip_by_logprobs", language, distinct=bitwise.distinct)
    return html("{}<h4>{}</h4>{}", shown, head, by_logprobs)


def latency(summary: Summary, language: Language) -> str:
    """Returns the latency plot with the first request set apart."""
    return charts.latency(summary.seconds, cell_groups(summary), language) if summary.seconds else ""


def margins(summary: Summary, language: Language) -> str:
    """Returns the margin along the modal answer with fragile positions and splits marked, and a legend."""
    epsilon = summary.drift.epsilon if summary.drift else None
    splits = [split.index for split in summary.divergences if split.unit == "token"]
    plot = charts.margins(
        summary.margins,
        summary.modal_tokens,
        language,
        threshold=2 * epsilon if epsilon else None,
        fragile=summary.fragile,
        splits=splits,
    )
    if not plot:
        return ""
    entries = [("var(--vl-accent)", t("report.legend_margin", language))]
    if summary.fragile:
        entries.append(("#d98200", t("report.legend_fragile", language, n=len(summary.fragile))))
    if splits:
        entries.append(("#c92a2a", t("report.legend_split", language)))
    keys = joined(
        html('<span><i style="background:{}"></i>{}</span>', hue, explained(words, language)) for hue, words in entries
    )
    return html('{}<div class="vl-legend">{}</div>', plot, keys)


def cache_note(summary: Summary, language: Language) -> str:
    """Returns what the first request and the others read from the prefix cache; empty when it is not reported."""
    known = [hits for hits in summary.cached_tokens[1:] if hits is not None]
    if not summary.cached_tokens or summary.cached_tokens[0] is None or not known:
        return ""
    low, high = min(known), max(known)
    rest = str(low) if low == high else f"{low}–{high}"
    words = t("report.cache_note", language, first=summary.cached_tokens[0], rest=rest)
    return html('<p class="vl-soft">{}</p>', explained(words, language))


def groups(summary: Summary, language: Language, *, pressed: Sequence[int] = (), buttons: bool = False) -> str:
    """Returns the distinct answers, most frequent first, each with count, share and its first difference marked.

    With `buttons` each is a toggle button that carries `Group.key` in `data-group`; `pressed` are the chosen keys.
    """
    shown = summary.groups[:GROUPS_SHOWN]
    cards = [_group(summary, place, language, pressed if buttons else None) for place in range(len(shown))]
    rest = summary.groups[GROUPS_SHOWN:]
    if rest:
        words = t("report.more_groups", language, groups=len(rest), answers=sum(group.count for group in rest))
        cards.append(html('<p class="vl-soft">{}</p>', words))
    return html('<div class="vl-groups">{}</div>', joined(cards)) if cards else ""


def _group(summary: Summary, place: int, language: Language, pressed: Sequence[int] | None) -> str:
    group = summary.groups[place]
    name = cells.letter(place)
    count = t("report.group_count", language, count=group.count, n=summary.ok)
    body = group_text(group.text, summary.groups[0].text if place else None, language)
    share = 100 * group.count / max(summary.ok, 1)
    inside = html(
        '<i class="vl-cell" style="background:{}" aria-hidden="true">{}</i>'
        '<span class="vl-answer">{}</span><span class="vl-count"><b>{}</b></span>'
        '<span class="vl-share" aria-hidden="true"><i style="width:{:.2f}%;background:{}"></i>'
        '</span><small class="vl-note">{}</small>',
        cells.colour(place),
        name,
        body,
        count,
        share,
        cells.colour(place),
        _group_note(summary, place, language),
    )
    if pressed is None:
        return html('<div class="vl-group">{}</div>', inside)
    state = str(group.key in pressed).lower()
    spoken = t("report.group_spoken", language, name=name, count=count)
    return html(
        '<button type="button" class="vl-group" data-group="{}" aria-pressed="{}" aria-label="{}">{}</button>',
        group.key,
        state,
        spoken,
        inside,
    )


def _group_note(summary: Summary, place: int, language: Language) -> str:
    group = summary.groups[place]
    notes = [places(group, language)]
    split = next((each for each in summary.divergences if each.group == group.key), None) if place else None
    if split is not None:
        key = "report.split_at_token" if split.unit == "token" else "report.split_at_character"
        notes.append(t(key, language, at=split.index))
        if split.margin is not None:
            notes.append(t("report.split_margin", language, margin=f"{split.margin:.3g}"))
        if group.text == summary.groups[0].text:
            notes.append(t("report.same_text", language))
    if group.finish_reason == "length":
        notes.append(t("report.cut", language))
    return " · ".join(notes)


def places(group: Group, language: Language) -> str:
    """Returns which requests gave this answer, in runs: '1, 5–20', shortened after a few."""
    numbers = sorted(index + 1 for index in group.indexes)
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [str(low) if low == high else f"{low}–{high}" for low, high in runs]
    listed = ", ".join(words[:8]) + (" …" if len(words) > 8 else "")
    return t("report.places", language, places=listed)


def group_text(text: str, against: str | None, language: Language) -> str:
    """Returns an answer as HTML; where it first leaves `against`, the rest of that word is marked."""
    if not text:
        return html('<em class="vl-soft">{}</em>', t("report.empty_answer", language))
    if against is None or text == against:
        return shorten(text)
    start = _common(text, against)
    if start >= len(text):
        mark = t("report.ends_here", language)
        return html("{}<mark>{}</mark>", shorten(text), mark)
    stop = start + 1
    while stop < len(text) and text[stop].isalnum() and text[start].isascii() and stop - start < 40:
        stop += 1
    before = text[:start] if start < TEXT_SHOWN else f"… {text[start - 200 : start]}"
    after = text[stop : stop + TEXT_SHOWN]
    return html("{}<mark>{}</mark>{}", before, text[start:stop], after)


def _common(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
