"""What a public demo allows one visitor, and how it forgets them: each limit that the documentation names."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gradio.context import LocalContext

from tests.fakes.openai_server import FakeServer
from vqa.answers import Question
from vqa.client import Client
from vqa.errors import InputError, StoreError
from vqa.settings import Settings
from vqa.store import Store
from vqa.store.passing import open_store
from vqa.ui.ask.asking import answer_pieces
from vqa.ui.public import forgetting
from vqa.ui.services import Services
from vqa.ui.web import patience
from vqa.ui.web.login import FREE_ATTEMPTS, LONGEST_WAIT
from vqa.ui.web.visitors import ADDRESS_SHARE, COOKIE, READ_PER_MINUTE, Visitor, Visitors, current_visitor, new_cookie

PUBLIC = Settings(public=True)


@contextmanager
def visiting(cookie: str, address: str) -> Iterator[None]:
    """Handles an event of a visitor while the context lasts."""
    request = SimpleNamespace(cookies={COOKIE: cookie}, client=SimpleNamespace(host=address), session_hash="tab")
    token = LocalContext.request.set(request)  # type: ignore[arg-type]
    try:
        yield
    finally:
        LocalContext.request.reset(token)


def refused(wanted: Any, code: str) -> None:
    """Fails unless entering a context is refused with a code."""
    with pytest.raises(InputError) as told, wanted:
        pass
    assert told.value.code == code


def test_a_visitor_asks_two_questions_at_a_time_and_another_asks_beside() -> None:
    visitors, mine = Visitors(PUBLIC), new_cookie()
    with visiting(mine, "10.0.0.1"), visitors.asking(), visitors.asking():
        refused(visitors.asking(), "visitor_busy")
        with visiting(new_cookie(), "10.0.0.1"), visitors.asking():
            pass
    with visiting(mine, "10.0.0.1"), visitors.asking():
        pass
    assert PUBLIC.public_concurrent == 2


def test_all_behind_one_address_have_five_times_a_visitors_places_and_throwing_the_cookie_away_gives_no_more() -> None:
    visitors, most = Visitors(PUBLIC), ADDRESS_SHARE * PUBLIC.public_concurrent
    back = []
    for _ in range(most):
        with visiting(new_cookie(), "10.0.0.1"):
            back.append(visitors.take_place())
    with visiting(new_cookie(), "10.0.0.1"):
        refused(visitors.asking(), "visitor_busy")
    with visiting(new_cookie(), "10.0.0.2"), visitors.asking():
        pass
    for each in back:
        each()
    with visiting(new_cookie(), "10.0.0.1"), visitors.asking():
        pass
    assert ADDRESS_SHARE == 5


def test_pictures_that_are_read_are_counted_by_the_minute_and_at_a_time() -> None:
    now = [100.0]
    visitors, mine = Visitors(PUBLIC, lambda: now[0]), new_cookie()
    with visiting(mine, "10.0.0.1"):
        with visitors.reading(READ_PER_MINUTE - 2), visitors.reading():
            refused(visitors.reading(), "visitor_busy")
        refused(visitors.reading(), "pictures_rate")
        with visiting(new_cookie(), "10.0.0.1"), visitors.reading(READ_PER_MINUTE):
            pass
        now[0] += 61
        with visitors.reading(READ_PER_MINUTE):
            pass


def test_a_conversation_holds_no_more_pictures_than_a_visitor_may_send() -> None:
    visitors, most = Visitors(PUBLIC), PUBLIC.public_max_pictures
    visitors.check_pictures(most)
    with pytest.raises(InputError) as told:
        visitors.check_pictures(most + 1)
    assert told.value.code == "too_many_pictures"
    Visitors(Settings()).check_pictures(most + 1)


async def test_an_answer_that_takes_too_long_ends_with_what_had_come() -> None:
    with FakeServer(seconds_per_token=0.3, prefill_seconds=0.0) as server:
        async with Client(server.base_url) as client:
            pieces = [piece async for piece in answer_pieces(client, Question("What?"), asyncio.Event(), seconds=1.0)]
    last = pieces[-1]
    assert last.done and not last.stopped
    assert isinstance(last.problem, InputError) and last.problem.code == "answer_too_long"
    assert Settings(public=True, max_seconds=500, public_max_seconds=9).for_visitors().max_seconds == 9


def test_a_public_demo_keeps_its_runs_in_a_file_of_its_own_that_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with open_store(Settings(public=True, database_url=f"sqlite:///{tmp_path / 'kept.db'}")) as store:
        run = store.create_run("repeat", header={}, plan={"spec": {"questions": ["What?"]}})
        assert store.run(run).id == run
        assert not (tmp_path / "kept.db").exists()
        (folder,) = tmp_path.iterdir()
        assert folder.stat().st_mode & 0o077 == 0, "for this user alone"
    assert list(tmp_path.iterdir()) == []


def test_a_visitors_run_is_deleted_when_its_time_is_up_and_was_theirs_alone(tmp_path: Path) -> None:
    settings = Settings(public=True, public_keep_minutes=0.002)
    store = Store(f"sqlite:///{tmp_path / 'vqa.db'}")
    services = Services(settings, store, None, None)  # type: ignore[arg-type]
    run = store.create_run("repeat", header={}, plan={})
    store.finish_run(run, "finished")
    mine = new_cookie()
    with visiting(mine, "10.0.0.1"):
        services.visitors.own(run, current_visitor())
        assert services.visitors.owns(run)
    with visiting(new_cookie(), "10.0.0.1"):
        assert not services.visitors.owns(run)
    with forgetting(services):
        for _ in range(200):
            if not store.has_run(run):
                break
            time.sleep(0.05)
    with pytest.raises(StoreError):
        store.run(run)
    store.close()


def test_the_numbers_that_the_documentation_names() -> None:
    assert (patience.HEADER_SECONDS, patience.BODY_PAUSE_SECONDS) == (10, 10)
    assert (FREE_ATTEMPTS, LONGEST_WAIT) == (5, 15 * 60)
    assert Visitor("a", "x").token != Visitor("b", "x").token
