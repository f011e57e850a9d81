"""Whether a question fits into the model's context and, if not, how it would: counted before it is sent.

The count is the server's own; where it gives none, nothing is said and the server's refusal is shown as it comes.
Counting costs as much as reading the pictures does, so what a picture of some size took here once is remembered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from vqa.answers import Question, Turn
from vqa.client import Client
from vqa.errors import InputError
from vqa.media.images import ImagePayload, resized

ROOM = 256
"""Tokens that an answer shall have at least, where the context has as many to give."""
SHARE_OF_ROOM = 4
"""…and at most this part of a small context."""
STEP = 0.75
STEPS = 9
LEAST_SIDE = 56
"""Pixels: below, no model sees anything."""
STEPS_IN_VAIN = 2
TOKENS_OF_A_PICTURE, PIXELS_OF_A_TOKEN = 4096, 196
"""More than any known model takes for a picture: those that cut it into tiles, those with a token for each patch."""
TOKENS_OF_A_TURN = 64


@dataclass(frozen=True)
class Shortage:
    """How much too long a request is, in tokens, and what would make it fit."""

    prompt_tokens: int
    max_tokens: int | None
    max_model_len: int
    side: int | None = None
    """Pixels of the longest side with which the pictures of the question would fit; None where that does not help."""
    less_tokens: int | None = None
    """The `max_tokens` that would fit (after the resizing, if there is one); None where it need not change."""

    @property
    def solvable(self) -> bool:
        """Returns whether there is anything to offer."""
        return self.side is not None or self.less_tokens is not None


Sizes = dict[tuple[int, int], int]
"""At most how many tokens a picture of a width and height in pixels takes with the model of a server."""
_seen: WeakKeyDictionary[Client, Sizes] = WeakKeyDictionary()


def most_tokens(question: Question, seen: Sizes | None = None) -> int:
    """Returns more tokens than the question can take with any model known; a byte of text is at most one token.

    `seen` is what pictures took with this model.
    """
    turns = (Turn("user", question.system), *question.history, Turn("user", question.text, question.images))
    texts = sum(len(turn.text.encode()) + TOKENS_OF_A_TURN for turn in turns)
    return texts + sum(_most_of(image, seen or {}) for image in _images(question))


def _images(question: Question) -> tuple[ImagePayload, ...]:
    return (*(image for turn in question.history for image in turn.images), *question.images)


def _most_of(image: ImagePayload, seen: Sizes) -> int:
    known = seen.get((image.width, image.height))
    return max(TOKENS_OF_A_PICTURE, image.width * image.height // PIXELS_OF_A_TOKEN) if known is None else known


async def fit(client: Client, question: Question, most: int) -> Question | Shortage:
    """Returns the question as it is to be sent, or how much too long it is.

    A question without `max_tokens` gets one where only a context longer than `most` would end its answer.

    Raises:
        ServerError: the server cannot be reached.
    """
    length, wanted = (await client.info()).max_model_len, question.sampling.max_tokens
    if length is None:
        return _limited(question, most) if wanted is None else question
    seen = _seen.setdefault(client, {})
    bound = most_tokens(question, seen)
    if wanted is None and length <= most and bound < length:
        return question
    if bound + (wanted or most) <= length:
        return _limited(question, most) if wanted is None else question
    count = await client.prompt_tokens(question)
    if count is not None and len(images := _images(question)) == 1:
        seen[images[0].width, images[0].height] = count
    if count is None:
        return _limited(question, most) if wanted is None and length > most else question
    if count + (wanted or 1) > length:
        return await _shortage(client, question, count, length)
    return _limited(question, most) if wanted is None and length - count > most else question


def demanded(fitted: Question | Shortage) -> Question:
    """Returns the question that fits.

    Raises:
        InputError: it does not.
    """
    if isinstance(fitted, Shortage):
        raise InputError("request_too_long", prompt=fitted.prompt_tokens, length=fitted.max_model_len)
    return fitted


def _limited(question: Question, most: int) -> Question:
    return replace(question, sampling=replace(question.sampling, max_tokens=most))


async def _shortage(client: Client, question: Question, count: int, length: int) -> Shortage:
    wanted = question.sampling.max_tokens
    room = min(wanted or ROOM, ROOM, length // SHARE_OF_ROOM)
    side, left = None, length - count
    if left < room:
        async for smaller, fewer in _smaller(client, question, count):
            if fewer + room <= length:
                side, left = smaller, length - fewer
                break
    less = left if wanted is not None and wanted > left > 0 else None
    return Shortage(count, wanted, length, side, less)


async def _smaller(client: Client, question: Question, count: int) -> AsyncIterator[tuple[int, int]]:
    """Yields ever smaller sides with the tokens that the question then takes; ends where less pixels save nothing."""
    side = max((max(image.width, image.height) for image in question.images), default=0)
    vain = 0
    for _ in range(STEPS):
        side = round(side * STEP)
        if side < LEAST_SIDE or vain > STEPS_IN_VAIN:
            return
        images = await asyncio.to_thread(resized_all, question.images, side)
        fewer = await client.prompt_tokens(replace(question, images=images))
        if fewer is None:
            return
        vain = vain + 1 if fewer >= count else 0
        count = fewer
        yield side, fewer


def resized_all(images: tuple[ImagePayload, ...], side: int) -> tuple[ImagePayload, ...]:
    """Returns the pictures, each at most `side` pixels long."""
    return tuple(resized(image, side) for image in images)
