"""The set-up that `make` does, with a project of its own that needs nothing: what is done when, and what is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that needs nothing, so that nothing is fetched."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup.py", folder / "scripts")
    needs(folder, "[]")
    for name in ("requirements.txt", "requirements-cpu.txt", "requirements-dev.txt"):
        (folder / name).write_text("# nothing\n")
    return folder


def needs(folder: Path, dependencies: str) -> None:
    text = f'[project]\nname = "nothing"\ndependencies = {dependencies}\n[project.optional-dependencies]\n'
    (folder / "pyproject.toml").write_text(text)


def set_up(project: Path, goal: str = "run", device: str = "gpu") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/setup.py", goal], cwd=project, env=os.environ | {"DEVICE": device},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def test_it_installs_once_and_again_what_changed(project: Path) -> None:
    first = set_up(project)
    assert first.returncode == 0, first.stderr
    assert "Creating .venv" in first.stdout
    assert "Installing requirements.txt: vLLM for NVIDIA GPUs" in first.stdout
    again = set_up(project).stdout
    assert "Nothing to install: requirements.txt unchanged" in again
    assert "Creating" not in again
    more = set_up(project, "lint").stdout
    assert "Installing requirements-dev.txt …" in more
    needs(project, '["something-else"]')
    changed = set_up(project).stdout
    assert "Installing requirements.txt" in changed


def test_a_failing_step_says_what_to_do_and_is_done_again_next_time(project: Path) -> None:
    wanted = project / "requirements.txt"
    before = wanted.read_text()
    wanted.write_text("no-such-package @ file:///no/such/folder\n")
    try:
        for _ in range(2):
            failed = set_up(project)
            assert failed.returncode == 1
            assert "pip could not install requirements.txt. Check network and free disk." in failed.stderr
            assert "/no/such/folder" in failed.stderr
    finally:
        wanted.write_text(before)


def test_an_unknown_device_is_refused(project: Path) -> None:
    refused = set_up(project, device="tpu")
    assert refused.returncode == 1
    assert "DEVICE is cpu or gpu, not 'tpu'" in refused.stderr
