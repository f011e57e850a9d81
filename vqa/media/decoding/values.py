"""What the decoding child is told and what it answers. Pure; imports nothing of ours, and no decoder."""

from __future__ import annotations

from dataclasses import dataclass

SENT_AS_GIVEN = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


class RefusedError(Exception):
    """Why there is no picture: a code of `vqa.errors` and its values."""

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(code)
        self.code, self.values = code, values


@dataclass(frozen=True)
class Bounds:
    """How much may be decoded, and how large a picture may go out; as `vqa.media.images.ImageLimits`."""

    max_pixels: int
    max_side: int


@dataclass(frozen=True)
class Ready:
    """One picture that can be sent; without data it goes out as it was given."""

    width: int
    height: int
    notes: tuple[str, ...] = ()
    data: bytes | None = None
    mime: str = ""
    format: str = ""
    given_width: int = 0
    given_height: int = 0
    name: str = ""
    """What tells it from the others of its file, such as ` 1.25 s`; empty when there is only one."""
