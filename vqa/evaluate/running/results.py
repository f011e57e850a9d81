"""What is concluded from a stored run over a data set, at its end or later, under any scorer; asks nobody."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from vqa.answers import Json, Sample
from vqa.errors import InputError
from vqa.evaluate.reading.formats import FORMATS
from vqa.evaluate.reading.values import Row
from vqa.evaluate.scoring import Scorer, Target, default_scorer, find_scorer
from vqa.evaluate.scoring.answering import Answering
from vqa.evaluate.scoring.figures import Figures, ScoredRow, score_row
from vqa.lab.stats.summarize import counts
from vqa.store import Run, Store, StoredRow

VERSION = 2
HEAD = 50


def scorer_of(store: Store, run: Run) -> Scorer:
    """Returns the scorer that a run was asked under: the one that was named, else its format's."""
    named = run.plan.get("asking", {}).get("scorer")
    if named:
        return find_scorer(named)
    form = next(each for each in FORMATS if each.name == run.plan["dataset"]["format"])
    rows = [_row(row) for row, _ in islice(store.evaluated(run.id), HEAD) if "bad" not in row.record]
    return default_scorer(form, rows)


def _row(row: StoredRow) -> Row:
    return Row(row.place, row.number, "", answers=tuple(row.record["answers"]), options=_options(row))


def _options(row: StoredRow) -> tuple[tuple[str, str], ...]:
    return tuple((option[0], option[1]) for option in row.record["options"])


def answers_of(samples: list[Sample]) -> tuple[dict[int, Sample], tuple[str, ...]]:
    """Returns the answer of each repeat by its index, and why each that was not answered later either has failed."""
    found: dict[int, Sample] = {}
    failed: dict[int, str] = {}
    for sample in samples:
        if counts(sample):
            found.setdefault(sample.index, sample)
        else:
            failed[sample.index] = "" if sample.error is None else sample.error.message
    return found, tuple(why for index, why in failed.items() if index not in found)


def scored_rows(
    store: Store, run_id: str, scorer: Scorer, figures: Figures | None = None
) -> Iterator[tuple[ScoredRow, dict[int, Sample]]]:
    """Yields every row that was asked, scored, with its answers; bad rows go into the figures alone."""
    for row, samples in store.evaluated(run_id):
        if "bad" in row.record:
            if figures is not None:
                figures.add_bad(row.place, row.number, row.record)
            continue
        found, failed = answers_of(samples)
        indexes = tuple(sorted(found))
        texts = tuple(sample.answer.text for index in indexes if (sample := found[index]).answer is not None)
        target = Target(tuple(row.record["answers"]), _options(row))
        scored = ScoredRow(
            row.place,
            row.number,
            row.record["id"],
            row.record["kind"],
            row.record["question"],
            target.answers,
            target.options,
            texts,
            indexes,
            score_row(scorer, texts, target),
            len(failed),
            tuple(sample.answer.answered for index in indexes if (sample := found[index]).answer is not None),
            next(filter(None, failed), ""),
        )
        if figures is not None:
            figures.add(scored)
            for sample in found.values():
                if sample.answer is not None:
                    figures.measure(sample.answer)
        yield scored, found


def conclude(store: Store, run_id: str, scorer: Scorer | None = None) -> dict[str, Json]:
    """Returns the figures of a run as far as it has come, as they are stored and written.

    `holds` says whether all repeats of all rows agree to the character; None with one repeat or with failures.

    Raises:
        InputError: the run is of another kind.
        StoreError: there is none, or it cannot be read.
    """
    run = store.run(run_id)
    if "dataset" not in run.plan:
        raise InputError("run_no_dataset", run=run_id)
    scorer = scorer or scorer_of(store, run)
    figures = Figures(scorer, run.plan["asking"]["repeats"])
    answering = Answering()
    for _, found in scored_rows(store, run_id, scorer, figures):
        answering.add(answer for index in sorted(found) if (answer := found[index].answer) is not None)
    record = figures.record()
    holds = None
    if figures.repeats > 1 and figures.repeated and not figures.failed:
        holds = figures.flips == 0
    return {
        "version": VERSION,
        "format": run.plan["dataset"]["format"],
        "dataset": run.plan["dataset"]["path"],
        "encoding": run.plan["dataset"]["encoding"],
        "prompt": run.plan["dataset"]["prompt"],
        "columns": run.plan["dataset"]["found"],
        "unknown_columns": run.plan["dataset"]["unknown"],
        "holds": holds,
        "exit_code": 2 if holds is None else 0 if holds else 1,
        "complete": False,
        "answered_by": answering.record(),
        **record,
    }
