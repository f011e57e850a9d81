"""Pictures as files that the page can show and the composer can hold; all in the page's folder."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from vqa.errors import InputError
from vqa.media.images import ImagePayload
from vqa.ui.ask.conversation import Conversation
from vqa.ui.pictures.known import known
from vqa.ui.web.folder import owned

THUMBNAIL_SIDE = 512
BLANK: dict[str, Any] = {"text": "", "files": []}
SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}


def files_of(written: dict[str, Any] | None) -> list[str]:
    """Returns the paths of the files that stand in the composer."""
    return [str(path) for path in (written or {}).get("files") or []]


def write(image: ImagePayload) -> str:
    """Returns the path of a file with the picture as it is sent.

    Raises:
        InputError: there is no room for it.
    """
    known.remember(image)
    stem = Path(image.given_name).stem or "picture"
    return str(owned().write(f"{stem}{SUFFIXES[image.mime]}", image.data))


def thumbnails(conversation: Conversation) -> dict[str, str]:
    """Returns a small file for every picture of a conversation, keyed by its hash; one that cannot be read has none."""
    found = {}
    for image in conversation.images():
        with suppress(InputError):  # the conversation opens without it
            made = owned().made("small.png", image.sha256, partial(image.thumbnail, THUMBNAIL_SIDE))
            found[image.sha256] = str(made)
    return found
