"""Runs and their samples in the store. A sample is stored as it lands, with those that landed in the same moment.

Answers that are bitwise identical share one row, so that ten thousand equal samples cost ten thousand small rows.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from vqa.answers import Answer, Json, Sample
from vqa.errors import StoreError
from vqa.store.base import Database
from vqa.store.rows import (
    FIELDS,
    Run,
    chunks,
    content_of,
    noted,
    read_contents,
    run_of,
    sample_of,
    sample_row,
    this_process,
)
from vqa.store.tables import answers, dataset_rows, runs, samples, summaries

ANSWERS_IN_MEMORY = 256


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
            "owner": this_process(),
            "created_at": datetime.now(UTC),
            "header": header,
            "plan": plan,
        }
        with self._begin() as connection:
            connection.execute(sa.insert(runs).values(row))
        return run_id

    def add_samples(self, run_id: str, landed: Sequence[Sample]) -> list[Sample]:
        """Stores samples together or not at all, in this order; returns them with their places."""
        contents: dict[str, bytes] = {}
        rows = [sample_row(run_id, sample, noted(contents, sample.answer)) for sample in landed]
        if not rows:
            return []
        insert = sa.insert(samples).returning(samples.c.id, sort_by_parameter_order=True)
        with self._begin() as connection:
            self._put_contents(connection, contents)
            places = connection.execute(insert, rows).scalars().all()
        return [sample.stored_as(int(place)) for sample, place in zip(landed, places, strict=True)]

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
                digest, content = content_of(answer)
                digests[key] = digest
                if digest is not None and digest not in contents:
                    contents[digest] = zlib.compress(content, 6)
            rows.append(sample_row(run.id, sample, digests[key]))
        with self._begin() as connection:
            if connection.execute(sa.select(runs.c.id).where(runs.c.id == run.id)).first():
                raise StoreError("run_exists", run=run.id)
            connection.execute(sa.insert(runs).values(row))
            for chunk in chunks(contents):
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
            contents = read_contents(connection, {row["answer"] for row in rows} - {None})
        return [sample_of(row, contents.get(row["answer"])) for row in rows]

    def sample(self, sample_id: int) -> Sample:
        """Returns one sample by its place in the store.

        Raises:
            StoreError: there is none.
        """
        with self._connect() as connection:
            row = connection.execute(sa.select(samples).where(samples.c.id == sample_id)).mappings().first()
        if row is None:
            raise StoreError("sample_missing", sample=sample_id)
        return sample_of(row, row["answer"] and self._content(row["answer"]))

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
        return [run_of(row, counts.get(row["id"], 0)) for row in rows]

    def _put_contents(self, connection: sa.Connection, contents: dict[str, bytes]) -> None:
        """Stores contents by digest; all of them, since one that is found could be deleted before it is named."""
        rows = [{"sha256": digest, "content": zlib.compress(content, 1)} for digest, content in contents.items()]
        self._put_new(connection, answers, rows)

    def _read_content(self, digest: str) -> Answer:
        """Returns the shared part of all samples with this content."""
        with self._connect() as connection:
            return read_contents(connection, {digest})[digest]
