"""Summaries of ended runs, kept for the next look: reading ten thousand samples takes seconds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

from vqa.lab.run.live import RunStatus
from vqa.lab.run.manager import RunManager
from vqa.lab.stats.summary import RunSummary

KEPT = 8


class KeptSummaries:
    """Hands out the summaries of a run; those of ended runs are computed once. Safe to use from several threads."""

    def __init__(self, runs: RunManager) -> None:
        self._runs = runs
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, int], Mapping[str, RunSummary]] = OrderedDict()

    def of(self, status: RunStatus) -> Mapping[str, RunSummary]:
        """Returns the summary of every arm of a run by now.

        Raises:
            StoreError: there is no such run.
        """
        if status.running:
            return self._runs.summaries(status.run_id)
        key = (status.run_id, status.status, status.done)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = self._runs.summaries(status.run_id)
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found
