"""A data set of image, question and answer rows: accuracy, and how often repeats of a question agree."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from vqa.answers import Json, Sample, Sampling
from vqa.client import Client
from vqa.errors import InputError
from vqa.lab.plan.arms import Arm, ArmPlan, Plan, RunSpec
from vqa.lab.run.documents import exit_code
from vqa.lab.run.job import RunJob, Work
from vqa.lab.run.runner import LabRunner
from vqa.lab.stats.agreement import Level, normalize_answer
from vqa.lab.stats.summarize import RunSummarizer
from vqa.lab.stats.summary import RunSummary
from vqa.media.images import ImageLimits, ImagePayload, load_image

MAX_ROWS = 100_000
IMAGE_COLUMNS = ("image", "image_path", "path", "file", "img")
QUESTION_COLUMNS = ("question", "query", "prompt")
ANSWER_COLUMNS = ("answer", "answers", "label", "target")
ARM = "evaluate"


@dataclass(frozen=True)
class Row:
    """One question of a data set."""

    image: Path | None
    """None for a question without a picture."""
    question: str
    answers: tuple[str, ...] = ()
    """Answers that count as right; empty when only agreement is of interest."""
    number: int = 0
    """Line or record number in the file, from 1."""
    kind: str = ""
    """The column `type`, by which accuracy is broken down."""


@dataclass(frozen=True)
class Result:
    """One row with what was answered."""

    row: Row
    answers: tuple[str, ...]
    """The texts of the repeats that were answered."""
    failed: int

    @property
    def exact(self) -> float | None:
        """Share of repeats whose text is one of the row's answers; None when there is nothing to compare."""
        return self._share(lambda text: text.strip() in {wanted.strip() for wanted in self.row.answers})

    @property
    def right(self) -> float | None:
        """Share of repeats whose normalised text is one of the row's answers, normalised."""
        wanted = {normalize_answer(answer) for answer in self.row.answers}
        return self._share(lambda text: normalize_answer(text) in wanted)

    def _share(self, test: Callable[[str], bool]) -> float | None:
        if not self.row.answers or not self.answers:
            return None
        return sum(map(test, self.answers)) / len(self.answers)


@dataclass(frozen=True)
class Evaluation:
    """A data set's figures."""

    rows: int
    requests: int
    failed: int
    repeats: int
    accuracy: float | None
    """Share of answered requests whose normalised answer is right; None without right answers in the data set."""
    exact: float | None
    """The same for the text as it stands."""
    by_kind: Mapping[str, float]
    """Accuracy for each value of the column `type`."""
    tar_raw: float | None
    """TARr@N: share of questions whose N texts all agree (arXiv 2408.04667); None with one repeat."""
    tar_answer: float | None
    """TARa@N: the same on normalised answers."""

    def to_record(self) -> dict[str, Json]:
        """Returns plain values."""
        return {**vars(self), "by_kind": dict(self.by_kind)}


