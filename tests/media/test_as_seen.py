"""Unusual but valid pictures and pages: what is sent is what a viewer shows, however a file says the same picture."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pillow_heif as heif
import pytest
import tifffile
from PIL import Image, ImageCms

from vqa.errors import InputError
from vqa.media.images import ImageLimits, ImagePayload, load_image, load_tiles
from vqa.media.notes import named, note_text
from vqa.media.pdf import pdf_pages
from vqa.media.several import load_data
from vqa.media.treatment import Treatment

T = Image.Transpose
STORED = {
    1: None, 2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM, 5: T.TRANSPOSE, 6: T.ROTATE_90,
    7: T.TRANSVERSE, 8: T.ROTATE_270,
}  # fmt: skip
"""How a picture lies in a file of each of EXIF's orientations."""
PROFILE = 34675
LIMITS = ImageLimits()


def quarters() -> Image.Image:
    """A picture whose corners tell how it lies."""
    picture = Image.new("RGB", (64, 48))
    for box, colour in (((0, 0), (200, 40, 30)), ((32, 0), (40, 180, 60)), ((0, 24), (40, 60, 200))):
        picture.paste(colour, (*box, box[0] + 32, box[1] + 24))
    return picture


def lies_as_it_should(payload: ImagePayload, tolerance: int = 12) -> bool:
    seen = payload.picture().convert("RGB")
    difference = np.abs(np.asarray(seen).astype(int) - np.asarray(quarters()).astype(int))
    return seen.size == (64, 48) and float(np.percentile(difference, 90)) <= tolerance


def tiff(values: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, values, **options)
    return out.getvalue()


