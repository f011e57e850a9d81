"""Every picture is either made ready to send or refused with a sentence; none crashes, none is silently changed."""

import base64
import hashlib
import io
import random
import struct
import zlib
from pathlib import Path

import psutil
import pytest
from PIL import Image

from vqa.errors import InputError, VQAError
from vqa.media.images import ImageLimits, load_image


def picture(width: int = 60, height: int = 40) -> Image.Image:
    made = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    made.paste((220, 30, 30), (0, 0, width // 2, height // 2))
    return made


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    (image or picture()).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(("kind", "mime"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")])
def test_common_formats_go_out_byte_for_byte_with_the_type_of_their_content(
    kind: str, mime: str, tmp_path: Path
) -> None:
    data = encoded(kind)
    path = tmp_path / "wrongly-named.txt"
    path.write_bytes(data)
    payload = load_image(path)
    assert (payload.data, payload.mime, payload.notes) == (data, mime, ())
    assert payload.sha256 == hashlib.sha256(data).hexdigest()
    assert payload.data_url == f"data:{mime};base64,{base64.b64encode(data).decode()}"
    assert (payload.given_width, payload.given_height, payload.given_bytes) == (60, 40, len(data))


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "GIF"])
def test_other_formats_become_png_with_the_same_pixels(kind: str) -> None:
    source = picture().convert("P") if kind == "GIF" else picture()
    payload = load_image(encoded(kind, source))
    assert (payload.mime, payload.notes) == ("image/png", ("images.converted",))
    assert payload.picture().convert("RGB").tobytes() == source.convert("RGB").tobytes()


def test_the_first_frame_of_an_animation_is_sent_and_said_so() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "PNG", "WEBP"):
        payload = load_image(encoded(kind, frames[0], save_all=True, append_images=frames[1:], **{"duration": 100}))
        assert "images.first_frame" in payload.notes
        assert payload.picture().convert("RGB").getpixel((5, 5))[0] > 200
        assert getattr(payload.picture(), "n_frames", 1) == 1


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter to the right
    payload = load_image(encoded("JPEG", picture(60, 40), exif=exif.tobytes()))
    assert (payload.width, payload.height) == (40, 60)
    assert payload.notes == ("images.rotated",)
    assert payload.picture().getexif().get(0x0112, 1) == 1
    corner = payload.picture().convert("RGB").getpixel((35, 5))
    assert corner[0] > 180 and corner[1] < 90, "the red quarter must have moved from top left to top right"


def test_a_picture_over_the_size_limit_is_scaled_and_said_so() -> None:
    payload = load_image(encoded("PNG", Image.new("RGB", (20_000, 50), "blue")))
    assert (payload.width, payload.height, payload.given_width) == (4096, 10, 20_000)
    assert payload.notes == ("images.scaled", "images.extreme?ratio=400&short=10&given=50")


def bomb() -> bytes:
    """A PNG of a few kilobytes that claims 30,000×30,000 pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(3751) * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "image_empty"),
        (b"Dear sir or madam, this is a letter.", "image_not_a_picture"),
        (encoded("JPEG", picture(600, 400))[:3000], "image_damaged"),
        (encoded("PNG", picture(600, 400))[:-700], "image_damaged"),
        (bomb(), "image_too_many_pixels"),
        (b"%PDF-1.7\n", "image_not_a_picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image_not_a_picture"),
    ],
    ids=["empty", "text", "cut JPEG", "cut PNG", "bomb", "PDF", "SVG"],
)
def test_what_is_no_usable_picture_is_refused_in_both_languages(data: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(data)
    with pytest.raises(InputError) as refused:
        load_image(path)
    assert refused.value.code == code
    for language in ("en", "zh"):
        assert "holiday.jpg" in refused.value.message(language)
        assert refused.value.hint(language)


def test_missing_and_oversized_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        load_image(tmp_path / "absent.png")
    with pytest.raises(InputError, match="no file"):
        load_image(tmp_path)
    with pytest.raises(InputError, match="at most 0.0 MB"):
        load_image(encoded("PNG"), ImageLimits(max_bytes=100))


def damaged(seed: int) -> bytes:
    """One of many broken pictures: cut, bits turned, types mixed up, or plain noise."""
    dice = random.Random(seed)
    data = bytearray(encoded(dice.choice(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])))
    kind = dice.randrange(4)
    if kind == 0:
        return bytes(data[: dice.randrange(len(data))])
    if kind == 1:
        for _ in range(dice.randrange(1, 20)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        return bytes(data)
    if kind == 2:
        return encoded(dice.choice(["PNG", "JPEG"]))[: dice.randrange(4, 60)] + bytes(data)
    return bytes(data[:12]) + dice.randbytes(dice.randrange(3000))


@pytest.mark.slow
def test_a_thousand_broken_pictures_give_no_crash_and_no_growth() -> None:
    load_image(encoded("WEBP"))
    before = psutil.Process().memory_info().rss
    refused = 0
    for seed in range(1000):
        try:
            payload = load_image(damaged(seed))
        except VQAError as error:
            refused += 1
            assert error.message("zh")
        else:
            assert payload.picture().size == (payload.width, payload.height)
    assert refused > 300
    assert psutil.Process().memory_info().rss - before < 200_000_000


def test_a_file_that_is_a_little_too_large_is_told_its_true_size(tmp_path: Path) -> None:
    (tmp_path / "big.png").write_bytes(b"x" * 2_000_001)
    for source in (tmp_path / "big.png", (tmp_path / "big.png").read_bytes()):
        with pytest.raises(InputError) as caught:
            load_image(source, ImageLimits(max_bytes=2_000_000))
        assert (caught.value.values["size"], caught.value.values["limit"]) == ("2.1", "2.0")
