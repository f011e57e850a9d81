"""What `ask` and `repeat` do with pictures as people have them, and what they say of it; the server is a stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fakes.openai_server import FakeServer
from vqa.cli import main


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as started:
        yield started


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    pages = [Image.new("RGB", (40, 60), colour) for colour in ("red", "green", "blue")]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    return tmp_path / "scan.tif"


def pictures(server: FakeServer) -> list[str]:
    content = server.bodies[-1]["messages"][-1]["content"]
    return [part["image_url"]["url"] for part in content if part["type"] == "image_url"]


def test_what_was_done_to_a_picture_is_said_and_stands_in_the_json(
    server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ramp = np.linspace(800, 3000, 400).astype(np.uint16)[None, :].repeat(30, 0)
    Image.fromarray(ramp).save(tmp_path / "xray.png")
    assert main(["ask", str(tmp_path / "xray.png"), "What?", "--base-url", server.base_url, "--json"]) == 0
    told = capsys.readouterr()
    assert "xray.png: scaled to 8 bits by its own range, 800 to 3000" in told.err
    (picture,) = json.loads(told.out)["pictures"]
    assert picture["notes"] == ["images.toned_range?low=800&high=3000"]
    assert (picture["given_width"], picture["width"], picture["mime"]) == (400, 400, "image/png")
    assert main(["ask", str(tmp_path / "xray.png"), "What?", "--base-url", server.base_url, "--tones", "0:4000"]) == 0
    assert "0 is black, 4000 is white" in capsys.readouterr().err


def test_a_plain_picture_needs_no_words(
    server: FakeServer, red_circle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", str(red_circle), "What?", "--base-url", server.base_url]) == 0
    assert capsys.readouterr().err == ""


def test_pages_of_a_document_are_asked_about_together_or_as_chosen(
    server: FakeServer, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", str(scan), "What?", "--base-url", server.base_url]) == 0
    assert len(pictures(server)) == 3
    assert "scan-2.png: converted to PNG · page 2 of 3" in capsys.readouterr().err
    pdf = scan.with_suffix(".pdf")
    Image.open(scan).convert("RGB").save(pdf, "PDF")
    assert main(["ask", str(pdf), str(scan), "What?", "--pages", "1", "--base-url", server.base_url]) == 0
    assert len(pictures(server)) == 2
    assert main(["ask", str(scan), "What?", "--pages", "7", "--base-url", server.base_url]) == 2
    assert "3 page(s)" in capsys.readouterr().err


def test_repeat_says_what_was_done_and_takes_the_same_choices(
    server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logo = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    logo.paste((255, 255, 255, 255), (20, 10, 40, 30))
    logo.save(tmp_path / "logo.png")
    base = ["repeat", str(tmp_path / "logo.png"), "What?", "-n", "2", "--base-url", server.base_url, "--json", "-"]
    main(base)
    told = capsys.readouterr()
    assert "logo.png: transparent parts put onto black" in told.err
    assert json.loads(told.out)["images"][0]["notes"] == ["images.on_black"]
    main([*base, "--background", "#00ff00"])
    assert "put onto #00ff00" in capsys.readouterr().err


def test_a_very_long_picture_is_sent_in_tiles(
    server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (60, 9000), "red").save(tmp_path / "long.png")
    asked = ["ask", str(tmp_path / "long.png"), "What?", "--base-url", server.base_url]
    assert main(asked) == 0
    assert "150 times as long as wide: of 60 pixels across, 27 are left" in capsys.readouterr().err
    assert main([*asked, "--tiles"]) == 0
    assert len(pictures(server)) == 16
    assert "tile 16 of 16" in capsys.readouterr().err


def test_an_answer_that_is_cut_off_says_so(red_circle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer(length=2) as server:
        assert main(["ask", str(red_circle), "What?", "--base-url", server.base_url]) == 0
    assert "cut off at max_tokens" in capsys.readouterr().err


def test_a_shape_that_the_models_family_refuses_is_said_before_it_is_sent(
    server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (4000, 10), "red").save(tmp_path / "line.png")
    asked = ["ask", str(tmp_path / "line.png"), "What?", "--base-url", server.base_url, "--model"]
    assert main([*asked, "Qwen/Qwen2.5-VL-3B-Instruct"]) == 2
    assert "400 times as long as wide" in capsys.readouterr().err
    assert not server.bodies
    assert main([*asked, "OpenGVLab/InternVL2_5-1B"]) == 0
