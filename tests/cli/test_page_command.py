"""`vqa page` serves what app.py serves, from any folder."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import ROOT, base_environment
from tests.fakes.openai_server import FakeServer
from tests.ports import free_port
from vqa.cli import main


def test_the_command_opens_the_page_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    with FakeServer() as server:
        environment = base_environment(
            port=free_port(), data_dir=tmp_path / "data", base_url=server.base_url, language="en"
        ) | {"PYTHONPATH": str(ROOT)}
        child = subprocess.Popen(
            [sys.executable, "-m", "vqa", "page"], cwd=tmp_path, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert child.stdout is not None
            told = child.stdout.readline()
            assert told.startswith("VQA Lab: http://127.0.0.1:")
            direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with direct.open(told.split()[-1]) as page:
                assert "VQA Lab" in page.read().decode()
            child.send_signal(signal.SIGINT)
            assert child.wait(60) == 0
        finally:
            child.kill()
            child.communicate()


def test_without_gradio_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("vqa.cli.page.find_spec", lambda name: None if name == "gradio" else found(name))
    assert main(["page"]) == 2
    assert "PACKAGE[page]" in capsys.readouterr().err
