"""The database behind the store: connections, foreign errors translated, and the pictures kept once each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from vqa.answers import Json
from vqa.errors import StoreError
from vqa.media.images import ImagePayload
from vqa.store.migrations import bring_up_to_date
from vqa.store.tables import chat_messages, images, metadata, runs

BUSY_MS, CHECKPOINT_MS = 10_000, 500
"""How long a writer waits for another, and how long the emptying of the log waits for readers."""


class Database:
    """Opens the database, keeps the pictures, and lets no foreign error out."""

    def __init__(self, address: str) -> None:
        """Opens, and if need be creates, the database at an SQLAlchemy address.

        Raises:
            StoreError: it cannot be created or opened, or was written by a newer version.
        """
        self._address = address
        try:
            url = sa.make_url(address)
            if url.drivername.startswith("sqlite") and url.database and url.database != ":memory:":
                Path(url.database).parent.mkdir(parents=True, exist_ok=True)
            is_file = url.drivername.startswith("sqlite")
            # A server may have gone meanwhile; a file has not, and asking takes a tenth of a small transaction.
            self._engine = sa.create_engine(url, json_serializer=_dumps, pool_pre_ping=not is_file)
            if is_file:
                sa.event.listen(self._engine, "connect", _sqlite_settings)
            bring_up_to_date(self._engine, metadata, self._place)
        except (SQLAlchemyError, OSError, ModuleNotFoundError) as problem:
            raise self._error(problem) from problem

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def put_image(self, image: ImagePayload) -> str:
        """Stores a picture once; returns its SHA-256."""
        values = {name: value for name, value in asdict(image).items() if name in images.c}
        with self._begin() as connection:
            self._put_new(connection, images, [{**values, "sha256": image.sha256}])
        return image.sha256

    def image(self, sha256: str) -> ImagePayload:
        """Returns a stored picture.

        Raises:
            StoreError: there is none with this hash.
        """
        with self._connect() as connection:
            row = connection.execute(sa.select(images).where(images.c.sha256 == sha256)).mappings().first()
        if row is None:
            raise StoreError("image_not_stored", sha256=sha256)
        values = {name: value for name, value in row.items() if name != "sha256"}
        return ImagePayload(**{**values, "notes": tuple(values["notes"])})

    def _put_new(self, connection: sa.Connection, table: sa.Table, rows: list[dict[str, Json]]) -> None:
        """Inserts the rows whose key is not there yet; one that another writer puts there meanwhile is no error.

        Looking first would not do: two writers both find nothing, and the second one's insert fails.
        """
        if not rows:
            return
        kind: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}.get(self._engine.dialect.name)
        if kind is not None:
            # In one order everywhere, so that two writers of the same rows never wait for each other in a ring.
            keys = [column.name for column in table.primary_key]
            ordered = sorted(rows, key=lambda row: [str(row[name]) for name in keys])
            connection.execute(kind(table).on_conflict_do_nothing(index_elements=keys), ordered)
            return
        for row in rows:
            with suppress(IntegrityError), connection.begin_nested():
                connection.execute(sa.insert(table).values(row))

    def _drop_unused_images(self, connection: sa.Connection, candidates: set[str]) -> None:
        """Deletes those of the pictures that no run's plan and no message names any more."""
        if not candidates:
            return
        used: set[str] = set()
        for column in (runs.c.plan, chat_messages.c.message):
            for holder in connection.execute(sa.select(column)).scalars():
                used.update(holder.get("images", ()))
        connection.execute(sa.delete(images).where(images.c.sha256.in_(candidates - used)))

    @contextmanager
    def _deleting(self) -> Iterator[sa.Connection]:
        """As `_begin`; afterwards nothing of what was deleted is left in SQLite's files.

        The write-ahead log holds old pages until it is emptied. While somebody reads, it cannot be; the next deletion,
        or the end of the app, empties it then.
        """
        with self._begin() as connection:
            yield connection
        if self._engine.dialect.name == "sqlite":
            with self._connect() as connection:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={CHECKPOINT_MS}")
                try:
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                finally:
                    connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_MS}")

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as problem:
            raise self._error(problem) from problem

    @contextmanager
    def _connect(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as problem:
            raise self._error(problem) from problem

    @property
    def _place(self) -> str:
        return sa.make_url(self._address).render_as_string() if "://" in self._address else self._address

    def _error(self, problem: Exception) -> StoreError:
        cause = problem.orig if isinstance(problem, DBAPIError) else problem
        place = self._place
        if "full" in str(cause).lower() or getattr(cause, "errno", None) == 28:
            return StoreError("disk_full", path=place)
        return StoreError("store_unusable", path=place, reason=str(cause))

    def _update(self, table: sa.Table, row_id: str, values: dict[str, Json]) -> None:
        with self._begin() as connection:
            if not connection.execute(sa.update(table).where(table.c.id == row_id).values(values)).rowcount:
                raise StoreError("run_missing" if table is runs else "chat_missing", run=row_id, chat=row_id)


def _dumps(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _sqlite_settings(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    # secure_delete: what is deleted is overwritten, not only left out of the index.
    pragmas = (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_MS}",
        "secure_delete=ON",
    )
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
