"""Whatever a user types or sets is answered by a sentence: no command ends in a traceback, and none in 'unforeseen'."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.openai_server import FakeServer
from vqa.answers import Sampling
from vqa.cli import doctor, main
from vqa.errors import InputError
from vqa.lab.plan.arms import RunSpec
from vqa.settings import Settings
from vqa.text import t

ODD = (
    "",
    "-1",
    "nonsense",
    "99999999999999999999",
    "/dev/null/x",
    "socks5://nowhere.invalid:1",
    "\u4f60\u597d",
    "[::1",
    "%s{}",
)
UNFORESEEN = t("errors.unforeseen", "en", kind="|", reason="").partition("|")[0]


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # odd folders are made there
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.delenv("VQA_TRACEBACK", raising=False)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_may_be_anything(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in ODD:
        monkeypatch.setenv(f"VQA_{name.upper()}", value)
        assert main(["runs"]) in {0, 1, 2}, value
        assert UNFORESEEN not in capsys.readouterr().err, value


@pytest.mark.parametrize("host", ["192.0.2.7", "nowhere.invalid", "[::1", "a b", "\u4f60\u597d", "x" * 300])
def test_the_doctor_says_that_a_host_cannot_be_listened_on(host: str) -> None:
    found = doctor._port("doctor.page_port", host, 7860)
    assert (found.level, host in found.found) == ("problem", True)


@pytest.mark.parametrize(
    "words",
    [
        ["ask", "PICTURE", "What?", "--seed", "-1"],
        ["repeat", "PICTURE", "What?", "--seed", "-1"],
        ["ask", "PICTURE", "What?", "--base-url", "http://[::1"],
        ["ask", "PICTURE", "What?", "--base-url", "ftp://x"],
        ["ask", "PICTURE", "What?", "--base-url", "http://nowhere.invalid/v1"],
        ["repeat", "PICTURE", "What?", "-n", "0", "--base-url", "http://127.0.0.1:9/v1"],
        ["repeat", "FOLDER", "What?", "--base-url", "http://127.0.0.1:9/v1"],
        ["report", "FOLDER", "--html", "x.html"],
        ["report", "PICTURE", "--html", "x.html"],
        ["report", "nothing", "--html", "/dev/null/x.html"],
        ["evaluate", "FOLDER", "--base-url", "http://127.0.0.1:9/v1"],
        ["evaluate", "PICTURE", "--base-url", "http://127.0.0.1:9/v1"],
    ],
)
def test_every_command_takes_anything(
    words: list[str], red_circle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"PICTURE": str(red_circle), "FOLDER": str(tmp_path)}
    assert main([places.get(word, word) for word in words]) in {1, 2}
    told = capsys.readouterr()
    assert told.err + told.out
    assert UNFORESEEN not in told.err


@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"])
def test_a_socks_proxy_in_the_environment_is_told_and_does_not_touch_what_is_local(
    name: str, red_circle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "socks5h://127.0.0.1:1")
    kind = "https" if name == "HTTPS_PROXY" else "http"
    assert main(["ask", str(red_circle), "What?", "--base-url", f"{kind}://models.example/v1"]) == 2
    assert name in capsys.readouterr().err
    with FakeServer() as server:
        assert main(["ask", str(red_circle), "What?", "--base-url", server.base_url]) == 0


def test_what_nobody_foresaw_is_a_sentence_and_shown_in_full_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise RuntimeError("the moon is full")

    monkeypatch.setattr("vqa.cli.build_app", broken)
    assert main(["runs"]) == 2
    assert "the moon is full" in (told := capsys.readouterr().err)
    assert "Traceback" not in told
    monkeypatch.setenv("VQA_TRACEBACK", "1")
    with pytest.raises(RuntimeError):
        main(["runs"])


def test_a_temperature_that_vllm_raises_is_told(red_circle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer() as server:
        for temperature, told in (("0.005", True), ("0", False), ("0.01", False)):
            main(["ask", str(red_circle), "What?", "--temperature", temperature, "--base-url", server.base_url])
            assert ("0.01" in capsys.readouterr().err) is told


@pytest.mark.parametrize("command", ["evaluate", "repeat"])
def test_it_is_told_before_a_run_as_well(
    command: str, red_circle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"image": str(red_circle), "question": "What?", "answer": "x"}), encoding="utf-8")
    asked = [str(rows)] if command == "evaluate" else [str(red_circle), "What?", "-n", "2"]
    with FakeServer() as server:
        main([command, *asked, "--temperature", "0.005", "--base-url", server.base_url])
    assert "raises a temperature between 0 and 0.01" in capsys.readouterr().err


def test_a_negative_seed_is_refused_by_the_library_too() -> None:
    with pytest.raises(InputError) as refused:
        RunSpec(("What?",), sampling=Sampling(seed=-1)).check()
    assert refused.value.values["name"] == "seed"
