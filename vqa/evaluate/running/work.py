"""Asks a data set: rows are read, pictures loaded, questions sent to whoever is free, answers stored as they land."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from vqa.engine.serving import Watch
from vqa.errors import ServerError, VQAError
from vqa.evaluate.reading import BadRow, Dataset, Row
from vqa.evaluate.running.pictures import Pictures
from vqa.evaluate.running.servers import GoneError, Server
from vqa.evaluate.running.values import Asking, bad_record, question_of, row_record
from vqa.evaluate.running.writer import Writer
from vqa.lab.run.live import LiveRun
from vqa.store import StoredRow

BATCH = 32
"""Rows read in one go."""
HELD_BYTES = 16_000_000
"""Of pictures in rows that wait to be asked: those of a Parquet file or a TSV hold theirs."""

Task = tuple[Row, int]
"""A row and which repeat of it."""


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
        self._held = 0
        self._room = asyncio.Event()
        self._room.set()
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
            while batch := await asyncio.to_thread(_some, rows):
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
            await self._room.wait()
            self._hold(_bytes(row))
            await self._queue.put((row, index))

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held < HELD_BYTES:
            self._room.set()
        else:
            self._room.clear()

    async def _work(self, server: Server) -> None:
        while True:
            task = self._returned.pop() if self._returned else await self._next()
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

    async def _next(self) -> Task | None:
        task = await self._queue.get()
        if task is not None:
            self._hold(-_bytes(task[0]))
        return task

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


def _some(rows: Iterator[Row | BadRow]) -> list[Row | BadRow]:
    """Returns the next rows, fewer where they hold their pictures."""
    taken: list[Row | BadRow] = []
    size = 0
    for row in rows:
        taken.append(row)
        size += _bytes(row)
        if len(taken) == BATCH or size > HELD_BYTES // 4:
            break
    return taken


def _bytes(row: Row | BadRow) -> int:
    """Returns how many bytes of pictures a row holds itself."""
    return sum(len(source.data or b"") for source in row.pictures) if isinstance(row, Row) else 0
