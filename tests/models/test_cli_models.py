"""`python -m vqa download|models|remove` as a script sees them: output, exit status, quiet in a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub
from tests.models.conftest import ID
from vqa.settings import PROJECT


def vqa(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {f"VQA_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "vqa", *arguments]
    return subprocess.run(
        command, cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_download_list_and_remove(hub: FakeHub, tmp_path: Path) -> None:
    settings = {"data_dir": tmp_path / "data", "hub_endpoint": hub.url}
    done = vqa("download", ID, **settings)
    folder = Path(done.stdout.strip())
    assert (done.returncode, done.stderr) == (0, "")
    assert folder == tmp_path / "data" / "models" / ID

    listed = json.loads(vqa("models", "--json", **settings).stdout)
    (mine,) = [model for model in listed["local"] if model["id"] == ID]
    assert mine["state"] == "complete"
    assert {entry["fits"] for entry in listed["catalog"]} <= {"yes", "tight", "no"}
    assert ID in vqa("models", **settings).stdout

    refused = vqa("remove", ID, **settings)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    removed = vqa("remove", ID, "--yes", **settings)
    assert removed.returncode == 0
    assert "MB freed" in removed.stdout
    assert not folder.exists()


def test_a_failed_download_exits_with_1_and_says_why(hub: FakeHub, tmp_path: Path) -> None:
    hub.models.clear()
    done = vqa("download", ID, data_dir=tmp_path / "data", hub_endpoint=hub.url, language="zh")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "没有模型" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("bad", [["--", "--evil"], ["../../x"], ["a b"], [ID, "--source", "nowhere"]])
def test_bad_input_exits_with_2_and_starts_nothing(tmp_path: Path, bad: list[str]) -> None:
    done = vqa("download", *bad, data_dir=tmp_path / "data")
    assert done.returncode == 2
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data" / "models").exists()


def test_progress_as_json_lines_ends_with_the_folder(hub: FakeHub, tmp_path: Path) -> None:
    done = vqa("download", ID, "--json", "--to", str(tmp_path / "here"), hub_endpoint=hub.url)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert lines[-1] == {"state": "complete", "folder": str(tmp_path / "here")}
    assert {"listing", "downloading"} <= {line["state"] for line in lines}
