"""The HTML report: puts the fragments of a run into one page for each language, in one file."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from vqa.answers import Answer, Sample
from vqa.lab.diagnosis.invalid import invalid_sentence
from vqa.lab.report import cells, conclusions, fragments, matrix, outcomes
from vqa.lab.report.diffs import shorten
from vqa.lab.report.markdown import ANSWER_SHOWN
from vqa.lab.report.notes import noted
from vqa.lab.report.reproduce import case_texts, commands
from vqa.lab.run import public_header, recorded
from vqa.lab.run.failures import error_text
from vqa.lab.run.run_json import Report
from vqa.lab.stats.summary import RunSummary, Summary
from vqa.markup import html, joined
from vqa.media.images import ImagePayload, small_copy
from vqa.store import Run
from vqa.text import LANGUAGES, Language, t

if TYPE_CHECKING:
    from jinja2 import Template

INLINE_BYTES = 1_000_000
"""A picture up to this size goes into the report as it was sent; a larger one as a smaller copy."""
COPY_SIDE = 1200
DIFFS = 6
"""How many of the other answers are set beside the most frequent one."""
TITLE = 200
"""Characters of a question that are its report's title."""
MIMES = frozenset({"image/jpeg", "image/png", "image/webp"})
LANGUAGE_NAMES: Mapping[Language, str] = {"en": "English", "zh": "中文"}


def render(report: Report, arms: Mapping[str, RunSummary], language: Language) -> str:
    """Returns the report as one HTML file: both languages, opening in `language`, no script, nothing to fetch."""
    pages = [_page(report, arms, each) for each in LANGUAGES]
    opened = next(page for page in pages if page["language"] == language)
    return _template().render(
        report=report,
        language=language,
        languages=[(code, LANGUAGE_NAMES[code]) for code in LANGUAGES],
        theme_label=t("ui.theme_label", language),
        title=f"{opened['title']} · VQA Lab",
        stylesheet=_stylesheet(report.images),
        pages=pages,
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("vqa.lab.report"), autoescape=True)
    return environment.get_template("report.html")


def _stylesheet(images: Sequence[ImagePayload]) -> str:
    """Returns the CSS; it holds the pictures, so that both languages share one copy."""
    from importlib.resources import files

    own = (files("vqa.lab.report") / "templates" / "report.css").read_text(encoding="utf-8")
    rules = []
    for place, image in enumerate(images):
        data, mime, width, height = _small(image)
        mime = mime if mime in MIMES else "application/octet-stream"  # it stands in a style sheet
        shown = min(width, 260 if len(images) == 1 else 160, int(180 * width / height) or 1)
        address = f"data:{mime};base64,{base64.b64encode(data).decode()}"
        rules.append(
            f".vr-image-{place} {{ width: {max(shown, 64)}px; aspect-ratio: {width} / {height};"
            f' background-image: url("{address}"); }}'
        )
    return "\n".join([fragments.stylesheet(), own, *rules])


def _small(image: ImagePayload) -> tuple[bytes, str, int, int]:
    if len(image.data) <= INLINE_BYTES:
        return image.data, image.mime, image.width, image.height
    copy = small_copy(image, COPY_SIDE, as_jpeg=True)
    return copy.data, copy.mime, copy.width, copy.height


def _page(report: Report, arms: Mapping[str, RunSummary], language: Language) -> dict[str, Any]:
    run = report.run
    kind = t(f"report.kind_{run.kind}", language)
    questions = case_texts(run.plan)
    moment = recorded.label(run, language) or run.created_at.strftime("%Y-%m-%d %H:%M UTC")
    status = t(f"report.status_{run.status}", language)
    model = public_header.public_text(str(run.header.get("model") or "")) or "–"
    counts = t("report.counts", language, n=len(report.samples))
    return {
        "language": language,
        "kind": kind,
        "title": recorded.named(run, language) or (shorten(questions[0], TITLE) if questions else run.id),
        "subtitle": " · ".join((model, moment, status, counts, run.id)),
        "answers": _answers(report, arms),
        "verdict": _verdict(run, arms, language),
        "images": [{"label": _image_label(image)} for image in report.images],
        "questions": questions,
        "diagnosis": outcomes.of_run(run, language),
        "parts": _parts(report, arms, questions, language),
        "commands": commands(run, language),
        "header": public_header.rows(run.header),
        "glossary": [t(f"report.glossary_{number}", language) for number in (1, 2, 3, 4)],
        "words": {
            name: t(f"report.{name}", language, version=report.app_version)
            for name in (
                "answer",
                "title_arms",
                "figures",
                "reproduce",
                "reproduce_note",
                "header",
                "header_note",
                "glossary",
                "footer",
            )
        },
    }


