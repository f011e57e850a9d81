"""Loads the pictures of rows in threads, the small ones several at a time, and keeps the last ones at hand."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor

from vqa.evaluate.reading import PictureSource, Row
from vqa.evaluate.reading.pictures import read_local
from vqa.media.fetch import fetch_image
from vqa.media.images import ImageLimits, ImagePayload, load_images
from vqa.media.runner import CHILDREN

THREADS = CHILDREN
WORTH_A_DECODER = 1.0
"""Seconds without a break for the decoders that there are, after which one more is worth its start: of a processor a
third of a second, which on few cores is taken from the engine and from the asking."""
TOGETHER, TOGETHER_BYTES = 32, 1_000_000
"""Pictures, and bytes of them, that one message to a decoder holds; a large picture is worth a message of its own."""
KEPT_PICTURES = 64
"""Checked pictures that stay at hand, since several questions about one follow each other."""
KEPT_BYTES = 8_000_000

Waiting = tuple[PictureSource, "asyncio.Future[ImagePayload]"]
Loaded = tuple["asyncio.Future[ImagePayload]", ImagePayload | Exception]


class Pictures:
    """Loads pictures. Use it within one event loop, and close it.

    Whatever is wanted while all threads are busy is loaded together by the next free one: on few cores a picture costs
    less time than handing it to a thread, and a decoder's answer back.
    """

    def __init__(self, limits: ImageLimits, *, allow_local: bool) -> None:
        self._limits = limits
        self._allow_local = allow_local
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="vqa-pictures")
        self._busy = 0
        self._most = 1
        """Threads that may load at a time, each with a decoder of its own."""
        self._hurried = 0.0
        """Since when somebody has waited for a picture all the time; 0 where nobody does."""
        self._waiting: deque[Waiting] = deque()
        self._kept: OrderedDict[tuple[str, str], ImagePayload] = OrderedDict()
        self._bytes = 0

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
        future: asyncio.Future[ImagePayload] = asyncio.get_running_loop().create_future()
        self._waiting.append((source, future))
        self._load()
        loaded = await future
        if key is not None:
            self._keep(key, loaded)
        return loaded

    def _load(self) -> None:
        """Gives what waits to a free thread, if there is one."""
        if not self._waiting:
            self._hurried = 0.0
            return
        if self._busy == self._most:
            now = time.monotonic()
            self._hurried = self._hurried or now
            if self._most == THREADS or now - self._hurried < WORTH_A_DECODER:
                return
            self._most, self._hurried = self._most + 1, 0.0
        self._busy += 1
        share = min(TOGETHER, math.ceil(len(self._waiting) / self._most))
        asyncio.get_running_loop().run_in_executor(self._pool, self._some, share).add_done_callback(self._hand_over)

    def _some(self, most: int) -> list[Loaded]:
        """Loads so many of those that wait at most; whatever goes wrong is told to who waits."""
        failed: list[Loaded] = []
        futures: list[asyncio.Future[ImagePayload]] = []
        given: list[tuple[bytes, str]] = []
        size = 0
        while len(futures) < most and size < TOGETHER_BYTES:
            try:
                source, future = self._waiting.popleft()
            except IndexError:  # another thread took it
                break
            try:
                given.append(read_local(source, self._limits))
            except Exception as problem:
                failed.append((future, problem))
                continue
            futures.append(future)
            size += len(given[-1][0])
        try:
            return [*failed, *zip(futures, load_images(given, self._limits), strict=True)]
        except Exception as problem:
            return [*failed, *((future, problem) for future in futures)]

    def _hand_over(self, done: asyncio.Future[list[Loaded]]) -> None:
        self._busy -= 1
        if done.cancelled():
            return
        for future, loaded in done.result():
            if future.cancelled():
                continue
            if isinstance(loaded, Exception):
                future.set_exception(loaded)
            else:
                future.set_result(loaded)
        self._load()

    def _keep(self, key: tuple[str, str], picture: ImagePayload) -> None:
        if (old := self._kept.pop(key, None)) is not None:
            self._bytes -= len(old.data)
        self._kept[key] = picture
        self._bytes += len(picture.data)
        while self._kept and (len(self._kept) > KEPT_PICTURES or self._bytes > KEPT_BYTES):
            _, old = self._kept.popitem(last=False)
            self._bytes -= len(old.data)
