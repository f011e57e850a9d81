"""A whole diagnosis as HTML: its verdict, its causes, and the table of evidence with one row for each arm."""

from __future__ import annotations

from vqa.lab.diagnosis.findings import Diagnosis, Evidence
from vqa.lab.diagnosis.premises import arm_kind
from vqa.lab.plan.arms import Arm
from vqa.lab.report.cells import letter
from vqa.lab.report.conclusions import arm_about, arm_title, finding, level_chip, number, titled, verdict_box
from vqa.lab.report.glossary import explained
from vqa.markup import html, joined
from vqa.text import Language, t, text_or_itself


def diagnosis(found: Diagnosis, language: Language) -> str:
    """Returns the whole diagnosis: verdict, causes with their confidence and remedy, and the evidence table."""
    causes = joined(finding(each, language) for each in found.findings)
    return joined([verdict_box(found, language), causes]) + titled(language)(
        "evidence", evidence(found.evidence, language)
    )


def evidence(rows: tuple[Evidence, ...], language: Language) -> str:
    """Returns the table of arms: how many answers, variants, the level that holds, cache hits, seconds, cost."""
    if not rows:
        return ""
    names = ("arm", "answers", "distinct", "holds", "equals", "cached", "seconds", "throughput")
    plain = {"arm", "holds", "equals"}
    heads = ((name, explained(t(f"report.column_{name}", language), language)) for name in names)
    head = joined(
        html('<th scope="col" class="{}">{}</th>', "" if name in plain else "vl-num", words) for name, words in heads
    )
    body = joined(_evidence_row(row, language) for row in rows)
    table_html = html('<table class="vl-arms"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', head, body)
    return html('<div class="vl-scroll" tabindex="0">{}</div>', table_html)


def _evidence_row(row: Evidence, language: Language) -> str:
    equals = "–" if row.equals_repeat is None else t(f"report.{'yes' if row.equals_repeat else 'no'}", language)
    cached = _cached(row)
    about = arm_about(row.arm, language)
    invalid = ""
    if row.invalid:
        reason = text_or_itself(row.invalid, language)
        invalid = html('<br><span class="vl-chip vl-warn">{}</span> {}', t("report.invalid", language), reason)
    if row.together is not None:
        invalid += html("<br><small>{}</small>", t("lab.together", language, together=row.together))
    holds = level_chip(row.holds, language) if row.ok > 1 else "–"
    if arm_kind(row.arm) is Arm.POSITIVE_CONTROL and row.ok > 1 and not row.invalid:
        came = ("vl-good", "differs") if row.distinct > 1 else ("vl-warn", "same")
        holds = html('<span class="vl-chip {}">{}</span>', came[0], t(f"report.control_{came[1]}", language))
    return html(
        '<tr><td><b>{}</b><br><small>{}</small>{}</td><td class="vl-num">{:d}/{:d}</td>'
        '<td class="vl-num">{:d}</td><td>{}</td><td>{}</td><td class="vl-num">{}</td>'
        '<td class="vl-num">{}</td><td class="vl-num">{}</td></tr>',
        explained(arm_title(row.arm, language), language),
        explained(about, language),
        invalid,
        row.ok,
        row.n,
        row.distinct,
        holds,
        equals,
        cached,
        number(row.median_seconds),
        number(row.throughput),
    )


MOST_CLASSES = 6


def _cached(row: Evidence) -> str:
    """Returns how much was found in the prefix cache; with the answers, in letters, where that differed."""
    if row.cached_low is None:
        return "–"
    if row.cached_high == row.cached_low:
        return str(row.cached_low)
    if not row.classes or len(row.classes) > MOST_CLASSES:
        return f"{row.cached_low}–{row.cached_high}"
    return ", ".join(f"{each.cached}: {letter(each.answer)} × {each.count}" for each in row.classes)