def _verdict(run: Run, arms: Mapping[str, RunSummary], language: Language) -> str:
    """Returns the run's verdict on top, unless a single part or a diagnosis says it below, and why it failed."""
    whole = conclusions.main_arm(arms)
    failed = error_text(run.error, run.result, language)
    error = html('<p class="vl-note-box">{}</p>', failed) if failed else ""
    if whole is None:
        return html('{}<p class="vl-note-box">{}</p>', error, t("report.nothing", language))
    if run.kind != "repeat" or len(arms) != 1:
        from vqa.lab.report.export import ended_early

        early = ended_early(run, language)
        return (html('<p class="vl-note-box"><b>{}</b></p>', early) if early else "") + error
    told = noted(run.result, language) + error
    shown = whole if len(whole.questions) > 1 else whole.questions[0]
    return conclusions.sentences(shown, language, invalid=invalid_sentence(run.result, language)) + told


def _answers(report: Report, arms: Mapping[str, RunSummary]) -> list[str]:
    """Returns the most frequent answer to each question in the arm that stands for the run; empty where none came."""
    whole = conclusions.main_arm(arms)
    by_id = {sample.id: sample for sample in report.samples if sample.answer is not None}
    answers = [_answer(summary, 0, by_id) for summary in (whole.questions if whole else ())]
    return ["" if each is None else shorten(each.text.strip(), ANSWER_SHOWN) for each in answers]


def _image_label(image: ImagePayload) -> str:
    name = image.given_name.replace("\\", "/").rsplit("/", 1)[-1]
    return f"{name or 'image'} · {image.width} × {image.height} · {image.mime} · sha256 {image.sha256[:12]}…"


def _parts(
    report: Report, arms: Mapping[str, RunSummary], questions: Sequence[str], language: Language
) -> list[dict[str, Any]]:
    """Returns one part for each arm of each question that was asked."""
    by_id = {sample.id: sample for sample in report.samples if sample.answer is not None}
    alone = report.run.kind == "repeat" and len(arms) == 1 and all(len(run.questions) == 1 for run in arms.values())
    invalid = invalid_sentence(report.run.result, language) if report.run.kind == "repeat" else None
    parts = []
    shown = matrix.telling(report.run.result) if report.run.kind == "matrix" and report.run.result else set(arms)
    for arm, run in arms.items():
        for place, summary in enumerate(run.questions):
            if not summary.n or arm not in shown:
                continue
            several = len(run.questions) > 1
            title = conclusions.arm_title(arm, language)
            parts.append(
                {
                    "title": f"{title} · {place + 1}/{len(run.questions)}" if several else title,
                    "question": questions[place] if several and place < len(questions) else "",
                    "first": part_evidence(summary, by_id, language, verdict=not alone, invalid=invalid),
                    "rest": part_details(summary, by_id, language),
                }
            )
    return parts


def part_evidence(
    summary: Summary,
    by_id: Mapping[int, Sample],
    language: Language,
    *,
    verdict: bool = True,
    invalid: str | None = None,
) -> str:
    """Returns what shows at a glance how one arm of one question went; `by_id` finds the samples of its groups.

    `verdict` puts its sentences on top, for when nothing above has said them; `invalid` says why they do not count.
    """
    say = conclusions.titled(language)
    strips = fragments.strips(summary, len(summary.seconds), language)
    return joined(
        (
            conclusions.sentences(summary, language, invalid=invalid) if verdict else "",
            say("strip", strips, fragments.cache_note(summary, language)),
            _diffs(summary, by_id, language, range(1, 2)),
            conclusions.failures(summary, language),
        )
    )


def part_details(summary: Summary, by_id: Mapping[int, Sample], language: Language) -> str:
    """Returns the figures of one arm of one question: levels, distinct answers, margins, times."""
    say = conclusions.titled(language)
    return joined(
        (
            say("levels", fragments.levels(summary, language), fragments.unseen(summary, language)),
            say("groups", fragments.groups(summary, language)),
            _diffs(summary, by_id, language, range(2, DIFFS + 1)),
            say("margins", fragments.margins(summary, language)),
            say("latency", fragments.latency(summary, language)),
        )
    )


def _diffs(summary: Summary, by_id: Mapping[int, Sample], language: Language, places: Iterable[int]) -> str:
    """Returns the most frequent answer beside those at `places`, by how often they came."""
    modal = _answer(summary, 0, by_id)
    out = []
    for place in places:
        other = _answer(summary, place, by_id)
        if modal is None or other is None:
            continue
        names = t("report.diff_names", language, one="A", other=cells.letter(place))
        inside = fragments.diff(modal, other, (0, place), language)
        out.append(html("<h4>{}</h4>{}", names, inside))
    return conclusions.titled(language)("diffs", *out)


def _answer(summary: Summary, place: int, by_id: Mapping[int, Sample]) -> Answer | None:
    ids = summary.groups[place].sample_ids if place < len(summary.groups) else ()
    sample = next((by_id[each] for each in ids if each in by_id), None)
    return sample.answer if sample else None
