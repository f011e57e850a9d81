"""Two writers of one thing at the same moment: both are right, in SQLite and in PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.lab.made import picture
from vqa.answers import Answer, Sample, SampleError
from vqa.store import Store

ANSWER = Answer("red", "stop")


def program(name: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name, path=str(found[-1].parent)) if found else shutil.which(name)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """Yields the address of a PostgreSQL server that lives in a temporary folder and listens on no port."""
    initdb, pg_ctl = program("initdb"), program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("PostgreSQL is not installed; `make test` installs it on Debian and Ubuntu")
    # The server refuses to run as root.
    user: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="vqa-pg-", dir="/tmp") as folder:  # a socket's path must be short
        if user:
            os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)

        def call(*words: str) -> None:
            done = subprocess.run(words, **user, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr + done.stdout

        call(initdb, "-D", f"{folder}/data", "-U", "vqa", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        call(pg_ctl, "-D", f"{folder}/data", "-l", f"{folder}/log", "-o", options, "-w", "start")
        try:
            yield f"postgresql+psycopg://vqa@/postgres?host={folder}"
        finally:
            call(pg_ctl, "-D", f"{folder}/data", "-m", "immediate", "stop")


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'vqa.db'}"
    return str(request.getfixturevalue("postgres"))


@pytest.fixture
def both(address: str) -> Iterator[tuple[Store, Store]]:
    stores = Store(address), Store(address)
    yield stores
    for store in stores:
        store.close()


def just_before_writing(store: Store, table: str, meanwhile: Any) -> None:
    """Calls `meanwhile` once, at the moment at which `store` is about to insert into a table."""
    waiting = [meanwhile]

    def before(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if waiting and statement.upper().startswith(f"INSERT INTO {table.upper()}"):
            waiting.pop()()

    sa.event.listen(store._engine, "before_cursor_execute", before)


def test_an_answer_that_another_run_lands_first_is_shared(both: tuple[Store, Store]) -> None:
    one, other = both
    runs = [store.create_run("repeat", header={}, plan={}) for store in both]
    just_before_writing(one, "answers", lambda: other.add_samples(runs[1], [Sample("repeat", 0, ANSWER)]))
    one.add_samples(runs[0], [Sample("repeat", 0, ANSWER)])
    assert [one.samples(run)[0].answer for run in runs] == [ANSWER, ANSWER]


def test_samples_that_are_stored_together_keep_their_order_and_their_errors(both: tuple[Store, Store]) -> None:
    one, other = both
    run = one.create_run("repeat", header={}, plan={})
    landed = [Sample("repeat", index, replace(ANSWER, text=f"{index % 3}", seconds=index)) for index in range(40)]
    landed[7:7] = [Sample("repeat", 40, None, SampleError("server_timeout", "late", "par"))]
    stored = one.add_samples(run, landed)
    assert other.samples(run) == stored
    assert [replace(sample, id=0) for sample in stored] == landed
    assert [sample.id for sample in stored] == sorted({sample.id for sample in stored})
    assert one.add_samples(run, []) == []


def test_a_picture_that_another_writer_stores_first_is_shared(both: tuple[Store, Store]) -> None:
    one, other = both
    shown = picture()
    just_before_writing(one, "images", lambda: other.put_image(shown))
    assert one.image(one.put_image(shown)) == shown


def test_a_summary_that_another_reader_keeps_first_is_replaced(both: tuple[Store, Store]) -> None:
    one, other = both
    run = one.create_run("repeat", header={}, plan={})
    just_before_writing(one, "summaries", lambda: other.keep_summary(run, "1", 5, b"old"))
    one.keep_summary(run, "1", 5, b"new")
    assert one.kept_summary(run, "1", 5) == b"new"


def test_a_recorded_run_comes_in_beside_a_run_with_the_same_answer(both: tuple[Store, Store], address: str) -> None:
    one, other = both
    made = one.create_run("repeat", header={}, plan={})
    one.add_samples(made, [Sample("repeat", 0, ANSWER)])
    run, taken = one.run(made), one.samples(made)
    one.delete_run(made)
    mine = other.create_run("repeat", header={}, plan={})
    # In SQLite one writes at a time: the other has to come before the first row.
    table = "runs" if address.startswith("sqlite") else "answers"
    just_before_writing(one, table, lambda: other.add_samples(mine, [Sample("repeat", 0, ANSWER)]))
    one.import_run(run, taken)
    assert [each.answer for each in other.samples(made)] == [ANSWER]


def test_runs_that_land_new_answers_at_once_all_keep_them(both: tuple[Store, Store]) -> None:
    runs = [both[place % 2].create_run("repeat", header={}, plan={}) for place in range(6)]
    ready, problems = threading.Barrier(len(runs)), []

    def land(place: int) -> None:
        try:
            for index in range(15):
                ready.wait(20)
                both[place % 2].add_samples(runs[place], [Sample("repeat", index, Answer(f"new {index}", "stop"))])
        except Exception as problem:
            problems.append(problem)
            ready.abort()

    threads = [threading.Thread(target=land, args=(place,)) for place in range(len(runs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert [len(both[0].samples(run)) for run in runs] == [15] * len(runs)
