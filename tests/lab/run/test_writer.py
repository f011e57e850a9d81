"""Whatever lands is stored in its order, in as few transactions as the store's own pace asks for."""

from __future__ import annotations

import asyncio
import threading

import pytest

from vqa.errors import StoreError
from vqa.lab.run import writer
from vqa.lab.run.writer import storing


class Taken:
    """A store that is as slow as it is told to be."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.full = False

    def write(self, items: list[int]) -> None:
        self.go_on.wait(20)
        if self.full:
            raise StoreError("disk_full", path="here")
        self.batches.append(items)

    @property
    def all(self) -> list[int]:
        return [item for batch in self.batches for item in batch]


async def test_what_lands_while_one_transaction_runs_goes_into_the_next_one() -> None:
    store = Taken()
    store.go_on.clear()
    async with storing(store.write) as storage:
        for item in range(100):
            await storage.put(item)
            await asyncio.sleep(0)
        store.go_on.set()
    assert store.all == list(range(100))
    assert len(store.batches) == 2


async def test_the_first_is_stored_at_once_and_those_of_the_next_moment_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "PAUSE_SECONDS", 2.0)
    store = Taken()
    async with storing(store.write) as storage:
        await storage.put(0)
        await asyncio.sleep(0.2)
        assert store.batches == [[0]]
        for item in range(1, 5):
            await storage.put(item)
            await asyncio.sleep(0.005)
    assert store.batches == [[0], [1, 2, 3, 4]]


async def test_a_full_writer_slows_whoever_puts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MOST_WAITING", 3)
    store = Taken()
    store.go_on.clear()
    async with storing(store.write) as storage:
        await storage.put(0)
        await asyncio.sleep(0.05)  # which is being stored now
        putting = asyncio.create_task(_put_all(storage, range(1, 9)))
        await asyncio.sleep(0.05)
        assert not putting.done()
        store.go_on.set()
        await putting
    assert store.all == list(range(9))


async def _put_all(storage: writer.Writer[int], items: range) -> None:
    for item in items:
        await storage.put(item)


async def test_a_cancellation_loses_nothing_that_was_put() -> None:
    store = Taken()
    store.go_on.clear()

    async def work() -> None:
        async with storing(store.write) as storage:
            await _put_all(storage, range(5))
            await asyncio.sleep(60)

    working = asyncio.create_task(work())
    await asyncio.sleep(0.05)
    working.cancel()
    await asyncio.sleep(0.05)
    store.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert store.all == list(range(5))


@pytest.mark.parametrize("more", [True, False])
async def test_a_full_disk_ends_it_with_the_next_one_or_at_the_end(more: bool) -> None:
    store = Taken()
    store.full = True
    with pytest.raises(StoreError) as told:
        async with storing(store.write) as storage:
            await storage.put(0)
            await asyncio.sleep(0.1)
            if more:
                await storage.put(1)
                pytest.fail("it went on")
    assert told.value.code == "disk_full"
    assert store.batches == []
