"""How the pictures of a data set are loaded while it is asked."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator

import pytest
from PIL import Image

from vqa.evaluate.reading import PictureSource, Row
from vqa.evaluate.running import pictures
from vqa.evaluate.running.pictures import Pictures
from vqa.evaluate.running.work import Ahead
from vqa.media import runner
from vqa.media.images import ImageLimits
from vqa.media.runner import Pool


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    made = Pool()
    monkeypatch.setattr(runner, "pool", lambda: made)
    yield made
    made.close()


def row(place: int) -> Row:
    out = io.BytesIO()
    Image.new("RGB", (20 + place, 20), "teal").save(out, "PNG")
    return Row(place, place + 1, "What?", pictures=(PictureSource(f"{place}.png", data=out.getvalue()),))


async def widths(rows: list[Row]) -> list[int]:
    loading = Pictures(ImageLimits(), allow_local=False)
    try:
        return [image.width for (image,) in await asyncio.gather(*map(loading.of, rows))]
    finally:
        loading.close()


@pytest.mark.parametrize(("worth", "decoders"), [(60.0, 1), (0.0, 2)])
async def test_one_more_decoder_is_started_only_where_pictures_are_waited_for_long_enough(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, worth: float, decoders: int
) -> None:
    monkeypatch.setattr(pictures, "WORTH_A_DECODER", worth)
    monkeypatch.setattr(pictures, "THREADS", 2)
    assert await widths([row(place) for place in range(100)]) == [20 + place for place in range(100)]
    assert len(pool.idle()) == decoders


async def entered(ahead: Ahead, times: int) -> int:
    """How many of so many rows may be loaded now."""
    waiting = [asyncio.create_task(ahead.begin()) for _ in range(times)]
    done, pending = await asyncio.wait(waiting, timeout=0.05)
    for each in pending:
        each.cancel()
    return len(done)


async def test_rows_are_loaded_in_one_go_and_the_next_when_half_of_them_are_taken() -> None:
    ahead = Ahead(4, 1000)
    assert await entered(ahead, 6) == 4
    for _ in range(4):
        ahead.end(10)
    ahead.taken(10)
    assert await entered(ahead, 1) == 0
    ahead.taken(10)
    assert await entered(ahead, 6) == 2


async def test_few_large_pictures_are_held_and_one_of_any_size_always_goes_through() -> None:
    ahead = Ahead(8, 100)
    assert await entered(ahead, 1) == 1
    ahead.end(60)
    assert await entered(ahead, 3) == 0
    ahead.taken(60)
    assert await entered(ahead, 1) == 1
    ahead.end(None)
    assert await entered(ahead, 1) == 1
    ahead.end(400)
    ahead.taken(400)
    assert await entered(ahead, 2) == 1
