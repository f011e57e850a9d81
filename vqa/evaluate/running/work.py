"""Asks a data set: rows are read, pictures loaded, questions sent to whoever is free, answers stored as they land.

Each goes on beside the others, so that whoever becomes free finds the next question with its pictures at hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from vqa.answers import Sample
from vqa.engine.serving import Watch
from vqa.errors import ServerError, VQAError
from vqa.evaluate.reading import BadRow, Dataset, Row
from vqa.evaluate.running.pictures import Pictures
from vqa.evaluate.running.servers import GoneError, Server
from vqa.evaluate.running.values import Asking, bad_record, question_of, row_record
from vqa.lab.run.live import LiveRun
from vqa.lab.run.writer import Writer
from vqa.media.images import ImagePayload
from vqa.store import StoredRow

BATCH = 32
"""Rows read in one go."""
HELD_BYTES = 8_000_000
"""Of pictures in rows that wait to be asked: those of a Parquet file or a TSV hold theirs."""

LOADING = 32
"""Rows at most whose pictures are loaded at a time."""
AHEAD_BYTES = 16_000_000
"""Of pictures that are loaded, or being loaded, and not asked about yet, beside those of as many rows as are asked."""

Task = tuple[Row, int]
"""A row and which repeat of it."""
Landed = tuple[Sample | None, StoredRow | None]
"""A sample, and its row the first time that it is asked; of a row that cannot be asked the row alone."""
Ready = tuple[Row, int, tuple[ImagePayload, ...]]
"""A row, which repeat of it, and its pictures."""


class Evaluating:
    """One run over a data set. Use it once, within one event loop."""

    def __init__(
        self,
        dataset: Dataset,
        asking: Asking,
        servers: list[Server],
        writer: Writer[Landed],
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
        width = asking.concurrency * len(servers)
        self._queue: asyncio.Queue[Task] = asyncio.Queue(width + BATCH)
        self._ready: asyncio.Queue[Ready | None] = asyncio.Queue(width)
        self._returned: list[Ready] = []
        self._held = 0
        self._room = asyncio.Event()
        self._room.set()
        self._loaders = min(LOADING, width)
        self._ahead = Ahead(width, AHEAD_BYTES)
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
        loaders = (self._load() for _ in range(self._loaders))
        also = (self._read(), *loaders, self._finished.wait(), self._watch.ended())
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
                await self._writer.put((None, StoredRow(row.place, row.number, bad_record(row, row.error))))
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

    async def _load(self) -> None:
        while True:
            row, index = await self._queue.get()
            self._hold(-_bytes(row))
            await self._ahead.begin()
            try:
                images = await self._pictures.of(row)
            except VQAError as problem:
                self._ahead.end(None)
                if index == 0:
                    await self._writer.put((None, StoredRow(row.place, row.number, bad_record(row, problem))))
                self._done()
                continue
            self._ahead.end(_sent(images))
            await self._ready.put((row, index, images))

    async def _work(self, server: Server) -> None:
        while True:
            task = self._returned.pop() if self._returned else await self._next()
            if task is None:
                continue
            row, index, images = task
            question = question_of(row, images, self._dataset.prompt, self._asking)
            try:
                sample = await server.ask(question, row.place, index, self._asking.concurrency)
            except GoneError:
                self._give_back(task)
                if await self._is_back(server):
                    continue
                return
            stored = StoredRow(row.place, row.number, row_record(row, images)) if index == 0 else None
            await self._writer.put((sample, stored))
            self._done()

    async def _next(self) -> Ready | None:
        task = await self._ready.get()
        if task is not None:
            self._ahead.taken(_sent(task[2]))
        return task

    def _give_back(self, task: Ready) -> None:
        """Leaves a row to whoever is free."""
        self._returned.append(task)
        if not self._ready.full():
            self._ready.put_nowait(None)  # wakes a worker that waits for rows

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


class Ahead:
    """How much is loaded before somebody asks about it: up to the most in one go, then nothing until half is taken.

    In one go, since pictures that are loaded together share a thread and a message to their decoder.
    """

    def __init__(self, rows: int, size: int) -> None:
        """Takes the most rows and the most bytes of their pictures."""
        self._most = (rows, size)
        self._loaded = self._bytes = self._loading = self._usual = 0
        self._room = asyncio.Event()
        self._room.set()

    async def begin(self) -> None:
        """Waits until one more row may be loaded; a first one always may."""
        while not self._room.is_set():
            await self._room.wait()
        self._loading += 1
        self._look()

    def end(self, size: int | None) -> None:
        """Notes that a row is loaded, with so many bytes; None where it could not be."""
        self._loading -= 1
        if size is not None:
            self._loaded += 1
            self._bytes += size
            self._usual = size
        self._look()

    def taken(self, size: int) -> None:
        """Notes that somebody asks about a row of so many bytes."""
        self._loaded -= 1
        self._bytes -= size
        self._look()

    def _look(self) -> None:
        """Opens or closes the door: rows under way are taken to be as large as the last one was."""
        rows = self._loaded + self._loading
        size = self._bytes + self._loading * self._usual
        if rows == 0 or (2 * rows <= self._most[0] and 2 * size <= self._most[1]):
            self._room.set()
        elif rows >= self._most[0] or size + self._usual > self._most[1]:
            self._room.clear()


def _sent(images: tuple[ImagePayload, ...]) -> int:
    """Returns how many bytes of pictures are sent with a question."""
    return sum(len(image.data) for image in images)


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
