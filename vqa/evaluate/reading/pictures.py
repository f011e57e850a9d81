"""Loads the picture that a row names, checked and within the limits; from files, archives, bytes and the web."""

from __future__ import annotations

import asyncio

from vqa.evaluate.reading.places import read_member
from vqa.evaluate.reading.values import PictureSource
from vqa.media.fetch import fetch_image
from vqa.media.images import ImageLimits, ImagePayload, load_image, read_source


async def load_source(source: PictureSource, limits: ImageLimits, *, allow_local: bool = False) -> ImagePayload:
    """Returns the picture as it is sent.

    Raises:
        InputError: it cannot be had, is no picture, or is over the limits.
    """
    if source.address:
        return await fetch_image(source.address, limits, allow_local=allow_local)
    return await asyncio.to_thread(load_local, source, limits)


def load_local(source: PictureSource, limits: ImageLimits) -> ImagePayload:
    """Returns a picture that is not on the web; raises as `load_source` does."""
    data, name = read_local(source, limits)
    return load_image(data, limits, name=name)


def read_local(source: PictureSource, limits: ImageLimits) -> tuple[bytes, str]:
    """Returns bytes, unchecked, and name of a picture that is not on the web; raises as `load_source` does."""
    given, name = source.data if source.data is not None else source.path, source.name[:120]
    assert given is not None
    if source.member and source.path is not None:
        given = read_member(source.path, source.member, limits.max_bytes)
    return read_source(given, limits, name)
