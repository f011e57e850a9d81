"""Pictures as files that the page can show and the composer can hold; all in the folder of uploads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from vqa.errors import InputError
from vqa.media.images import ImagePayload
from vqa.ui.ask.conversation import Conversation
from vqa.ui.pictures.known import known

THUMBNAIL_SIDE = 512
BLANK: dict[str, Any] = {"text": "", "files": []}
SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}


def files_of(written: dict[str, Any] | None) -> list[str]:
    """Returns the paths of the files that stand in the composer."""
    return [str(path) for path in (written or {}).get("files") or []]


def write(image: ImagePayload) -> str:
    """Returns the path of a file with the picture as it is sent."""
    known.remember(image)
    folder = Path(get_upload_folder()) / image.sha256
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{Path(image.given_name).stem[:60] or 'picture'}{SUFFIXES[image.mime]}"
    path.write_bytes(image.data)
    return str(path)


def thumbnails(conversation: Conversation) -> dict[str, str]:
    """Returns a small file for every picture of a conversation, keyed by its hash; the page's cache may lose them."""
    found = {}
    for image in conversation.images():
        path = Path(get_upload_folder()) / "thumbnails" / f"{image.sha256}.png"
        if not path.exists():
            try:
                small = image.thumbnail(THUMBNAIL_SIDE)
            except InputError:
                continue  # the conversation opens without it
            path.parent.mkdir(parents=True, exist_ok=True)
            written = path.with_suffix(f".{os.getpid()}.part")
            written.write_bytes(small)
            written.replace(path)
        found[image.sha256] = str(path)
    return found
