"""Asks a data set: rows are read, pictures loaded, questions sent to whoever is free, answers stored as they land."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from vqa.engine.serving import Watch
from vqa.errors import ServerError, VQAError
from vqa.evaluate.reading import BadRow, Dataset, PictureSource, Row
from vqa.evaluate.reading.pictures import load_local
from vqa.evaluate.running.servers import GoneError, Server
from vqa.evaluate.running.values import Asking, bad_record, question_of, row_record
from vqa.evaluate.running.writer import Writer
from vqa.lab.run.live import LiveRun
from vqa.media.fetch import fetch_image
from vqa.media.images import ImageLimits, ImagePayload
from vqa.store import StoredRow

BATCH = 32
"""Rows read in one go."""
THREADS = 4
KEPT_PICTURES = 64
"""Checked pictures that stay at hand, since several questions about one follow each other."""
KEPT_BYTES = 32_000_000

Task = tuple[Row, int]
"""A row and which repeat of it."""


class Pictures:
    """Loads pictures in threads and keeps the last ones."""

    def __init__(self, limits: ImageLimits, *, allow_local: bool) -> None:
        self._limits = limits
        self._allow_local = allow_local
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="vqa-pictures")
        self._kept: OrderedDict[tuple[str, str], ImagePayload] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def of(self, row: Row) -> tuple[ImagePayload, ...]:
        """Returns the pictures of a row.

        Raises:
            InputError: one of them cannot be had or is no picture.
        """
        return tuple([await self._one(source) for source in row.pictures])

    async def _one(self, source: PictureSource) -> ImagePayload:
        if source.address:
            return await fetch_image(source.address, self._limits, allow_local=self._allow_local)
        key = (str(source.path), source.member) if source.path is not None else None
        if key is not None and (kept := self._kept.get(key)) is not None:
            return kept
        loaded = await asyncio.get_running_loop().run_in_executor(self._pool, load_local, source, self._limits)
        if key is not None:
            self._keep(key, loaded)
        return loaded

    def _keep(self, key: tuple[str, str], picture: ImagePayload) -> None:
        with self._lock:
            self._kept[key] = picture
            self._bytes += len(picture.data)
            while self._kept and (len(self._kept) > KEPT_PICTURES or self._bytes > KEPT_BYTES):
                _, old = self._kept.popitem(last=False)
                self._bytes -= len(old.data)


class Evaluating:
    """One run over a data set. Use it once, within one event loop."""

    def __init__(
        self,
        dataset: Dataset,
        asking: Asking,
        servers: list[Server],
        writer: Writer,
        live: LiveRun,
        answered: set[tuple[int, int]],
        watch: Watch,
    ) -> None:
        """`watch` looks at the managed engine behind the servers, if there is one."""
        self._dataset = dataset
        self._asking = asking
        self._servers = servers
        self._writer = writer
        self._live = live
        self._answered = answered
        self._watch = watch
        self._pictures = Pictures(asking.limits, allow_local=asking.allow_local)
        self._queue: asyncio.Queue[Task | None] = asyncio.Queue(2 * asking.concurrency * len(servers) + BATCH)
        self._returned: list[Task] = []
        self._open = 0
        self._all_read = False
        self._finished = asyncio.Event()
        self._wanted = None if asking.places is None else set(asking.places)

    async def run(self) -> None:
        """Asks every row that has no answer yet, and returns when all have been asked.

        Raises:
            ServerError: no server was there for longer than it is waited for.
            EngineError: the managed engine was stopped or replaced meanwhile.
            InputError: the data set can no longer be read.
            StoreError: an answer could not be stored.
        """
        writing = asyncio.create_task(self._writer.run())
        workers = [
            asyncio.create_task(self._work(server)) for server in self._servers for _ in range(self._asking.concurrency)
        ]
        await self._watch.begin()
        also = (self._read(), self._finished.wait(), self._watch.ended())
        tasks = [*map(asyncio.ensure_future, also), writing, *workers]
        try:
            await self._until_finished(set(tasks))
            self._writer.end()
            await writing
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._pictures.close()
            await self._writer.flush()

    async def _until_finished(self, pending: set[asyncio.Task[object]]) -> None:
        while not self._finished.is_set():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (problem := task.exception()) is not None:
                    raise problem

    async def _read(self) -> None:
        for index in range(self._asking.repeats):
            rows = self._dataset.rows()
            while batch := await asyncio.to_thread(lambda rows=rows: list(islice(rows, BATCH))):  # type: ignore[misc]
                for row in batch:
                    if self._asking.limit is not None and row.place >= self._asking.limit:
                        batch = []
                        break
                    await self._put(row, index)
                if not batch:
                    break
        self._all_read = True
        self._close_if_done()

    async def _put(self, row: Row | BadRow, index: int) -> None:
        if self._wanted is not None and row.place not in self._wanted:
            return
        if isinstance(row, BadRow):
            if index == 0:
                await self._writer.put(None, StoredRow(row.place, row.number, bad_record(row, row.error)))
        elif (row.place, index) not in self._answered:
            self._open += 1
            await self._queue.put((row, index))

    async def _work(self, server: Server) -> None:
        while True:
            task = self._returned.pop() if self._returned else await self._queue.get()
            if task is None:
                continue
            row, index = task
            try:
                images = await self._pictures.of(row)
            except VQAError as problem:
                if index == 0:
                    await self._writer.put(None, StoredRow(row.place, row.number, bad_record(row, problem)))
                self._done()
                continue
            question = question_of(row, images, self._dataset.prompt, self._asking)
            try:
                sample = await server.ask(question, row.place, index, self._asking.concurrency)
            except GoneError:
                self._give_back(task)
                if await self._is_back(server):
                    continue
                return
            stored = StoredRow(row.place, row.number, row_record(row, images)) if index == 0 else None
            await self._writer.put(sample, stored)
            self._done()

    def _give_back(self, task: Task) -> None:
        """Leaves a row to whoever is free."""
        self._returned.append(task)
        if not self._queue.full():
            self._queue.put_nowait(None)  # wakes a worker that waits for rows

    async def _is_back(self, server: Server) -> bool:
        self._live.tell(
            step="waiting_for_server", address=server.client.base_url, seconds=round(self._asking.wait_seconds)
        )
        if await server.back():
            self._live.tell()
            return True
        if all(each.given_up for each in self._servers):
            raise ServerError(
                "server_stayed_away", address=server.client.base_url, seconds=round(self._asking.wait_seconds)
            ) from server.problem
        return False

    def _done(self) -> None:
        self._open -= 1
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._all_read and self._open == 0:
            self._finished.set()


def count_rows(dataset: Dataset, limit: int | None) -> int:
    """Returns how many rows there are, without making them; blocks."""
    records: Iterator[object] = dataset.records()
    return sum(1 for _ in (records if limit is None else islice(records, limit)))
