"""Runs and their samples in the store. A sample is stored the moment it lands, in a transaction of its own.

Answers that are bitwise identical share one row, so that ten thousand equal samples cost ten thousand small rows.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import uuid4

import psutil
import sqlalchemy as sa

from vqa.answers import Answer, Json, Sample, SampleError, answer_of, content_json
from vqa.errors import StoreError
from vqa.store.base import Database
from vqa.store.tables import answers, dataset_rows, runs, samples, summaries

ANSWERS_IN_MEMORY = 256
AT_ONCE = 500
"""Contents fetched by one query."""


@dataclass(frozen=True)
class Run:
    """One stored run: what was planned, everything that fixes it, how it ended."""

    id: str
    kind: str
    """`repeat`, `diagnose`, `certify`, `horizon`, `compare` or `evaluate`."""
    name: str
    status: str
    """`running`, `finished`, `stopped` (by the user), `failed`, or `interrupted` (its process is gone)."""
    created_at: datetime
    finished_at: datetime | None
    header: dict[str, Json]
    plan: dict[str, Json]
    result: dict[str, Json] | None
    error: str | None
    samples: int


class RunStore(Database):
    """What can be done with runs."""

    def __init__(self, address: str) -> None:
        """Opens the database at an SQLAlchemy address; raises StoreError as Database does."""
        super().__init__(address)
        self._content = lru_cache(maxsize=ANSWERS_IN_MEMORY)(self._read_content)

    def create_run(
        self, kind: str, *, header: dict[str, Json], plan: dict[str, Json], name: str = "", run_id: str | None = None
    ) -> str:
        """Stores a run that is starting in this process; returns its id."""
        run_id = run_id or uuid4().hex[:12]
        row = {
            "id": run_id,
            "kind": kind,
            "name": name,
            "status": "running",
            "owner": _this_process(),
            "created_at": datetime.now(UTC),
            "header": header,
            "plan": plan,
        }
        with self._begin() as connection:
            connection.execute(sa.insert(runs).values(row))
        return run_id

    def add_sample(self, run_id: str, sample: Sample) -> Sample:
        """Stores a sample as it lands; returns it with its place."""
        with self._begin() as connection:
            digest = self._put_content(connection, sample.answer)
            row = _sample_row(run_id, sample, digest)
            row_id = connection.execute(sa.insert(samples).values(row).returning(samples.c.id)).scalar_one()
        return sample.stored_as(int(row_id))

    def import_run(self, run: Run, taken: Sequence[Sample]) -> None:
        """Stores a run that was made elsewhere, under its own id, with its samples; as a whole or not at all.

        Thousands of samples take seconds to pack, and all of it is done before the database is held: others write
        meanwhile.

        Raises:
            StoreError: a run with this id is stored already.
        """
        row = {name: getattr(run, name) for name in (*FIELDS, "status")} | {"owner": ""}
        contents: dict[str, bytes] = {}
        digests: dict[object, str | None] = {None: None}
        rows: list[dict[str, Json]] = []
        for sample in taken:
            answer = sample.answer
            # A report's samples share the tokens of the answer that they share.
            key = answer and (id(answer.tokens), answer.token_ids, answer.finish_reason, *answer.parts)
            if key not in digests:
                digest, content = _content(answer)
                digests[key] = digest
                if digest is not None and digest not in contents:
                    contents[digest] = zlib.compress(content, 6)
            rows.append(_sample_row(run.id, sample, digests[key]))
        with self._begin() as connection:
            if connection.execute(sa.select(runs.c.id).where(runs.c.id == run.id)).first():
                raise StoreError("run_exists", run=run.id)
            connection.execute(sa.insert(runs).values(row))
            for chunk in _chunks(contents):
                fresh = [{"sha256": digest, "content": contents[digest]} for digest in chunk]
                self._put_new(connection, answers, fresh)
            if rows:
                connection.execute(sa.insert(samples), rows)

    def finish_run(
        self, run_id: str, status: str, *, result: dict[str, Json] | None = None, error: str | None = None
    ) -> None:
        """Marks a run as `finished`, `stopped` or `failed`, with what was concluded."""
        values = {"status": status, "finished_at": datetime.now(UTC), "error": error}
        if result is not None:
            values["result"] = result
        self._update(runs, run_id, values)

    def update_run(self, run_id: str, **values: Json) -> None:
        """Changes `name`, `header`, `plan` or `result` of a run.

        Raises:
            StoreError: there is no such run.
        """
        self._update(runs, run_id, values)

    def run(self, run_id: str) -> Run:
        """Returns a run.

        Raises:
            StoreError: there is no such run.
        """
        found = self._runs(sa.select(runs).where(runs.c.id == run_id))
        if not found:
            raise StoreError("run_missing", run=run_id)
        return found[0]

    def has_run(self, run_id: str) -> bool:
        """Returns whether there is a run with this id."""
        with self._connect() as connection:
            return connection.execute(sa.select(runs.c.id).where(runs.c.id == run_id)).first() is not None

    def runs(self, *, search: str = "", kind: str | None = None, limit: int = 200, offset: int = 0) -> list[Run]:
        """Returns runs, newest first; every word of `search` stands in the name, a question, the model or the id."""
        query = sa.select(runs).order_by(runs.c.created_at.desc()).limit(limit).offset(offset)
        if kind is not None:
            query = query.where(runs.c.kind == kind)
        header, questions = runs.c.header, runs.c.plan[("spec", "questions")]
        told = (header["model"], header[("engine", "model_id")], header[("engine", "profile")], questions)
        texts = (runs.c.name, runs.c.id, *(value.as_string() for value in told))
        for word in search.split():
            query = query.where(sa.or_(*(text.icontains(word, autoescape=True) for text in texts)))
        return self._runs(query)

    def samples(self, run_id: str, *, after: int = 0, arm: str | None = None) -> list[Sample]:
        """Returns the samples of a run in order of arrival; `after` skips those up to that sample id."""
        query = sa.select(samples).where(samples.c.run_id == run_id, samples.c.id > after).order_by(samples.c.id)
        if arm is not None:
            query = query.where(samples.c.arm == arm)
        with self._connect() as connection:
            rows = connection.execute(query).mappings().all()
            contents = _contents(connection, {row["answer"] for row in rows} - {None})
        return [_sample(row, contents.get(row["answer"])) for row in rows]

    def sample(self, sample_id: int) -> Sample:
        """Returns one sample by its place in the store.

        Raises:
            StoreError: there is none.
        """
        with self._connect() as connection:
            row = connection.execute(sa.select(samples).where(samples.c.id == sample_id)).mappings().first()
        if row is None:
            raise StoreError("sample_missing", sample=sample_id)
        return _sample(row, row["answer"] and self._content(row["answer"]))

    def keep_summary(self, run_id: str, version: str, count: int, data: bytes) -> None:
        """Stores what was computed from a run's first `count` samples, in place of what was stored before."""
        row = {"run_id": run_id, "version": version, "samples": count, "data": zlib.compress(data, 6)}
        with self._begin() as connection:
            self._put_new(connection, summaries, [row])
            connection.execute(sa.update(summaries).where(summaries.c.run_id == run_id).values(row))

    def kept_summary(self, run_id: str, version: str, count: int) -> bytes | None:
        """Returns what `keep_summary` stored; None where that is of another version or number of samples."""
        query = sa.select(summaries.c.data).where(
            summaries.c.run_id == run_id, summaries.c.version == version, summaries.c.samples == count
        )
        with self._connect() as connection:
            packed = connection.execute(query).scalar_one_or_none()
        return None if packed is None else zlib.decompress(packed)

    def delete_run(self, run_id: str) -> None:
        """Deletes a run, its samples, and the answers and pictures that nothing else uses."""
        named = set(self.run(run_id).plan.get("images", ()))
        with self._deleting() as connection:
            for table in (samples, summaries, dataset_rows):
                connection.execute(sa.delete(table).where(table.c.run_id == run_id))
            connection.execute(sa.delete(runs).where(runs.c.id == run_id))
            used = sa.select(samples.c.answer).where(samples.c.answer.is_not(None))
            connection.execute(sa.delete(answers).where(answers.c.sha256.not_in(used)))
            self._drop_unused_images(connection, named)

    def _runs(self, query: sa.Select[Any]) -> list[Run]:
        with self._connect() as connection:
            rows = connection.execute(query).mappings().all()
            wanted = [row["id"] for row in rows]
            counted = sa.select(samples.c.run_id, sa.func.count()).where(samples.c.run_id.in_(wanted))
            pairs = connection.execute(counted.group_by(samples.c.run_id)).all()
            counts: dict[str, int] = {pair[0]: pair[1] for pair in pairs}
        return [_run(row, counts.get(row["id"], 0)) for row in rows]

    def _put_content(self, connection: sa.Connection, answer: Answer | None) -> str | None:
        digest, content = _content(answer)
        if digest is None:
            return None
        self._put_new(connection, answers, [{"sha256": digest, "content": zlib.compress(content, 6)}])
        return digest

    def _read_content(self, digest: str) -> Answer:
        """Returns the shared part of all samples with this content."""
        with self._connect() as connection:
            return _contents(connection, {digest})[digest]


