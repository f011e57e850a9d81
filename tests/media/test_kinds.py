"""Pictures as people have them: what the model gets is what can be seen on the picture, or a sentence says why not."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageDraw, PngImagePlugin

from vqa.errors import InputError
from vqa.media.decoding.jpeg import scale_for
from vqa.media.images import ImageLimits, ImagePayload, load_image, load_tiles
from vqa.media.notes import named, note_text
from vqa.media.several import load_file, load_pictures
from vqa.media.treatment import Treatment, page_places


def encoded(kind: str, image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def gray(payload: ImagePayload) -> np.ndarray:
    return np.asarray(payload.picture().convert("L")).astype(int)


def circles(low: int, high: int, dtype: str = "uint16") -> np.ndarray:
    """Three bright circles on a dark ground, with a little slope so that there is a range."""
    drawn = Image.new("L", (200, 100))
    for x in (40, 100, 160):
        ImageDraw.Draw(drawn).ellipse((x - 15, 35, x + 15, 65), fill=255)
    share = np.asarray(drawn).astype(float) / 255
    return (low + share * (high - low)).astype(dtype)


def tiff(values: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, values, **{"photometric": "minisblack", **options})
    return out.getvalue()


# --- more than eight bits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_gray_are_scaled_by_their_own_range(kind: str) -> None:
    payload = load_image(encoded(kind, Image.fromarray(circles(800, 3000))))
    seen = gray(payload)
    assert (seen[50, 100], seen[5, 5]) == (255, 0), "neither clipped to white nor left dark"
    assert "images.toned_range?low=800&high=3000" in payload.notes
    assert "800" in note_text(payload.notes[-1], "zh")


@pytest.mark.parametrize(
    "values",
    [
        circles(0, 1, "float32"), circles(-1000, 3000, "int16"), circles(10, 4_000_000_000, "uint32"),
        circles(0, 1, "float64") * 0.5, circles(5, 900, "float16"), circles(-5, 90, "int8"),
    ],
    ids=["float 0 to 1", "int16", "uint32", "float64", "float16", "int8"],
)  # fmt: skip
def test_other_samples_of_tiff_are_neither_empty_nor_turned_round(values: np.ndarray) -> None:
    seen = gray(load_image(tiff(values)))
    assert (seen[50, 100], seen[5, 5]) == (255, 0)


def test_the_least_value_may_be_white() -> None:
    for values in (circles(0, 4000), circles(0, 1, "float32"), circles(0, 255, "uint8")):
        seen = gray(load_image(tiff(values, photometric="miniswhite")))
        assert (seen[50, 100], seen[5, 5]) == (0, 255)


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_colours_of_sixteen_bits_come_out_right_in_any_order(planes: str) -> None:
    values = np.zeros((20, 30, 3), np.uint16)
    values[..., 0], values[..., 1], values[..., 2] = 60000, 30000, 0
    given = np.moveaxis(values, -1, 0) if planes == "separate" else values
    payload = load_image(tiff(given, photometric="rgb", planarconfig=planes))
    assert payload.picture().getpixel((3, 3)) == (233, 117, 0)
    assert named("toned_full", payload.notes)


def test_dark_colours_of_sixteen_bits_in_png_can_be_seen() -> None:
    pytest.importorskip("av")
    values = np.zeros((40, 60, 3), ">u2")
    values[10:30, 10:30] = (3000, 100, 100)
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 60, 40, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )
    data = b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
    payload = load_image(data)
    assert payload.picture().getpixel((20, 20))[0] == 255
    assert payload.picture().getpixel((2, 2)) == (0, 0, 0)


def test_what_is_no_number_is_black_and_a_far_value_does_not_hide_the_rest() -> None:
    values = circles(0, 1, "float32")
    values[0, 0], values[0, 1] = np.nan, np.inf
    assert gray(load_image(tiff(values)))[50, 100] == 255
    values = circles(800, 3000)
    values[0, 0] = 65535
    payload = load_image(tiff(values))
    assert gray(payload)[50, 100] > 250
    assert named("toned_outliers", payload.notes)


def test_a_window_that_the_file_names_is_used() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("WindowCenter", "1000")
    info.add_text("WindowWidth", "400")
    ramp = np.linspace(0, 4000, 401).astype(np.uint16)[None, :].repeat(20, 0)
    for data in (
        encoded("PNG", Image.fromarray(ramp), pnginfo=info),
        tiff(ramp, description="Window Center: 1000; Window Width: 400"),
        tiff(ramp, extratags=[(340, 3, 1, 800, True), (341, 3, 1, 1200, True)]),
    ):
        payload = load_image(data)
        assert "images.toned_window?low=800&high=1200" in payload.notes
        assert [gray(payload)[0, at] for at in (80, 120)] == [0, 255]
        assert 126 <= gray(payload)[0, 100] <= 129


@pytest.mark.parametrize(
    ("tones", "note", "at"),
    [
        ("range", "toned_range?low=0&high=4000", 255),
        ("full", "toned_full?low=0&high=65535", 16),
        ("0:8000", "toned_chosen?low=0&high=8000", 128),
    ],
)
def test_how_tones_are_scaled_can_be_chosen(tones: str, note: str, at: int) -> None:
    ramp = np.linspace(0, 4000, 401).astype(np.uint16)[None, :].repeat(20, 0)
    payload = load_image(tiff(ramp), treatment=Treatment(tones=tones))
    assert f"images.{note}" in payload.notes
    assert gray(payload)[0, 400] == at


def test_what_cannot_be_read_right_is_refused_with_the_reason() -> None:
    with pytest.raises(InputError) as told:
        load_image(tiff(np.zeros((10, 10), np.complex64)), name="field.tif")
    assert told.value.code == "image_kind_unsupported" and "field.tif" in told.value.message()


def test_a_stored_picture_of_sixteen_bits_is_shown_as_an_engine_saw_it() -> None:
    data = encoded("PNG", Image.fromarray(circles(40, 3000)))
    stored = ImagePayload(data, "image/png", 200, 100)
    for side in (50, 256):
        small = Image.open(io.BytesIO(stored.thumbnail(side)))
        assert small.getpixel((small.width // 2, small.height // 2)) == (255, 255, 255)


# --- colours ----------------------------------------------------------------------------------------------------------


def wide_gamut() -> bytes:
    """A profile whose red is greener than that of sRGB: sRGB's own, with two primaries exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = {}
    for at in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12):
        places[bytes(profile[at : at + 4])] = at + 4
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    profile[red : red + 8], profile[green : green + 8] = profile[green : green + 8], profile[red : red + 8]
    return bytes(profile)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_other_colours_than_srgb_are_converted_and_shown_as_sent(kind: str) -> None:
    given = Image.new("RGB", (64, 64), (255, 0, 0))
    payload = load_image(
        encoded(kind, given, icc_profile=wide_gamut(), **({"lossless": True} if kind == "WEBP" else {}))
    )
    red, green, _ = payload.picture().convert("RGB").getpixel((9, 9))
    assert green > 240 and red < 20, "what the profile calls red is green"
    assert named("srgb", payload.notes)
    assert not payload.picture().info.get("icc_profile")
    shown = Image.open(io.BytesIO(payload.thumbnail(64)))
    assert not shown.info.get("icc_profile")
    assert all(abs(a - b) < 3 for a, b in zip(shown.getpixel((9, 9)), (red, green, 0), strict=True))


