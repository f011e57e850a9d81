"""A run that is watched: its progress is drawn at every look, its charts as often as a browser has the time for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.lab.made import samples
from vqa.lab.run.live import RunStatus
from vqa.lab.stats.summarize import summarize_run
from vqa.lab.stats.summary import RunSummary
from vqa.settings import Settings
from vqa.store import Store
from vqa.ui.lab.repeat import PARTS, View
from vqa.ui.services import Services


@dataclass
class Watched:
    """The one run there is, as far as it is."""

    now: RunStatus

    def status(self, _: str) -> RunStatus:
        return self.now

    def summaries(self, _: str) -> dict[str, RunSummary]:
        return {"repeat": summarize_run(samples(*["red"] * self.now.done))}

    def after(self, seconds: float, done: int, status: str = "running") -> None:
        self.now = replace(self.now, seconds=seconds, done=done, status=status)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[Watched, View]]:
    store = Store(f"sqlite:///{tmp_path / 'runs.db'}")
    run_id = store.create_run("repeat", header={}, plan={"spec": {"questions": ["What?"], "n": 1000}})
    runs = Watched(RunStatus(run_id, "repeat", "running", 10, 1000, 1.0, 99.0))
    yield runs, View(Services(Settings(), store, None, runs), "en")  # type: ignore[arg-type]
    store.close()


def sent(drawn: Any) -> set[str]:
    """Which parts of the page a look sends anew."""
    return {name for name, part in zip(PARTS, drawn[1:], strict=False) if isinstance(part, str)}


def test_charts_of_a_long_run_wait_a_moment_and_its_progress_never_does(watched: tuple[Watched, View]) -> None:
    runs, view = watched
    run_id = runs.now.run_id
    first = view.draw(run_id, {}, 0, [])
    assert "groups" in sent(first)
    runs.after(1.4, 14)
    second = view.draw(run_id, first[0], 0, [])
    assert {"progress", "groups"} <= sent(second), "a short run is drawn at every look"
    runs.after(100.0, 500)
    third = view.draw(run_id, second[0], 0, [])
    runs.after(101.0, 505)
    between = view.draw(run_id, third[0], 0, [])
    assert sent(between) == {"progress"}
    runs.after(102.0, 510)
    assert {"progress", "groups"} <= sent(view.draw(run_id, between[0], 0, []))


def test_what_is_pressed_and_the_end_are_drawn_at_once(watched: tuple[Watched, View]) -> None:
    runs, view = watched
    run_id = runs.now.run_id
    runs.after(100.0, 500)
    seen = view.draw(run_id, {}, 0, [])[0]
    runs.after(100.4, 501)
    assert "groups" in sent(view.draw(run_id, seen, 0, [0]))
    runs.after(100.4, 501, "stopped")
    assert "groups" in sent(view.draw(run_id, seen, 0, []))