def _content(answer: Answer | None) -> tuple[str | None, bytes]:
    """Returns the digest and the bytes of what an answer shares with others; no digest for no answer."""
    if answer is None:
        return None, b""
    content = content_json(answer.content)
    return hashlib.sha256(content).hexdigest(), content


def _chunks(digests: Iterable[str]) -> Iterator[list[str]]:
    wanted = sorted(digests)
    for start in range(0, len(wanted), AT_ONCE):
        yield wanted[start : start + AT_ONCE]


def _contents(connection: sa.Connection, digests: set[str]) -> dict[str, Answer]:
    """Returns the shared part of all samples with these contents, by digest."""
    found = {}
    for chunk in _chunks(digests):
        query = sa.select(answers.c.sha256, answers.c.content).where(answers.c.sha256.in_(chunk))
        for digest, packed in connection.execute(query):
            found[digest] = answer_of(json.loads(zlib.decompress(packed)))
    return found


def _sample(row: sa.RowMapping, content: Answer | None) -> Sample:
    error = row["error"]
    return Sample(
        arm=row["arm"],
        index=row["position"],
        answer=content and replace(content, **row["measured"]),
        error=None if error is None else SampleError(**error),
        question=row["question"],
        started_at=row["started_at"],
        seed=row["seed"],
        concurrency=row["concurrency"],
        id=row["id"],
    )


