"""Pictures as files that the page can show and its components can hold; all in the page's folder."""

from __future__ import annotations

from pathlib import Path

from vqa.media.images import ImagePayload
from vqa.ui.pictures.known import known
from vqa.ui.web.folder import owned

SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}


def write(image: ImagePayload) -> str:
    """Returns the path of a file with the picture as it is sent.

    Raises:
        InputError: there is no room for it.
    """
    known.remember(image)
    stem = Path(image.given_name).stem or "picture"
    return str(owned().write(f"{stem}{SUFFIXES[image.mime]}", image.data))
