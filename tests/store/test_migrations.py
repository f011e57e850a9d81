"""A database of an earlier version opens with all that is in it; one of a newer version is refused and left alone."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from vqa.errors import StoreError
from vqa.store import Store, migrations
from vqa.store.migrations import HEAD, KNOWN
from vqa.store.tables import metadata

OLD = """
CREATE TABLE runs (id VARCHAR(64) NOT NULL, kind VARCHAR(32) NOT NULL, name TEXT NOT NULL, status VARCHAR(32) NOT NULL,
 owner VARCHAR(64) NOT NULL, created_at DATETIME NOT NULL, finished_at DATETIME, header JSON NOT NULL,
 plan JSON NOT NULL, result JSON, error TEXT, PRIMARY KEY (id));
CREATE INDEX ix_runs_created_at ON runs (created_at);
CREATE INDEX ix_runs_kind ON runs (kind);
CREATE TABLE answers (sha256 VARCHAR(64) NOT NULL, content BLOB NOT NULL, PRIMARY KEY (sha256));
CREATE TABLE samples (id INTEGER NOT NULL, run_id VARCHAR(64) NOT NULL, arm VARCHAR(64) NOT NULL,
 position INTEGER NOT NULL, question INTEGER NOT NULL, started_at FLOAT NOT NULL, seed BIGINT,
 concurrency INTEGER NOT NULL, answer VARCHAR(64), measured JSON, error JSON, PRIMARY KEY (id),
 FOREIGN KEY(run_id) REFERENCES runs (id), FOREIGN KEY(answer) REFERENCES answers (sha256));
CREATE INDEX ix_samples_answer ON samples (answer);
CREATE INDEX ix_samples_run_id ON samples (run_id);
INSERT INTO runs VALUES ('r1', 'repeat', 'kept', 'finished', '1:1.0', '2026-11-01 10:00:00.000000',
 '2026-11-01 10:01:00.000000', '{}', '{"images": []}', NULL, NULL);
INSERT INTO samples VALUES (1, 'r1', 'a', 0, 0, 0.0, NULL, 1, NULL, NULL, '{"code": "server_busy", "message": "m"}');
"""
"""What version 0.1 wrote, from before summaries and conversations were kept."""


def old_database(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        connection.executescript(OLD)
    return f"sqlite:///{path}"


def version_of(address: str) -> str:
    with sa.create_engine(address).connect() as connection:
        return str(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one())


def differences(address: str) -> list[object]:
    with sa.create_engine(address).connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))


def test_an_old_database_opens_with_all_that_is_in_it(tmp_path: Path) -> None:
    address = old_database(tmp_path / "vqa.db")
    for _ in range(2):
        store = Store(address)
        assert [run.name for run in store.runs()] == ["kept"]
        assert store.run("r1").samples == 1
        store.create_chat(name="new")
        store.close()
    assert version_of(address) == HEAD
    assert differences(address) == []


def test_an_old_run_has_todays_words_and_keeps_what_others_wrote(tmp_path: Path) -> None:
    result = {
        "version": 1,
        "rung": "text",
        "void": {"arm": "serial/needle", "reason": "lab.void_no_background"},
        "arms": {"needle": {"rung": "none", "questions": [{"groups": [{"text": "a needle in the void", "count": 1}]}]}},
        "diagnosis": {"verdict": "void", "findings": [{"values": {"arms": "concurrent_8, needle"}}]},
    }
    plan = {"spec": {"name": "needle", "questions": ["Is it void?"]}, "arms": [{"arm": "needle", "name": "needle"}]}
    path = tmp_path / "vqa.db"
    address = old_database(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE runs SET plan = ?, result = ?", (json.dumps(plan), json.dumps(result)))
        connection.execute("UPDATE samples SET arm = 'serial/needle'")
    store = Store(address)
    run = store.run("r1")
    assert run.result == {
        "version": 1,
        "level": "text",
        "invalid": {"arm": "serial/background", "reason": "lab.invalid_no_background"},
        "arms": {
            "background": {"level": "none", "questions": [{"groups": [{"text": "a needle in the void", "count": 1}]}]}
        },
        "diagnosis": {"verdict": "invalid", "findings": [{"values": {"arms": "concurrent_8, background"}}]},
    }
    assert run.plan == plan | {"arms": [{"arm": "background", "name": "background"}]}
    assert [sample.arm for sample in store.samples("r1")] == ["serial/background"]
    store.close()


def test_a_new_database_is_made_as_the_steps_would_make_it(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'new.db'}"
    Store(address).close()
    assert version_of(address) == HEAD
    assert differences(address) == []


def test_the_newest_step_is_the_one_that_is_named() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    script = ScriptDirectory.from_config(config)
    assert script.get_current_head() == HEAD
    assert {each.revision for each in script.walk_revisions()} == set(KNOWN)


def test_a_newer_database_is_refused_with_a_sentence_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "vqa.db"
    address = f"sqlite:///{path}"
    Store(address).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(StoreError) as refused:
        Store(address)
    assert refused.value.code == "store_newer"
    assert "newer version" in refused.value.message("en")
    assert "更新版本" in refused.value.message("zh")
    assert path.read_bytes() == before
