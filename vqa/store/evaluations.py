"""The rows of evaluated data sets in the store: what was asked, beside the answers, so that they can be scored again.

Many samples are stored in one transaction: a fast server answers a thousand a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from vqa.answers import Json, Sample
from vqa.errors import StoreError
from vqa.store.rows import noted, read_contents, sample_of, sample_row, this_process
from vqa.store.runs import RunStore
from vqa.store.tables import dataset_rows, runs, samples

ROWS_AT_ONCE = 400


@dataclass(frozen=True)
class StoredRow:
    """One row of a data set in the store."""

    place: int
    """Place in the data set, from 0; `Sample.question` is the same."""
    number: int
    """Line or record number, from 1."""
    record: dict[str, Json]


class EvaluationStore(RunStore):
    """What can be done with the rows of a data set."""

    def add_evaluated(self, run_id: str, rows: Sequence[StoredRow], taken: Sequence[Sample]) -> None:
        """Stores rows and samples together or not at all; a row or an answer that is there already stays.

        Raises:
            StoreError: they could not be stored.
        """
        contents: dict[str, bytes] = {}
        values = [sample_row(run_id, sample, noted(contents, sample.answer)) for sample in taken]
        kept = [{"run_id": run_id, "place": row.place, "number": row.number, "record": row.record} for row in rows]
        with self._begin() as connection:
            self._put_contents(connection, contents)
            self._put_new(connection, dataset_rows, kept)
            if values:
                connection.execute(sa.insert(samples), values)

    def reopen_run(self, run_id: str) -> None:
        """Makes an ended run this process's own again, so that it can go on.

        Raises:
            StoreError: there is no such run, or it is under way.
        """
        run = self.run(run_id)
        if run.status == "running":
            raise StoreError("run_under_way", run=run_id)
        values = {"status": "running", "owner": this_process(), "finished_at": None, "error": None}
        with self._begin() as connection:
            mine = sa.update(runs).where(runs.c.id == run_id, runs.c.owner == self._owner(run_id)).values(values)
            if not connection.execute(mine).rowcount:
                raise StoreError("run_under_way", run=run_id)

    def answered(self, run_id: str) -> set[tuple[int, int]]:
        """Returns place and index of every request of a run that has its answer, without reading the answers."""
        columns = (samples.c.question, samples.c.position)
        query = sa.select(*columns).where(
            samples.c.run_id == run_id, samples.c.answer.is_not(None), samples.c.error.is_(None)
        )
        with self._connect() as connection:
            return {(place, index) for place, index in connection.execute(query)}

    def evaluated(self, run_id: str) -> Iterator[tuple[StoredRow, list[Sample]]]:
        """Yields every row of a run with its samples, in the order of the data set, a few hundred at a time."""
        after = -1
        while True:
            with self._connect() as connection:
                query = (
                    sa.select(dataset_rows)
                    .where(dataset_rows.c.run_id == run_id, dataset_rows.c.place > after)
                    .order_by(dataset_rows.c.place)
                    .limit(ROWS_AT_ONCE)
                )
                rows = connection.execute(query).mappings().all()
                if not rows:
                    return
                first, last = rows[0]["place"], rows[-1]["place"]
                taken = connection.execute(
                    sa.select(samples)
                    .where(samples.c.run_id == run_id, samples.c.question.between(first, last))
                    .order_by(samples.c.id)
                ).mappings()
                found = taken.all()
                contents = read_contents(connection, {row["answer"] for row in found} - {None})
            by_place: dict[int, list[Sample]] = {}
            for row in found:
                by_place.setdefault(row["question"], []).append(sample_of(row, contents.get(row["answer"])))
            for row in rows:
                yield StoredRow(row["place"], row["number"], row["record"]), by_place.get(row["place"], [])
            after = last

    def _owner(self, run_id: str) -> str:
        with self._connect() as connection:
            return str(connection.execute(sa.select(runs.c.owner).where(runs.c.id == run_id)).scalar_one())
