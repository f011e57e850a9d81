"""The first frames of a video become pictures; whatever the file holds, it ends in frames or in a sentence, in time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image

from vqa.errors import InputError
from vqa.media import video
from vqa.media.images import ImageLimits
from vqa.media.several import MAX_PICTURES, load_pictures
from vqa.media.video import is_video, video_frames

COLOURS = ("red", "green", "blue", "yellow")


def make_video(path: Path, *, seconds: float = 4, rate: int = 10, size: tuple[int, int] = (64, 48)) -> Path:
    """A video that is red, green, blue and yellow for a quarter of its length each."""
    codec = "libvpx" if path.suffix == ".webm" else "mpeg4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.time_base = Fraction(1, rate)
        count = round(seconds * rate)
        for place in range(count):
            frame = av.VideoFrame.from_image(Image.new("RGB", size, COLOURS[4 * place // count]))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def make_gif(path: Path) -> Path:
    frames = [Image.new("RGB", (40, 30), colour) for colour in COLOURS]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=250)
    return path


def colour(picture: Image.Image) -> str:
    seen = picture.convert("RGB").getpixel((picture.width // 2, picture.height // 2))
    names = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}
    return min(names, key=lambda name: sum((a - b) ** 2 for a, b in zip(names[name], seen, strict=True)))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm", ".mkv"])
def test_four_frames_are_spread_evenly(tmp_path: Path, suffix: str) -> None:
    found = video_frames(make_video(tmp_path / f"clip{suffix}"), ImageLimits())
    assert [colour(each.picture()) for each in found] == list(COLOURS)
    assert [each.given_name for each in found] == [f"clip {place}.00 s.png" for place in range(4)]
    assert {(each.mime, each.width, each.height) for each in found} == {("image/png", 64, 48)}


def test_an_animated_gif_is_one_and_a_still_gif_is_a_picture(tmp_path: Path) -> None:
    moving, still = make_gif(tmp_path / "moving.gif"), tmp_path / "still.gif"
    Image.new("RGB", (8, 8)).save(still)
    assert is_video(moving)
    assert not is_video(still)
    assert [colour(each.picture()) for each in video_frames(moving, ImageLimits())] == list(COLOURS)


def test_of_a_long_video_only_the_first_seconds_are_read(tmp_path: Path) -> None:
    path = make_video(tmp_path / "long.mp4", seconds=40)
    found = video_frames(path, ImageLimits(), at_most=2)
    assert [colour(each.picture()) for each in found] == ["red", "red"]
    assert [each.given_name for each in found] == ["long 0.00 s.png", "long 5.00 s.png"]


def test_a_video_of_fewer_frames_gives_what_it_has(tmp_path: Path) -> None:
    path = make_video(tmp_path / "short.mp4", seconds=0.4)
    assert len(video_frames(path, ImageLimits(), at_most=16)) == 4


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("words.mp4", b"only words, no video at all", "video_unknown"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "video_unknown"),
        ("nothing.webm", b"", "video_unknown"),
        ("cut.mp4", b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", "video_damaged"),
        ("cut.webm", b"\x1aE\xdf\xa3" + b"\xff" * 400, "video_damaged"),
    ],
)
def test_what_is_no_video_is_told(tmp_path: Path, name: str, data: bytes, code: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError) as told:
        video_frames(path, ImageLimits())
    assert told.value.code == code


def test_a_video_cut_in_the_middle_gives_frames_or_a_sentence(tmp_path: Path) -> None:
    path = make_video(tmp_path / "cut.mkv")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 1 <= len(video_frames(path, ImageLimits())) <= 4


def test_bytes_and_pixels_are_limited(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4")
    for limits, code in (
        (ImageLimits(max_bytes=1000), "video_too_large"),
        (ImageLimits(max_pixels=1000), "video_too_many_pixels"),
    ):
        with pytest.raises(InputError) as told:
            video_frames(path, limits)
        assert told.value.code == code


def test_decoding_is_ended_when_its_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "long.mp4", seconds=2)
    monkeypatch.setattr(video, "SECONDS", 0.01)
    with pytest.raises(InputError) as told:
        video_frames(path, ImageLimits())
    assert told.value.code == "video_slow"


def test_frames_and_pictures_of_one_question_are_counted_together(tmp_path: Path) -> None:
    paths = [str(make_video(tmp_path / f"{n}.mp4", seconds=1)) for n in range(4)]
    assert len(load_pictures(paths, ImageLimits())) == MAX_PICTURES
    with pytest.raises(InputError) as told:
        load_pictures([*paths, paths[0]], ImageLimits())
    assert told.value.code == "too_many_pictures"
