"""What the Repeat tab redraws at every tick of a run under way, at ten thousand samples and at a hundred."""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks import Row
from benchmarks.long_run import LONG, report
from vqa.engine.opening import Supervisor
from vqa.lab.run.live import LiveRun, RunStatus
from vqa.lab.run.manager import RunManager
from vqa.lab.stats.summary import RunSummary
from vqa.settings import Settings, load_settings
from vqa.store import Store

FEW = 100
TURNS = 7
BOUND = 0.5  # seconds


class Watched(RunManager):
    """A manager whose one run is fed here instead of by a server."""

    def __init__(self, store: Store, settings: Settings, live: LiveRun) -> None:
        super().__init__(store, settings)
        self._live = live

    def status(self, run_id: str) -> RunStatus:
        """Returns where the fed run stands."""
        return self._live.snapshot()

    def summaries(self, run_id: str) -> dict[str, RunSummary]:
        """Returns the fed run's summaries."""
        return self._live.summaries()


def run() -> list[Row]:
    """Returns the median seconds for everything that one tick computes on the server's side."""
    many, few = _seconds(LONG), _seconds(FEW)
    return [Row(f"one redraw at {LONG} samples, beside {FEW}", many, few, "s", f"at most {BOUND} s", many <= BOUND)]


def _seconds(count: int) -> float:
    """Returns the median seconds of a tick after each of the last samples of a run of `count`."""
    from vqa.ui.lab.repeat import View
    from vqa.ui.services import Services

    made = report(count)
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(data_dir=Path(folder), base_url=None)
        store = Store(settings.database)
        store.import_run(made.run, made.samples)
        live = LiveRun(made.run.id, "repeat")
        runs = Watched(store, settings, live)
        taken = iter(store.samples(made.run.id))
        for sample in itertools.islice(taken, count - TURNS):
            live.add(sample)
        with Supervisor(settings) as engine:
            view = View(Services(settings, store, engine, runs), "en")
            view.draw(made.run.id, {}, 0, [])
            for sample in taken:
                live.add(sample)
                began = time.perf_counter()
                view.draw(made.run.id, {}, 0, [])  # as for a page on which nothing of this stands yet
                times.append(time.perf_counter() - began)
        runs.close()
        store.close()
    return median(times)