def test_a_picture_that_says_it_is_srgb_goes_out_as_it_is() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in ("JPEG", "PNG"):
        data = encoded(kind, Image.new("RGB", (64, 64), "red"), icc_profile=profile)
        assert (load_image(data).data, load_image(data).notes) == (data, ())


def test_a_profile_that_cannot_be_read_changes_nothing() -> None:
    data = encoded("PNG", Image.new("RGB", (64, 64), "red"), icc_profile=b"no profile at all" * 20)
    assert load_image(data).data == data


def logo(colour: str, mode: str = "RGBA") -> Image.Image:
    drawn = Image.new("RGBA", (120, 60), (0, 0, 0, 0))
    ImageDraw.Draw(drawn).text((10, 20), "VQA x² = 4", fill=colour)
    ImageDraw.Draw(drawn).ellipse((80, 10, 110, 40), outline=colour, width=3)
    return drawn if mode == "RGBA" else drawn.convert(mode)


@pytest.mark.parametrize(("colour", "behind"), [("white", "black"), ("black", "white"), ("red", "white")])
def test_what_is_drawn_on_nothing_can_be_seen(colour: str, behind: str) -> None:
    for data in (
        encoded("PNG", logo(colour)),
        encoded("WEBP", logo(colour), lossless=True),
        encoded("TIFF", logo(colour)),
    ):
        payload = load_image(data)
        assert named(f"on_{behind}", payload.notes)
        assert payload.picture().mode == "RGB"
        seen = gray(payload)
        assert seen.max() - seen.min() > 100
        assert payload.picture().getpixel((1, 1)) == ((0,) * 3 if behind == "black" else (255,) * 3)


