"""A run over a data set as CSV, JUnit and one self-contained HTML page, written row by row from the store."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from vqa.answers import Json, Sample
from vqa.evaluate.reporting.saying import percent, reason_of, sentences
from vqa.evaluate.running.results import scored_rows, scorer_of
from vqa.evaluate.scoring import find_scorer
from vqa.evaluate.scoring.figures import Figures, ScoredRow
from vqa.lab.report.export import no_formula, wall_seconds
from vqa.lab.report.junit import Outcome, TestOutcome, junit_xml
from vqa.markup import escape
from vqa.store import Run, Store
from vqa.text import Language, t

if TYPE_CHECKING:
    from jinja2 import Template

HTML_ROWS = 10_000
CUT = {"question": 130, "wanted": 60, "given": 120}
"""Bytes of a cell at most, so that ten thousand rows stay under five megabytes in any language."""
CASES = 1000
FIELDS = (
    *("row", "line", "id", "type", "question", "expected", "repeat", "answer"),
    *("score", "parsed", "unparsed", "seconds", "tokens", "state", "reason", "retried", "server", "run_status"),
)


@dataclass(frozen=True)
class RunFiles:
    """Writes a stored run's files."""

    store: Store
    run: Run
    result: Mapping[str, Json]
    language: Language
    least: float | None = None
    """The accuracy that was asked for."""

    def _rows(self, figures: Figures | None = None) -> Iterator[tuple[ScoredRow, dict[int, Sample]]]:
        name = (self.result.get("scorer") or {}).get("name")
        scorer = find_scorer(name) if name else scorer_of(self.store, self.run)
        return scored_rows(self.store, self.run.id, scorer, figures)

    def _early(self, language: Language) -> str | None:
        """Returns after how many rows a run ended that did not ask them all; None for a whole one."""
        if self.result.get("complete"):
            return None
        return t("evaluate.incomplete", language, done=self.result["asked"], run=self.run.id)

    def csv(self) -> str:
        """Returns one line for each answer, and one for each row that has none."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")

        writer.writerow(FIELDS)
        how = self._early("en") or self.run.status

        def write(*cells: Json) -> None:
            writer.writerow([no_formula(cell) for cell in (*cells, how)])

        for row, samples in self._rows():
            first = (row.place + 1, row.number, row.id, row.kind, row.question, " | ".join(row.wanted))
            for place, index in enumerate(row.indexes):
                score = row.scores[place] if row.scores else None
                answer = samples[index].answer
                assert answer is not None
                told = (score.value, score.parsed or "", int(score.unparsed)) if score else ("", "", "")
                measured = (round(answer.seconds, 4), answer.completion_tokens or "")
                given = answer.answered
                write(*first, index + 1, given, *told, *measured, state_of(row), "", answer.retried, answer.server)
            if not row.indexes:
                write(*first, "", "", "", "", "", "", "", "failed", row.why, "", "")
        for bad in self.result["bad_rows"]:
            reason = reason_of(bad, self.language)
            write(bad["row"], bad["line"], bad["id"], *[""] * 10, "skipped", reason, "", "")
        return out.getvalue()

    def junit(self) -> str:
        """Returns a suite of what was promised, and a case for each row that could not be asked."""
        result, language = self.result, self.language
        seconds = float(result.get("seconds") or wall_seconds(self.run) or 0.0)
        name, early = Path(str(result["dataset"])).name, self._early(language)
        passed = Outcome.PASSED if early is None else Outcome.SKIPPED  # of rows that were not asked nothing is known

        def case(key: str, ok: bool, outcome: Outcome, message: str = "", **values: Json) -> TestOutcome:
            title = t(f"evaluate.case_{key}", language, **values)
            return TestOutcome(title, name, 0.0, passed if ok else outcome, early or "" if ok else message)

        lines = sentences(result, self.run.id, language)
        title = t("evaluate.title", language, name=name)
        cases = [
            TestOutcome(title, name, seconds, passed, early or "", detail="\n".join(lines)),
            case("readable", not result["skipped"], Outcome.ERROR, str(result["skipped"])),
            case("answered", not result["failed"], Outcome.ERROR, _failed(result)),
            case("complete", early is None, Outcome.SKIPPED, early or ""),
        ]
        if self.least is not None:
            told = {"accuracy": percent(result["accuracy"]), "least": percent(self.least)}
            enough = result["accuracy"] is not None and result["accuracy"] >= self.least
            message = t("evaluate.is_below", language, **told)
            cases.append(case("accuracy", enough, Outcome.FAILED, message, least=percent(self.least)))
        if result["repeats"] > 1 and result["tar_raw"] is not None:
            cases.append(case("agree", not result["flips"], Outcome.FAILED, str(result["flips"])))
        for bad in itertools.islice(result["bad_rows"], CASES):
            title = f"{t('evaluate.row', language)} {bad['row']}"
            cases.append(TestOutcome(title, name, 0.0, Outcome.ERROR, reason_of(bad, language)))
        facts = [(key, str(result[key])) for key in ("format", "rows", "accuracy", "unparsed", "failed", "skipped")]
        facts.append(("scorer", f"{result['scorer']['name']} {result['scorer']['version']}"))
        return junit_xml(t("evaluate.title", language, name=name), self.run.created_at, cases, facts)

    def html(self) -> str:
        """Returns one page without pictures: the figures, and a table of the rows that can be filtered."""
        language = self.language
        name = Path(str(self.result["dataset"])).name
        heads = ("row", "type", "question", "wanted", "given", "score", "state")
        rows = [self._html_row(row) for row, _ in itertools.islice(self._rows(), HTML_ROWS)]
        rows += [self._html_bad(bad) for bad in self.result["bad_rows"]]
        note = ""
        if self.result["asked"] > HTML_ROWS:
            note = t("evaluate.shown_first", language, shown=HTML_ROWS, rows=self.result["rows"])
        states = ("all", *(key.removeprefix("state_") for key in _states()))
        return _page().render(
            language=language,
            title=t("evaluate.title", language, name=name),
            lines=sentences(self.result, self.run.id, language),
            note=note,
            states=[(key, t("evaluate.all" if key == "all" else f"evaluate.state_{key}", language)) for key in states],
            heads=[t(f"evaluate.{key}", language) for key in heads],
            rows=rows,
        )

    def _html_row(self, row: ScoredRow) -> tuple[str, Sequence[str]]:
        state = state_of(row)
        wanted = " | ".join(dict.fromkeys(row.wanted))
        given = " ‖ ".join(dict.fromkeys(row.texts)) or row.why
        cells = (
            str(row.place + 1),
            row.kind[:40],
            _cut(row.question, CUT["question"]),
            _cut(wanted, CUT["wanted"]),
            _cut(given, CUT["given"]),
            "" if row.score is None else f"{row.score:.2f}",
            t(f"evaluate.state_{state}", self.language),
        )
        flip = " flipped" if row.flips else ""
        return state + flip, cells

    def _html_bad(self, bad: Mapping[str, Json]) -> tuple[str, Sequence[str]]:
        cells = (
            str(bad["row"]),
            "",
            reason_of(bad, self.language),
            "",
            "",
            "",
            t("evaluate.state_skipped", self.language),
        )
        return "skipped", cells


def _failed(result: Mapping[str, Json]) -> str:
    counts = f"{result['failed']} / {result['requests']}"
    return f"{counts}: {result['error_example']}" if result.get("error_example") else counts


def state_of(row: ScoredRow) -> str:
    """Returns `failed`, `open` (nothing to score), `unparsed`, `right`, `part` or `wrong`."""
    if not row.texts:
        return "failed"
    if row.score is None:
        return "open"
    if row.unparsed:
        return "unparsed"
    return "right" if row.score == 1 else "part" if row.score > 0 else "wrong"


@cache
def _page() -> Template:
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("vqa.evaluate.reporting"), autoescape=True, trim_blocks=True)
    return environment.get_template("rows.html")


@cache
def _states() -> tuple[str, ...]:
    return tuple(f"state_{name}" for name in ("wrong", "part", "unparsed", "flipped", "failed", "skipped", "right"))


def _cut(text: str, length: int) -> str:
    flat = " ".join(text[: 2 * length].split())
    if _size(flat) <= length and len(text) <= 2 * length:
        return flat
    while flat and _size(flat) > length - len("…".encode()):
        flat = flat[: min(len(flat) - 1, length)]
    return flat + "…"


def _size(text: str) -> int:
    return len(escape(text).encode("utf-8", "replace"))
