"""A summary in one sentence: one that a manager understands, one that an engineer can use."""

from __future__ import annotations

from collections.abc import Mapping

from vqa.answers import Json
from vqa.lab.diagnosis.invalid import changed_sentence
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.intervals import Interval
from vqa.lab.stats.summary import RunSummary, Summary
from vqa.text import Language, t


def manager_sentence(summary: Summary | RunSummary, language: Language = "en") -> str:
    """Returns the verdict without a technical term; never more than what was seen."""
    if isinstance(summary, RunSummary):
        if len(summary.questions) != 1:
            return _manager_run(summary, language)
        summary = summary.questions[0]
    if open_verdict := _open(summary, language):
        return open_verdict
    texts = summary.levels[Level.TEXT]
    counts = {"n": summary.ok, "distinct": texts.distinct, "most": texts.groups[0].count}
    if texts.holds:
        said = t("lab.manager_identical", language, miss=miss(texts.interval, summary.ok, language), **counts)
        return _cut(said, summary.cut, language)
    if summary.levels[Level.ANSWER].holds:
        return t("lab.manager_same_meaning", language, **counts)
    if summary.first_differs:
        return t("lab.manager_first_differs", language, n=summary.ok, rest=summary.ok - 1)
    return t("lab.manager_differs" if counts["most"] > 1 else "lab.manager_each_differs", language, **counts)


def engineer_sentence(summary: Summary | RunSummary, language: Language = "en") -> str:
    """Returns the verdict with levels, drift, fragile position and the bound of the rate of differences."""
    if isinstance(summary, RunSummary):
        if len(summary.questions) != 1:
            return _engineer_run(summary, language)
        summary = summary.questions[0]
    if open_verdict := _open(summary, language, technical=True):
        return open_verdict
    display = summary.display_level
    view = summary.levels[display]
    parts = [_identity(summary, language) if view.holds else _split(summary, language), _logprobs(summary, language)]
    if view.holds and summary.fragile:
        parts.append(_fragile(summary, language))
    if summary.cut:
        parts.append(t("lab.part_cut", language, cut=summary.cut))
    if summary.failed:
        parts.append(t("lab.part_failed", language, failed=summary.failed))
    parts.append(bound(view.interval, language))
    return t("lab.part_join", language).join(part for part in parts if part) + t("lab.part_end", language)


def refused_sentences(result: Mapping[str, Json] | None, language: Language = "en") -> list[str]:
    """Returns what a stored result's server did not do as asked: what it refused to be asked for, and asked to wait."""
    facts = (result or {}).get("facts") or {}
    lines = [t(f"lab.refused_{name}", language) for name in facts.get("refused") or ()]
    return [*lines, t("lab.retried", language, n=retried)] if (retried := facts.get("retried")) else lines


def hidden_sentence(summary: Summary | RunSummary, require: Level, language: Language = "en") -> str | None:
    """Returns that the required level cannot be told since the server does not show it; None when it can be told."""
    if summary.holds(require) is not None or summary.failed or not summary.ok or require in summary.visible:
        return None
    return t("lab.open_hidden", language, level=t(f"lab.level_{require}", language))


def why_failed(example: str | None, language: Language = "en") -> list[str]:
    """Returns why requests failed, as the first of them says it; nothing where none did."""
    return [t("lab.first_failed", language, reason=example)] if example else []


def bound(interval: Interval, language: Language = "en") -> str:
    """Returns the interval for the rate of differences in words, with what it holds for."""
    values = {
        "low": percent(interval.low),
        "high": percent(interval.high),
        "rate": percent(interval.flips / interval.comparisons) if interval.comparisons else "–",
        "flips": interval.flips,
        "comparisons": interval.comparisons,
    }
    return t(f"lab.bound_{interval.method}", language, **values)


SPELT: tuple[str, ...] = (
    "Zero",
    "One",
    "Two",
    "Three",
    "Four",
    "Five",
    "Six",
    "Seven",
    "Eight",
    "Nine",
    "Ten",
    "Eleven",
    "Twelve",
)
SPELT += ("Thirteen", "Fourteen", "Fifteen", "Sixteen", "Seventeen", "Eighteen", "Nineteen", "Twenty")
MANY = 300
"""So many tries miss no rate above one percent."""


def miss(interval: Interval, tries: int, language: Language = "en") -> str:
    """Returns what so many equal answers may still have missed, in plain words."""
    spelt = SPELT[tries] if language == "en" and tries < len(SPELT) else str(tries)
    key = "lab.miss" if tries < MANY else "lab.miss_many"
    return t(key, language, tries=spelt, high=percent(interval.high))


def percent(share: float) -> str:
    """Returns a share as a percentage with three significant digits at most."""
    return f"{100 * share:.1f}%" if 0.0005 <= share < 0.9995 else f"{100 * share:.2g}%" if share < 0.5 else "100%"