FIELDS = ("id", "kind", "name", "created_at", "finished_at", "header", "plan", "result", "error")
MEASURED = (
    "prompt_token_ids_sha256",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "image_tokens",
    "model",
    "request_id",
    "system_fingerprint",
    "retried",
    "seconds_to_first_token",
    "seconds",
)


def _sample_row(run_id: str, sample: Sample, digest: str | None) -> dict[str, Json]:
    measured = sample.answer and {name: getattr(sample.answer, name) for name in MEASURED}
    return {
        "run_id": run_id,
        "arm": sample.arm,
        "position": sample.index,
        "question": sample.question,
        "started_at": sample.started_at,
        "seed": sample.seed,
        "concurrency": sample.concurrency,
        "answer": digest,
        "measured": measured,
        "error": None if sample.error is None else asdict(sample.error),
    }


def _run(row: sa.RowMapping, count: int) -> Run:
    status = row["status"]
    if status == "running" and not _alive(row["owner"]):
        status = "interrupted"
    return Run(status=status, samples=count, **{name: row[name] for name in FIELDS})


def _this_process() -> str:
    """Returns what names this process once and for all: PID and creation time."""
    return f"{os.getpid()}:{psutil.Process().create_time():.2f}"


def _alive(owner: str) -> bool:
    pid, _, created = owner.partition(":")
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(created)) < 1.0
    except (psutil.Error, ValueError):
        return False
