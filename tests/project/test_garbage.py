"""The search for garbage is held back while much is made, and goes on afterwards whatever happened."""

import gc
from collections.abc import Iterator

import pytest

from vqa.errors import InputError
from vqa.garbage import not_searched
from vqa.lab.run.recorded import recorded
from vqa.lab.run.run_json import load_report


@pytest.fixture
def searches() -> Iterator[list[int]]:
    """Which generations were looked through since the test began."""
    seen: list[int] = []

    def note(phase: str, told: dict[str, int]) -> None:
        if phase == "start":
            seen.append(told["generation"])

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


def test_a_run_is_read_without_a_search_and_the_next_one_comes(searches: list[int]) -> None:
    load_report(recorded()["h200-diagnose-triton"])
    assert len(searches) < 3, "those around the reading"
    assert gc.isenabled()


def test_it_goes_on_after_a_file_that_is_no_run() -> None:
    with pytest.raises(InputError):
        load_report(b"{}")
    assert gc.isenabled()


def test_contexts_within_each_other_leave_it_as_it_was() -> None:
    with not_searched():
        with not_searched():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_stays_is_looked_at_no_more_and_what_comes_after_it_is() -> None:
    try:
        with not_searched(stays=True):
            kept = [[number] for number in range(1000)]
        assert gc.get_freeze_count() > len(kept)
        assert not any(each is kept for each in gc.get_objects())
        later = [0]
        assert any(each is later for each in gc.get_objects())
    finally:
        gc.unfreeze()
