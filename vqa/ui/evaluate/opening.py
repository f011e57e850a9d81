"""One row of a run opened elsewhere on the page: asked again many times, or as a conversation that goes on."""

from __future__ import annotations

import asyncio
from itertools import islice

from vqa.answers import Sampling
from vqa.errors import InputError
from vqa.evaluate.reading import Dataset, Row, load_source, reading_from_record
from vqa.lab.plan.arms import RunSpec
from vqa.media.images import ImagePayload
from vqa.store import Run
from vqa.ui.ask.asking import AskOptions
from vqa.ui.ask.conversation import Conversation, Message
from vqa.ui.ask.keeping import ConversationKeeper
from vqa.ui.services import Services

REPEATS = 20
"""How often a row is asked when it is opened in Repeat."""


def in_repeat(services: Services, run: Run, place: int) -> str:
    """Starts a repeat of one row, asked as it was in the run, and returns its address on the page.

    Raises:
        InputError: the data set has no such row any more, or one of its pictures cannot be read.
    """
    text, system, images = _row(services, run, place)
    spec = RunSpec((text,), images, n=REPEATS, sampling=_sampling(run), system=system)
    engine = None if services.engine.snapshot().attached else services.engine
    return f"?tab=repeat&run={services.runs.start(spec, services.base_url(), engine=engine)}"


def in_ask(services: Services, run: Run, place: int) -> str:
    """Makes a conversation of one row and the first answer to it, and returns its address on the page.

    Raises:
        InputError: as `in_repeat`.
    """
    text, system, images = _row(services, run, place)
    samples = next((found for row, found in services.store.evaluated(run.id) if row.place == place), [])
    answer = next((each.answer for each in samples if each.answer is not None), None)
    keeper = ConversationKeeper(services.store)
    chat = keeper.add(Conversation(), Message(1, None, "user", text, images))
    if answer is not None:
        sampling = _sampling(run)
        asked = AskOptions(sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed, system).asked()
        chat = keeper.add(
            chat, Message(chat.next_id(), chat.leaf, "assistant", answer.text, answer=answer, asked=asked)
        )
    return f"?tab=ask&chat={chat.chat_id}"


def _row(services: Services, run: Run, place: int) -> tuple[str, str, tuple[ImagePayload, ...]]:
    dataset = Dataset(reading_from_record(run.plan["dataset"]))
    row = next((row for row in islice(dataset.rows(), place + 1) if row.place == place), None)
    if not isinstance(row, Row):
        raise InputError("sample_missing", sample=place + 1)
    return dataset.text_of(row), row.system, asyncio.run(_pictures(services, row))


async def _pictures(services: Services, row: Row) -> tuple[ImagePayload, ...]:
    allow_local = services.settings.allow_local_urls
    return tuple([await load_source(each, services.limits, allow_local=allow_local) for each in row.pictures])


def _sampling(run: Run) -> Sampling:
    return Sampling(**run.plan["asking"]["sampling"])