def read_dataset(path: Path) -> list[Row]:
    """Returns the rows of a JSONL, JSON or CSV file; image paths are relative to the file.

    The columns are `image`, `question` and `answer` (or `answers`, a list), with common other names understood.

    Raises:
        InputError: the file cannot be read, or a row has no question; the message names the row.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise InputError("dataset_unreadable", path=path, reason=problem.strerror) from problem
    except UnicodeDecodeError as problem:
        raise InputError("dataset_unreadable", path=path, reason="UTF-8") from problem
    records = list(_records(text, path))
    if not records:
        raise InputError("dataset_empty", path=path)
    if len(records) > MAX_ROWS:
        raise InputError("number_invalid", name="rows", value=len(records), least=1, most=MAX_ROWS)
    return [_row(record, number, path) for number, record in enumerate(records, 1)]


def _records(text: str, path: Path) -> Iterable[Mapping[str, Json]]:
    if path.suffix.lower() in {".csv", ".tsv"}:
        dialect = "excel-tab" if path.suffix.lower() == ".tsv" else "excel"
        yield from csv.DictReader(io.StringIO(text), dialect=dialect)
        return
    if text.lstrip().startswith("["):
        values = _json(text, path, 1)
        yield from (_mapping(value, path, number) for number, value in enumerate(values, 1))
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield _mapping(_json(line, path, number), path, number)


def _json(text: str, path: Path, number: int) -> Json:
    try:
        return json.loads(text)
    except ValueError as problem:
        raise InputError("dataset_row_invalid", path=path, row=number, reason=str(problem)) from problem


def _mapping(value: Json, path: Path, number: int) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        raise InputError("dataset_row_invalid", path=path, row=number, reason=type(value).__name__)
    return value


def _row(record: Mapping[str, Json], number: int, path: Path) -> Row:
    question = str(_first(record, QUESTION_COLUMNS) or "").strip()
    if not question:
        raise InputError("dataset_row_invalid", path=path, row=number, reason="question")
    image = _first(record, IMAGE_COLUMNS)
    if image is not None and not isinstance(image, str):
        raise InputError("dataset_row_invalid", path=path, row=number, reason="image")
    given = _first(record, ANSWER_COLUMNS)
    several = given if isinstance(given, list) else [] if given in (None, "") else [given]
    kind = str(record.get("type") or record.get("kind") or "")
    return Row(path.parent / image if image else None, question, tuple(map(str, several)), number, kind)


def _first(record: Mapping[str, Json], names: Sequence[str]) -> Json:
    return next((record[name] for name in names if record.get(name) not in (None, "")), None)


async def ask_rows(
    client: Client,
    rows: Sequence[Row],
    *,
    repeats: int = 1,
    concurrency: int = 8,
    sampling: Sampling | None = None,
    limits: ImageLimits | None = None,
    nonce: str = "",
) -> AsyncGenerator[Sample]:
    """Yields every sample; `Sample.question` is the row's place, from 0. Rows go out in order, `concurrency` at a time.

    Raises:
        InputError: a picture cannot be used; nothing of its row is asked.
    """
    waiting = iter(enumerate(rows))
    landed: asyncio.Queue[Sample | BaseException | None] = asyncio.Queue(maxsize=4 * concurrency)

    async def work() -> None:
        try:
            for place, row in waiting:
                spec = RunSpec(
                    (row.question,), await _pictures(row, limits), n=repeats, sampling=sampling or Sampling()
                )
                plan = Plan(spec.check(), (ArmPlan(Arm.REPEAT, repeats, whole=True),))
                async with aclosing(LabRunner(plan, client, nonce=nonce).run()) as samples:
                    async for sample in samples:
                        await landed.put(replace(sample, arm=ARM, question=place, concurrency=concurrency))
        except Exception as problem:
            await landed.put(problem)
        else:
            await landed.put(None)

    workers = [asyncio.create_task(work()) for _ in range(min(concurrency, len(rows)))]
    try:
        ended = 0
        while ended < len(workers):
            sample = await landed.get()
            if isinstance(sample, BaseException):
                raise sample
            if sample is None:
                ended += 1
            else:
                yield sample
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _pictures(row: Row, limits: ImageLimits | None) -> tuple[ImagePayload, ...]:
    return () if row.image is None else (await asyncio.to_thread(load_image, row.image, limits),)


def results_of(rows: Sequence[Row], samples: Iterable[Sample]) -> list[Result]:
    """Returns each row with its answers; an answer without a finish reason does not count."""
    texts: dict[int, list[str]] = {}
    failed: dict[int, int] = {}
    for sample in samples:
        if sample.error is None and sample.answer is not None and sample.answer.finish_reason is not None:
            texts.setdefault(sample.question, []).append(sample.answer.text)
        else:
            failed[sample.question] = failed.get(sample.question, 0) + 1
    return [Result(row, tuple(texts.get(place, ())), failed.get(place, 0)) for place, row in enumerate(rows)]


def evaluation_of(results: Sequence[Result], summary: RunSummary, repeats: int) -> Evaluation:
    """Returns the figures of a data set."""
    kinds = sorted({result.row.kind for result in results if result.row.kind})
    by_kind = {kind: _mean([r.right for r in results if r.row.kind == kind]) for kind in kinds}
    return Evaluation(
        rows=len(results),
        requests=summary.n,
        failed=summary.failed,
        repeats=repeats,
        accuracy=_mean([result.right for result in results]),
        exact=_mean([result.exact for result in results]),
        by_kind={kind: value for kind, value in by_kind.items() if value is not None},
        tar_raw=summary.tar(Level.TEXT),
        tar_answer=summary.tar(Level.ANSWER),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def evaluate_work(
    rows: Sequence[Row], *, repeats: int, concurrency: int, sampling: Sampling, limits: ImageLimits | None = None
) -> Work:
    """Returns the job that asks a data set and stores every sample as it lands."""
    spec = RunSpec((rows[0].question,), n=repeats, sampling=sampling)
    plan = Plan(spec, (ArmPlan(Arm.REPEAT, repeats * len(rows), concurrency, whole=True),))

    async def work(job: RunJob) -> Json:
        summarizer = RunSummarizer()
        landed: list[Sample] = []
        job.live.expect(plan)
        async with job.server() as (client, view):
            await job.write_header(plan, view)
            samples = ask_rows(
                client,
                rows,
                repeats=repeats,
                concurrency=concurrency,
                sampling=sampling,
                limits=limits,
                nonce=job.live.run_id,
            )
            async with aclosing(samples):
                async for sample in samples:
                    await job.record(sample)
                    summarizer.add(sample)
                    landed.append(_light(sample))
        summary = summarizer.summary()
        results = results_of(rows, landed)
        holds = None if summary.failed or repeats < 2 else summary.holds(Level.TEXT)
        return {
            "version": 1,
            "holds": holds,
            "exit_code": exit_code(holds),
            **evaluation_of(results, summary, repeats).to_record(),
            "wrong": [_wrong(result) for result in results if result.right is not None and result.right < 1][:200],
        }

    return work


def _light(sample: Sample) -> Sample:
    """Returns a sample without its tokens, which ten thousand rows need not keep in memory."""
    if sample.answer is None:
        return sample
    return replace(sample, answer=replace(sample.answer, tokens=None, token_ids=None))


def _wrong(result: Result) -> dict[str, Json]:
    return {
        "row": result.row.number,
        "question": result.row.question,
        "wanted": list(result.row.answers),
        "answers": sorted(set(result.answers)),
    }