def test_black_and_white_on_nothing_are_put_onto_gray() -> None:
    both = logo("white")
    ImageDraw.Draw(both).rectangle((2, 2, 60, 12), outline="black", width=2)
    assert named("on_gray", load_image(encoded("PNG", both)).notes)


def test_the_background_can_be_chosen() -> None:
    data = encoded("PNG", logo("white"))
    for chosen, colour in (("white", (255, 255, 255)), ("#102030", (16, 32, 48))):
        payload = load_image(data, treatment=Treatment(background=chosen))
        assert payload.picture().getpixel((1, 1)) == colour
    with pytest.raises(InputError, match="background"):
        load_image(data, treatment=Treatment(background="sky"))


def test_a_colour_that_stands_for_nothing_is_handled_alike_at_every_size() -> None:
    for width in (60, 9000):
        drawn = Image.new("RGB", (width, 40), (255, 0, 255))
        drawn.paste((0, 0, 0), (10, 10, 20, 20))
        payload = load_image(encoded("PNG", drawn, transparency=(255, 0, 255)))
        assert payload.picture().convert("RGB").getpixel((payload.width - 1, 1)) == (255, 255, 255)
        assert named("on_white", payload.notes)


def test_a_picture_with_an_opaque_fourth_channel_goes_out_as_it_is() -> None:
    data = encoded("PNG", Image.new("RGBA", (60, 40), (10, 20, 30, 255)))
    assert load_image(data).data == data


# --- sizes and shapes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "P"])
def test_thin_lines_survive_scaling(mode: str) -> None:
    page = Image.new("L", (1200, 1800), 255)
    for row in range(10, 1800, 26):
        page.paste(0, (0, row, 1200, row + 1))
    payload = load_image(encoded("PNG", page.convert(mode)), ImageLimits(max_side=1050))
    column = gray(payload)[:, 100]
    dark = column < 240
    lines = int(np.count_nonzero(dark[1:] & ~dark[:-1]))
    assert lines == 69


def test_a_very_long_picture_is_warned_about_and_can_be_cut_into_tiles() -> None:
    long = Image.new("RGB", (69, 1542), "white")
    long.paste("red", (0, 1500, 69, 1542))
    data, limits = encoded("PNG", long), ImageLimits(max_side=410)
    (whole,) = load_tiles(data, limits)
    assert (whole.width, whole.height) == (18, 410)
    assert "images.extreme?ratio=22&short=18&given=69" in whole.notes
    tiles = load_tiles(data, limits, treatment=Treatment(shape="tiles"), name="page.png")
    assert len(tiles) == 6 and {tile.width for tile in tiles} == {69}
    assert [tile.given_name for tile in tiles][:2] == ["page 1.png", "page 2.png"]
    assert "images.tile?n=6&total=6" in tiles[-1].notes
    assert tiles[-1].picture().getpixel((30, tiles[-1].height - 5)) == (255, 0, 0)
    assert sum(tile.height for tile in tiles) >= 1542
    assert len(load_tiles(data, limits, treatment=Treatment(shape="tiles"), at_most=3)) == 3


def test_an_ordinary_picture_has_no_tiles() -> None:
    data = encoded("JPEG", Image.new("RGB", (800, 300)))
    (only,) = load_tiles(data, treatment=Treatment(shape="tiles"))
    assert only.data == data


@pytest.mark.parametrize(
    ("size", "scale"),
    [((8160, 6144), 1), ((8192, 6144), 2), ((12000, 9000), 2), ((16320, 12240), 2), ((16384, 12288), 4)],
)
def test_sensors_of_up_to_two_hundred_megapixels_are_within_the_limits(size: tuple[int, int], scale: int) -> None:
    limits = ImageLimits()
    assert scale_for(*size, limits.max_side, limits.max_pixels) == scale
    assert size[0] * size[1] // scale**2 <= limits.max_pixels
    assert size[0] * size[1] <= limits.max_pixels * 4


def test_a_jpeg_may_have_four_times_the_pixels_for_it_is_reduced_while_it_is_decoded() -> None:
    limits = ImageLimits(max_pixels=100_000, max_side=512)
    payload = load_image(encoded("JPEG", Image.new("L", (800, 500), 90)), limits)
    assert (payload.width, payload.height, payload.given_width) == (512, 320, 800)
    for kind, size in (("JPEG", (900, 500)), ("PNG", (400, 300))):
        with pytest.raises(InputError) as told:
            load_image(encoded(kind, Image.new("L", size)), limits)
        assert told.value.code == "image_too_many_pixels"


