"""A usual PNG is known to be whole without being decoded, and never where Pillow would find it damaged."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vqa.errors import InputError
from vqa.media.decoding.png import is_whole
from vqa.media.images import load_image

USUAL = ("1", "L", "P", "RGB")


def encoded(mode: str, size: tuple[int, int] = (37, 23), **options: object) -> bytes:
    out = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").convert(mode).save(out, "PNG", **options)
    return out.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def made(lines: bytes, *, after: bytes = b"", interlaced: int = 0, colour: int = 0) -> bytes:
    """A PNG of 4 x 3 pixels, 8 bits, with these lines, each led by its filter."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 8, colour, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(lines)) + after + chunk(b"IEND", b"")


def damaged(data: bytes) -> bool:
    """Whether only decoding it shows that it is damaged."""
    try:
        picture = Image.open(io.BytesIO(data))
    except (OSError, ValueError, SyntaxError):
        return False
    try:
        picture.load()
    except (OSError, ValueError, SyntaxError):
        return True
    return False


@pytest.mark.parametrize("mode", USUAL)
def test_a_usual_one_is_whole_and_goes_out_as_it_came(mode: str) -> None:
    data = encoded(mode)
    assert is_whole(data)
    payload = load_image(data)
    assert (payload.data, payload.notes, payload.width, payload.height) == (data, (), 37, 23)


@pytest.mark.parametrize(
    "data",
    [
        encoded("RGB")[:-20],
        encoded("RGB")[:200],
        made(b"\0gray" * 2),
        made(b"\0gray" * 4),
        made(b"\0gray\5gray\0gray"),
        made(b"\0gray" * 3, colour=3),
        made(b"\0gray" * 3, interlaced=1),
        made(b"\0gray" * 3, after=chunk(b"eXIf", b"MM\0*")),
        encoded("RGBA"),
        encoded("L")[:20],
    ],
    ids=[
        "no end",
        "cut",
        "a line missing",
        "a line more",
        "no such filter",
        "no palette",
        "interlaced",
        "late",
        "alpha",
        "head",
    ],
)
def test_what_it_cannot_tell_of_is_left_to_the_decoder(data: bytes) -> None:
    assert not is_whole(data)


def test_lines_with_no_filter_that_exists_are_refused() -> None:
    assert load_image(made(b"\0gray" * 3)).notes == ()
    with pytest.raises(InputError) as told:
        load_image(made(b"\0gray\5gray\0gray"))
    assert told.value.code == "image_damaged"


@pytest.mark.parametrize("late", [False, True])
def test_one_that_is_to_be_turned_is_turned_wherever_that_stands(late: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    if late:
        data = encoded("RGB").replace(chunk(b"IEND", b""), chunk(b"eXIf", exif.tobytes()[6:]) + chunk(b"IEND", b""))
    else:
        data = encoded("RGB", exif=exif)
    payload = load_image(data)
    assert (payload.notes, payload.width, payload.height) == (("images.rotated",), 23, 37)


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_clear_parts_are_still_seen_where_the_pixels_are_not_looked_at(mode: str) -> None:
    out = io.BytesIO()
    Image.new(mode, (9, 9), 0).save(out, "PNG", transparency=0 if mode != "RGB" else (0, 0, 0))
    (told,) = load_image(out.getvalue()).notes
    assert told == "images.on_white"


@given(
    st.sampled_from(USUAL),
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(0, 1 << 16),
    st.integers(0, 255),
    st.booleans(),
)
def test_it_never_calls_whole_what_does_not_decode(
    mode: str, width: int, height: int, place: int, value: int, cut: bool
) -> None:
    data = bytearray(encoded(mode, (width, height)))
    place %= len(data)
    if cut:
        del data[place:]
    else:
        data[place] = value
    assert not (is_whole(bytes(data)) and damaged(bytes(data)))