def nats(value: float) -> str:
    """Returns a logprob difference with two significant digits."""
    return f"{value:.2g}"


def _open(summary: Summary, language: Language, *, technical: bool = False) -> str | None:
    """Returns why there is no verdict, or None when there is one."""
    values = {"n": summary.n, "ok": summary.ok, "failed": summary.failed}
    if summary.changed:
        return changed_sentence(" / ".join(summary.servers), language)
    if summary.n == 0:
        return t("lab.open_nothing", language)
    reason = f" ({summary.error_example})" if technical and summary.error_example else ""
    if not summary.compared:
        key = "lab.open_failed" if summary.failed else "lab.open_one"
        return t(key, language, **values) + reason
    if summary.failed and summary.levels[Level.TEXT].holds:
        return t("lab.open_some_failed", language, **values) + reason
    return None


def _identity(summary: Summary, language: Language) -> str:
    level = summary.level if summary.level.height >= Level.TEXT.height else Level.TEXT
    return t(f"lab.identical_{level}", language, n=summary.ok)


def _split(summary: Summary, language: Language) -> str:
    view = summary.levels[summary.display_level]
    values = {
        "n": summary.ok,
        "distinct": view.distinct,
        "unit": t(f"lab.unit_{summary.display_level}", language),
        "most": view.groups[0].count,
    }
    said = [t("lab.split", language, **values)]
    if summary.leading:
        key = "lab.split_first_one" if summary.leading == 1 else "lab.split_first"
        said.append(t(key, language, k=summary.leading))
    if summary.divergences:
        first = min(summary.divergences, key=lambda each: each.index)
        margin = "" if first.margin is None else t("lab.split_margin", language, margin=nats(first.margin))
        said.append(t(f"lab.split_at_{first.unit}", language, index=first.index, margin=margin))
    if summary.display_level is Level.TOKENS and summary.levels[Level.TEXT].holds:
        said.append(t("lab.split_text_holds", language))
    elif summary.levels[Level.ANSWER].holds:
        said.append(t("lab.split_answer_holds", language))
    return t("lab.part_join", language).join(said)


def _logprobs(summary: Summary, language: Language) -> str:
    if summary.drift is None:
        return t("lab.logprobs_unseen", language)
    if summary.drift.epsilon == 0.0:
        return "" if summary.level is Level.BITWISE else t("lab.logprobs_still", language)
    return t("lab.logprobs_moved", language, epsilon=nats(summary.drift.epsilon))


def _fragile(summary: Summary, language: Language) -> str:
    more = len(summary.fragile) - 1
    key = "lab.fragile_more" if more else "lab.fragile_one"
    return t(key, language, index=summary.fragile[0], more=more)


def _cut(sentence: str, cut: int, language: Language) -> str:
    return sentence if not cut else sentence + " " + t("lab.manager_cut", language, cut=cut)


def _manager_run(summary: RunSummary, language: Language) -> str:
    if summary.changed:
        return changed_sentence(" / ".join(summary.servers), language)
    told = [each for each in summary.questions if each.holds(Level.TEXT) is not None]
    if not told:
        return t("lab.open_failed", language, n=summary.n, ok=summary.ok, failed=summary.failed)
    same = sum(each.holds(Level.TEXT) is True for each in told)
    key = "lab.manager_all_questions" if same == len(summary.questions) else "lab.manager_questions"
    said = miss(summary.interval(Level.TEXT), summary.ok, language)
    values = {"same": same, "told": len(told), "questions": len(summary.questions), "n": summary.n, "miss": said}
    sentence = t(key, language, **values)
    if summary.failed:
        sentence += " " + t("lab.manager_failed", language, failed=summary.failed)
    return _cut(sentence, summary.cut, language)


def _engineer_run(summary: RunSummary, language: Language) -> str:
    if summary.changed or not summary.ok:
        return _manager_run(summary, language)
    display = Level.TOKENS if Level.TOKENS in summary.visible else Level.TEXT
    raw, answers = summary.tar(Level.TEXT), summary.tar(Level.ANSWER)
    moved = [each.drift.epsilon for each in summary.questions if each.drift is not None]
    n = max(each.n for each in summary.questions)
    parts = [
        t("lab.run_level", language, level=t(f"lab.level_{summary.level}", language)),
        t("lab.run_tar", language, n=n, raw=_share(raw), answers=_share(answers)),
        t("lab.logprobs_moved", language, epsilon=nats(max(moved))) if moved and max(moved) > 0 else "",
        t("lab.part_failed", language, failed=summary.failed) if summary.failed else "",
        bound(summary.interval(display), language),
    ]
    return t("lab.part_join", language).join(part for part in parts if part) + t("lab.part_end", language)


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)
