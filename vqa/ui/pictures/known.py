"""What was done to pictures that the page wrote as files: pages, frames and fetched ones come back as plain files."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

from vqa.media.images import ImagePayload

MOST = 1024
Facts = tuple[tuple[str, ...], str, int, int, int]


class Known:
    """The newest pictures' notes and origins, by the hash of what is sent; names are nobody else's business.

    Two pages may be alike to the last byte, as empty ones are: they are told apart by what their files are called.
    """

    def __init__(self, most: int = MOST) -> None:
        self._lock, self._most = threading.Lock(), most
        self._facts: OrderedDict[tuple[str, str], Facts] = OrderedDict()

    def remember(self, image: ImagePayload) -> None:
        """Keeps what was done to a picture."""
        facts = (image.notes, image.given_format, image.given_bytes, image.given_width, image.given_height)
        with self._lock:
            for key in ((image.sha256, ""), (image.sha256, Path(image.given_name).stem)):
                self._facts[key] = facts
                self._facts.move_to_end(key)
            while len(self._facts) > 2 * self._most:
                self._facts.popitem(last=False)

    def recalled(self, image: ImagePayload) -> ImagePayload:
        """Returns the picture with what was done to it before it came back, where it went out byte for byte since."""
        if image.notes:
            return image
        with self._lock:
            facts = self._facts.get((image.sha256, Path(image.given_name).stem)) or self._facts.get((image.sha256, ""))
        if facts is None:
            return image
        notes, kind, size, width, height = facts
        return replace(image, notes=notes, given_format=kind, given_bytes=size, given_width=width, given_height=height)


known = Known()
"""Of this page's process."""
