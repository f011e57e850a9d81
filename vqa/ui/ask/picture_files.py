"""Pictures as files that the page can show and the composer can hold; all in the page's folder."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from vqa.errors import InputError
from vqa.ui.ask.conversation import Conversation
from vqa.ui.web.folder import owned

THUMBNAIL_SIDE = 512
BLANK: dict[str, Any] = {"text": "", "files": []}


def files_of(written: dict[str, Any] | None) -> list[str]:
    """Returns the paths of the files that stand in the composer."""
    return [str(path) for path in (written or {}).get("files") or []]


def thumbnails(conversation: Conversation) -> dict[str, str]:
    """Returns a small file for every picture of a conversation, keyed by its hash; one that cannot be read has none."""
    found = {}
    for image in conversation.images():
        with suppress(InputError):  # the conversation opens without it
            made = owned().made("small.png", image.sha256, partial(image.thumbnail, THUMBNAIL_SIDE))
            found[image.sha256] = str(made)
    return found