def png(values: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with 8 or 16 bits to a sample, and the chunks before its pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width = values.shape[:2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[1 if values.ndim == 2 else values.shape[2]]
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 8 * values.dtype.itemsize, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*each) for each in ((b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


# --- which side is up -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "16-bit TIFF", "16-bit PNG"])
def test_a_picture_is_turned_upright_once_whatever_file_it_lies_in(kind: str, orientation: int) -> None:
    turn, exif = STORED[orientation], Image.Exif()
    stored = quarters() if turn is None else quarters().transpose(turn)
    exif[274] = orientation
    deep = np.asarray(stored).astype(np.uint16) * 257
    if kind == "16-bit TIFF":
        data = tiff(deep, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    elif kind == "16-bit PNG":
        data = png(deep, (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    else:
        out = io.BytesIO()
        options = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
        stored.save(out, kind, exif=exif, **options)
        data = out.getvalue()
    payload = load_image(data)
    assert lies_as_it_should(payload)
    assert named("rotated", payload.notes) == (orientation > 1)


def test_a_page_that_lies_on_its_side_is_turned_and_said_so() -> None:
    exif, out = Image.Exif(), io.BytesIO()
    exif[274] = 6
    page = quarters().transpose(T.ROTATE_90)
    page.save(out, "TIFF", exif=exif, save_all=True, append_images=[page])
    pages = load_data(out.getvalue(), "scan.tif", LIMITS)
    assert [(lies_as_it_should(page), named("rotated", page.notes)) for page in pages] == [(True, True)] * 2


# --- what the colours mean --------------------------------------------------------------------------------------------


def exchanged() -> bytes:
    """A profile in which red is what sRGB calls green, and the other way round."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = {bytes(profile[at : at + 4]): at + 4 for at in range(132, 132 + 12 * profile[131], 12)}
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    profile[red : red + 8], profile[green : green + 8] = profile[green : green + 8], profile[red : red + 8]
    return bytes(profile)


@pytest.mark.parametrize("kind", ["png", "tiff", "planar tiff"])
def test_colours_of_sixteen_bits_are_converted_to_srgb_as_all_others_are(kind: str) -> None:
    values = (np.asarray(quarters()).astype(np.uint16) * 257)[..., [1, 0, 2]]
    tags = {"photometric": "rgb", "extratags": [(PROFILE, 7, len(exchanged()), exchanged(), True)]}
    if kind == "png":
        data = png(values, (b"iCCP", b"p\0\0" + zlib.compress(exchanged())))
    elif kind == "tiff":
        data = tiff(values, **tags)
    else:
        data = tiff(np.moveaxis(values, -1, 0), planarconfig="separate", **tags)
    payload = load_image(data)
    assert lies_as_it_should(payload)
    assert named("srgb", payload.notes)


def test_a_png_that_names_an_exponent_is_as_bright_as_a_viewer_shows_it() -> None:
    bright = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    linear = np.rint(255 * (bright / 255) ** 2.2).astype(np.uint8)
    payload = load_image(png(linear, (b"gAMA", struct.pack(">I", 100_000))))
    seen = np.asarray(payload.picture().convert("L")).astype(int)
    assert np.percentile(np.abs(seen - bright), 80) <= 3 and named("srgb", payload.notes)
    usual = png(bright, (b"gAMA", struct.pack(">I", 45_455)))
    assert load_image(usual).data == usual


P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290)
"""Red, green, blue and white of Display P3."""


def in_p3(colour: tuple[int, int, int]) -> tuple[int, ...]:
    """A colour of sRGB as Display P3 writes it: the matrix is the one of CSS Color 4."""
    matrix = np.array([[0.8225, 0.1774, 0.0], [0.0332, 0.9669, 0.0], [0.0171, 0.0724, 0.9108]])
    return tuple(np.rint(255 * (matrix @ (np.array(colour) / 255) ** 2.2) ** (1 / 2.2)).astype(int).tolist())


@pytest.mark.parametrize("kind", ["png", "png by number", "16-bit png", "heic", "avif"])
def test_wide_colours_that_are_named_without_a_profile_are_converted(kind: str) -> None:
    colour = (200, 40, 30)
    picture = Image.new("RGB", (64, 48), in_p3(colour))
    if kind == "heic":
        out = io.BytesIO()
        named_so = {"color_primaries": 12, "transfer_characteristics": 13, "matrix_coefficients": 6}
        heif.from_pillow(picture).save(out, quality=100, chroma=444, full_range_flag=1, **named_so)
        data = out.getvalue()
    elif kind == "avif":
        out = io.BytesIO()
        picture.save(out, "AVIF", quality=100, subsampling="4:4:4")
        before, mark, after = out.getvalue().partition(b"colrnclx")
        assert mark and after[:2] == b"\0\1", "Pillow says that they are sRGB's"
        data = before + mark + b"\0\x0c" + after[2:]
    elif kind == "png by number":
        data = png(np.asarray(picture), (b"cICP", bytes((12, 13, 0, 1))))
    else:
        values = np.asarray(picture)
        values = values.astype(np.uint16) * 257 if kind.startswith("16") else values
        told = struct.pack(">8I", *(round(100_000 * value) for value in (*P3[6:], *P3[:6])))
        data = png(values, (b"gAMA", struct.pack(">I", 45_455)), (b"cHRM", told))
    payload = load_image(data)
    seen = payload.picture().convert("RGB").getpixel((9, 9))
    assert max(abs(a - b) for a, b in zip(seen, colour, strict=True)) <= 4
    assert named("srgb", payload.notes)


def test_what_is_named_as_srgb_in_other_words_goes_out_as_it_is() -> None:
    srgb = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
    told = struct.pack(">8I", *(round(100_000 * value) for value in srgb))
    nonsense = struct.pack(">8I", *[0] * 8)
    for chunk in (told, nonsense):
        data = png(np.asarray(quarters()), (b"gAMA", struct.pack(">I", 45_455)), (b"cHRM", chunk))
        assert load_image(data).data == data


@pytest.mark.parametrize(("means", "at"), [("unassalpha", 228), ("assocalpha", 228), ("unspecified", 200)])
@pytest.mark.parametrize("factor", [1, 257])
def test_what_a_tiffs_fourth_channel_is_decides_what_is_seen(means: str, at: int, factor: int) -> None:
    share = 128 if means != "unspecified" else 40
    colour = 200 * share // 255 if means == "assocalpha" else 200
    values = np.full((48, 64, 4), (colour, colour, colour, share)).astype(np.uint16 if factor > 1 else np.uint8)
    payload = load_image(tiff(values * factor, photometric="rgb", extrasamples=[means]), treatment=WHITE)
    assert abs(payload.picture().convert("RGB").getpixel((9, 9))[0] - at) <= 2


WHITE = Treatment(background="white")


def test_a_gray_that_stands_for_nothing_is_clear_in_sixteen_bits_as_well() -> None:
    values = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (48, 1))
    payload = load_image(png(values, (b"tRNS", struct.pack(">H", values[0, 20]))), treatment=WHITE)
    seen = np.asarray(payload.picture().convert("L"))
    assert (seen[0, 20], seen[0, 21]) == (255, 85)


def test_an_animation_with_a_picture_for_old_programs_is_sent_as_it_begins() -> None:
    out = io.BytesIO()
    black = Image.new("RGB", (64, 48))
    black.save(out, "PNG", save_all=True, default_image=True, append_images=[quarters(), black])
    payload = load_image(out.getvalue())
    assert lies_as_it_should(payload) and named("first_frame", payload.notes)


def test_of_a_heic_with_several_pictures_the_main_one_is_sent() -> None:
    out, file = io.BytesIO(), heif.HeifFile()
    file.add_from_pillow(Image.new("RGB", (64, 48)))
    file.add_from_pillow(quarters())
    file.save(out, quality=95, primary_index=1)
    payload = load_image(out.getvalue())
    assert lies_as_it_should(payload, 20)
    assert note_text(payload.notes[-1], "en") == "the main one of the 2 pictures in its file"


@pytest.mark.parametrize("photometric", ["cielab", "icclab"])
def test_a_tiff_of_a_kind_that_nothing_here_reads_is_refused_for_what_it_is(photometric: str) -> None:
    values = np.zeros((8, 8, 3), np.uint16 if photometric == "cielab" else np.uint8)
    with pytest.raises(InputError) as refused:
        load_image(tiff(values, photometric=photometric))
    assert refused.value.code == "image_kind_unsupported"
    assert photometric.upper() in str(refused.value)


def test_tiles_that_had_to_be_scaled_say_so() -> None:
    out = io.BytesIO()
    Image.new("L", (100_000, 2)).save(out, "PNG")
    tiles = load_tiles(out.getvalue(), treatment=Treatment(shape="tiles"))
    assert all(tile.width == LIMITS.max_side and named("scaled", tile.notes) for tile in tiles)


# --- pages ------------------------------------------------------------------------------------------------------------


def page_file(path: Path, box: str, content: bytes, page: str = "", root: str = "", *more: bytes) -> Path:
    """Writes a PDF of one page."""
    objects = [
        f"<</Type/Catalog/Pages 2 0 R{root}>>".encode(),
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        f"<</Type/Page/Parent 2 0 R/MediaBox[{box}]{page}/Contents 4 0 R/Resources<<>>>>".encode(),
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        *more,
    ]
    out, places = b"%PDF-1.7\n", []
    for number, each in enumerate(objects, 1):
        places.append(b"%010d 00000 n \n" % len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    size = len(objects) + 1
    table = b"xref\n0 %d\n0000000000 65535 f \n" % size + b"".join(places)
    path.write_bytes(out + table + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (size, len(out)))
    return path


def test_what_was_filled_into_a_form_is_on_the_page(tmp_path: Path) -> None:
    field = (
        b"<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/V(Lovelace)/Rect[10 10 190 90]/DA(/Helv 40 Tf 0 g)/F 4>>",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    )
    form = "/AcroForm<</Fields[5 0 R]/DR<</Font<</Helv 6 0 R>>>>/DA(/Helv 12 Tf 0 g)/NeedAppearances true>>"
    path = page_file(tmp_path / "form.pdf", "0 0 200 100", b" ", "/Annots[5 0 R]", form, *field)
    (page,) = pdf_pages(path, LIMITS, at_most=1)
    assert np.asarray(page.picture().convert("L")).min() < 60, "the name is not there"


def test_a_very_long_page_is_warned_about_and_can_be_cut_into_tiles(tmp_path: Path) -> None:
    path = page_file(tmp_path / "long.pdf", "0 0 200 14400", b"1 0 0 rg 0 0 200 7200 re f")
    (whole,) = pdf_pages(path, LIMITS, at_most=16)
    assert whole.height == LIMITS.max_side and named("extreme", whole.notes) and named("scaled", whole.notes)
    tiles = pdf_pages(path, LIMITS, at_most=16, treatment=Treatment(shape="tiles"))
    assert len(tiles) > 4 and {tile.width for tile in tiles} == {400}
    assert [tile.picture().convert("RGB").getpixel((9, 9)) for tile in (tiles[0], tiles[-1])] == [
        (255, 255, 255), (255, 0, 0),
    ]  # fmt: skip
    assert len(pdf_pages(path, LIMITS, at_most=3, treatment=Treatment(shape="tiles"))) == 3


def test_a_page_as_large_as_a_wall_is_drawn_no_larger_than_it_is_sent(tmp_path: Path) -> None:
    path = page_file(tmp_path / "wall.pdf", "0 0 200000 100000", b"1 0 0 rg 0 0 100000 100000 re f")
    (page,) = pdf_pages(path, LIMITS, at_most=1)
    assert (page.width, page.height) == (LIMITS.max_side, LIMITS.max_side // 2) and named("scaled", page.notes)
    assert page.picture().convert("RGB").getpixel((9, 9)) == (255, 0, 0)