# --- formats, and files that are a little wrong -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG2000", "TGA", "QOI", "AVIF", "HEIF", "PPM", "ICO"])
def test_other_formats_are_taken(kind: str, tmp_path: Path) -> None:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    drawn = Image.new("RGB", (64, 64), (200, 30, 30))
    path = tmp_path / ("shot.tga" if kind == "TGA" else "shot.bin")
    path.write_bytes(encoded(kind, drawn))
    payload = load_image(path)
    assert (payload.mime, payload.notes[0], payload.width) == ("image/png", "images.converted", 64)
    seen = payload.picture().convert("RGB").getpixel((30, 30))
    assert all(abs(a - b) < 12 for a, b in zip(seen, (200, 30, 30), strict=True))


def test_words_are_no_tga_by_chance() -> None:
    with pytest.raises(InputError) as told:
        load_image(b"\x00" * 2 + b"\x02" + b"\x00" * 9 + b"\x10\x00\x10\x00\x18\x00" + b"words" * 300, name="words.txt")
    assert told.value.code == "image_not_a_picture"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end_marker_is_whole_when_its_pixels_are(progressive: bool) -> None:
    given = encoded("JPEG", Image.radial_gradient("L").convert("RGB"), quality=90, progressive=progressive)
    for cut in (1, 2):
        payload = load_image(given[:-cut])
        assert payload.notes == ("images.end_added",)
        assert payload.picture().tobytes() == Image.open(io.BytesIO(given)).tobytes()
    with pytest.raises(InputError) as told:
        load_image(given[:-200])
    assert told.value.code == "image_damaged"


@pytest.mark.parametrize("cut", [4, 12, 13])
def test_a_png_without_its_last_chunk_is_whole_when_its_pixels_are(cut: int) -> None:
    given = encoded("PNG", Image.radial_gradient("L").convert("RGB"))
    payload = load_image(given[:-cut])
    assert payload.notes == ("images.end_added",)
    assert payload.picture().tobytes() == Image.open(io.BytesIO(given)).tobytes()


def test_a_png_with_huge_texts_is_sent_without_them() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("workflow", "a step of many\n" * 200_000, zip=True)
    given = Image.radial_gradient("L").convert("RGB")
    payload = load_image(encoded("PNG", given, pnginfo=info))
    assert payload.notes == ("images.texts_dropped",)
    assert payload.picture().tobytes() == given.tobytes()


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    pages = [Image.new("RGB", (40, 60), colour) for colour in ("red", "green", "blue")]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    return tmp_path / "scan.tif"


def test_pages_of_a_tiff_are_pages(scan: Path) -> None:
    found = load_file(scan, ImageLimits())
    assert [page.given_name for page in found] == ["scan-1.png", "scan-2.png", "scan-3.png"]
    assert found[1].picture().getpixel((3, 3)) == (0, 128, 0)
    assert found[1].notes == ("images.converted", "images.page?page=2&pages=3")
    assert load_image(scan).notes == ("images.converted", "images.page?page=1&pages=3")


def test_pages_can_be_chosen(scan: Path, tmp_path: Path) -> None:
    Image.new("RGB", (72, 72)).save(
        tmp_path / "doc.pdf", "PDF", save_all=True, append_images=[Image.new("RGB", (72, 72), "red")] * 4
    )
    for path, wanted, names in (
        (scan, "3,1", ["scan-3.png", "scan-1.png"]),
        (tmp_path / "doc.pdf", "2-3", ["doc-2.png", "doc-3.png"]),
    ):
        found = load_pictures([path], ImageLimits(), treatment=Treatment(pages=wanted))
        assert [page.given_name for page in found] == names
        with pytest.raises(InputError) as told:
            load_file(path, ImageLimits(), treatment=Treatment(pages="9"))
        assert told.value.code == "pages_missing"


def test_pages_of_more_than_eight_bits_are_scaled_each_by_itself(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "stack.tif") as file:
        for top in (500, 4000):
            file.write(circles(0, top), photometric="minisblack")
    found = load_file(tmp_path / "stack.tif", ImageLimits())
    assert [gray(page)[50, 100] for page in found] == [255, 255]


def test_words_for_pages() -> None:
    assert page_places(" 1, 3-5,4 ") == [0, 2, 3, 4]
    assert page_places("") == []
    for wrong in ("0", "5-3", "one", "1;2"):
        with pytest.raises(InputError):
            page_places(wrong)
