"""Hundreds of damaged pictures through the running app: each is refused or answered, and nothing grows or breaks."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image, ImageDraw

from tests.conftest import RunningApp
from tests.security.conftest import inside, log_end, memory, no_traceback
from tests.security.visitor import Visitor

COUNT, SESSIONS, BATCH = 270, 3, 45
HEAVY_EVERY = 30
"""So that each of the nine comes."""
GROWTH = 200_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "ICO", "PPM", "AVIF")


def scene(chance: random.Random) -> Image.Image:
    """A small picture with a little in it."""
    side = chance.choice((16, 24, 32))
    picture = Image.new("RGB", (side, side), tuple(chance.randbytes(3)))
    ImageDraw.Draw(picture).ellipse((2, 2, side - 4, side - 4), fill=tuple(chance.randbytes(3)))
    return picture


def whole(chance: random.Random) -> tuple[str, bytes]:
    """An undamaged file."""
    kind, out = chance.choice(FORMATS), io.BytesIO()
    try:
        scene(chance).save(out, kind)
    except (KeyError, OSError):  # a format that this build of Pillow cannot write
        kind, out = "PNG", io.BytesIO()
        scene(chance).save(out, kind)
    return kind.lower(), out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG that claims a size and holds something else."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bombs() -> list[bytes]:
    """Files of a few kilobytes that claim, or unfold to, far more."""
    zeros = zlib.compress(bytes(60_000_000), 9)
    text = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    gif = io.BytesIO()
    Image.new("1", (9000, 9000)).save(gif, "GIF")
    return [
        png_of(30_000, 30_000, zeros),
        png_of(2**31 - 1, 2**31 - 1, b""),
        png_of(7000, 7000, zeros),
        text + chunk(b"zTXt", b"a\0\0" + zeros) + chunk(b"IEND", b""),
        text + chunk(b"iCCP", b"a\0\0" + zeros) + chunk(b"IEND", b""),
        gif.getvalue(),
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0),
        b"P6 99999 99999 255\n" + bytes(100),
        b"II*\0\x08\0\0\0" + b"\xff" * 200,
    ]


def damaged(chance: random.Random, number: int, heavy: list[bytes]) -> tuple[str, bytes]:
    """One file, damaged in one of five ways."""
    kind, data = whole(chance)
    way = number % 5
    if number % HEAVY_EVERY == 0:
        return f"{number}.png", heavy[number // HEAVY_EVERY]
    if way == 0:
        data = data[: chance.randrange(len(data))]
    elif way in {1, 2}:
        flipped = bytearray(data)
        for _ in range(chance.choice((1, 4, 32))):
            flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        data = bytes(flipped)
    elif way == 3:
        data = chance.choice(
            (b"%PDF-1.4\n", b"<svg onload=alert(1)>", b"MZ", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", data[:20])
        )
        data += chance.randbytes(200)
    else:
        kind = chance.choice(("pdf", "html", "svg", "exe", "png", "jpg", "heic", "txt"))
        data = data if number % 3 == 0 else data[: len(data) // 2] + chance.randbytes(len(data) // 2)
    return f"{number}.{kind}", data


def batches() -> Iterator[list[tuple[str, bytes]]]:
    """All files, the same on every run."""
    chance, heavy = random.Random(20261122), bombs()
    files = [damaged(chance, number, heavy) for number in range(COUNT)]
    for start in range(0, COUNT, BATCH):
        yield files[start : start + BATCH]


@pytest.mark.slow
def test_hundreds_of_damaged_pictures_are_refused_or_answered(private: RunningApp) -> None:
    app = private
    since, before = log_end(app), memory(app)
    config = inside(app).config
    with ThreadPoolExecutor(SESSIONS) as pool:
        found = pool.map(lambda batch: outcomes_of(inside(app, config=config), batch), batches())
        outcomes = [outcome for batch in found for outcome in batch]
    assert len(outcomes) == COUNT
    assert outcomes.count("lost") == 0
    assert outcomes.count("refused") > COUNT / 4
    assert outcomes.count("answered") > 10
    no_traceback(app, since)
    growth = memory(app) - before
    print(f"the app grew by {growth / 1e6:.0f} MB from {before / 1e6:.0f}")
    assert growth < GROWTH, f"the app grew by {growth / 1e6:.0f} MB"


def outcomes_of(guest: Visitor, files: list[tuple[str, bytes]]) -> list[str]:
    """Uploads files and asks about each, all under way together: `answered`, `refused` or `lost`."""
    options = guest.defaults(guest.endpoint("vqa-composer", "submit"))[2:]
    options[2] = "1"  # max_tokens: the picture counts here, not the answer
    paths = guest.upload(*files)
    events = [guest.ask("What is this?", [path], options, wait=False) for path in paths]
    replies = guest.listen(set(events))
    guest.close()
    assert "Traceback" not in "".join(reply.raw for reply in replies.values())
    return [
        "refused"
        if replies[each].notices or not replies[each].success
        else "answered"
        if replies[each].outputs
        else "lost"
        for each in events
    ]
