"""Brings a database of an earlier version to the tables of this one, by Alembic; the steps stand in `versions`.

A new step: change `vqa.store.tables`, add a file to `versions` whose `down_revision` is the newest so far, and name it
in HEAD. A test compares what the steps make with the tables.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from vqa.errors import StoreError

HEAD = "0003"
"""The newest step."""
KNOWN = ("0001", "0002", "0003")
_version = sa.table("alembic_version", sa.column("version_num", sa.String))


def bring_up_to_date(engine: sa.Engine, metadata: sa.MetaData, place: str) -> None:
    """Makes the tables of a new database, and those of an older one what they are now; a newer one is left alone.

    Args:
        engine: of the database.
        metadata: the tables of this version.
        place: what the database is called in an error.

    Raises:
        StoreError: it was written by a newer version.
        SQLAlchemyError: it cannot be read or changed.
    """
    with engine.connect() as connection:
        there = set(sa.inspect(connection).get_table_names())
        version = connection.execute(sa.select(_version.c.version_num)).scalar() if "alembic_version" in there else None
    if version == HEAD:
        return
    if version is not None and version not in KNOWN:
        raise StoreError("store_newer", path=place, version=version)
    if not there & set(metadata.tables):
        with engine.begin() as connection:
            metadata.create_all(connection)
            _note_head(connection)
        return
    _upgrade(engine)


def _note_head(connection: sa.Connection) -> None:
    table = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))
    table.create(connection, checkfirst=True)
    if connection.execute(sa.select(_version.c.version_num)).scalar() is None:
        connection.execute(sa.insert(_version).values(version_num=HEAD))


def _upgrade(engine: sa.Engine) -> None:
    """Runs the steps that are missing; each can be run again over what it has made already."""
    from alembic import command  # only an older database needs it
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)
