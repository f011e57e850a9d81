"""One writer for the store: whatever landed while the last transaction ran goes into the next one."""

from __future__ import annotations

import asyncio

from vqa.answers import Sample
from vqa.lab.run.live import LiveRun
from vqa.lab.stats.summarize import counts
from vqa.store import Store, StoredRow

MOST_WAITING = 512
"""Samples that may wait for the store; more would be lost by a crash, and a full store must slow the asking."""


class Writer:
    """Stores rows and samples in the background; what was put and not stored is lost only by a crash."""

    def __init__(self, store: Store, live: LiveRun) -> None:
        self._store = store
        self._live = live
        self._rows: list[StoredRow] = []
        self._samples: list[Sample] = []
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ending = False
        self._current: asyncio.Future[None] | None = None

    async def put(self, sample: Sample | None, row: StoredRow | None = None) -> None:
        """Takes a sample and, the first time that it is asked, its row; waits while too much is not stored."""
        if row is not None:
            self._rows.append(row)
        if sample is not None:
            self._samples.append(sample)
        self._news.set()
        if len(self._samples) >= MOST_WAITING:
            self._room.clear()
        await self._room.wait()

    async def run(self) -> None:
        """Stores until `end` is called.

        Raises:
            StoreError: something could not be stored; nothing is taken any more.
        """
        while True:
            await self._news.wait()
            self._news.clear()
            await self._store_all()
            if self._ending and not self._samples and not self._rows:
                return

    def end(self) -> None:
        """Lets `run` return once everything is stored."""
        self._ending = True
        self._news.set()

    async def flush(self) -> None:
        """Stores what is waiting, where `run` was cancelled, once what is being stored is."""
        if self._current is not None:
            await asyncio.wait([self._current])
        await self._store_all()

    async def _store_all(self) -> None:
        rows, samples = self._rows, self._samples
        if not rows and not samples:
            return
        self._rows, self._samples = [], []
        self._current = asyncio.ensure_future(asyncio.to_thread(self._write, rows, samples))
        await asyncio.shield(self._current)
        self._room.set()

    def _write(self, rows: list[StoredRow], samples: list[Sample]) -> None:
        self._store.add_evaluated(self._live.run_id, rows, samples)
        self._live.count(len(samples), sum(not counts(sample) for sample in samples))
