"""The project as a package: a wheel, built and used in an environment of its own; and what may conflict."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT, base_environment
from tests.fakes.openai_server import FakeServer
from vqa import __version__

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run(*command: str | Path, cwd: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    environment = base_environment(language="en", **settings)
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600,
        check=False,
    )  # fmt: skip


def pip(environment: Path) -> list[str | Path]:
    """The pip of these tests, for another environment: one of its own would have to be unpacked first."""
    return [sys.executable, "-m", "pip", "--python", environment / "bin" / "python"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment with the wheel and what it asks for, and with nothing else."""
    folder = tmp_path_factory.mktemp("package")
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("vqa_lab-*.whl")
    assert wheel.name.startswith(f"vqa_lab-{__version__}-")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    install = ["install", "--quiet", "--no-compile", "--disable-pip-version-check"]
    done = run(*pip(folder / "env"), *install, "--constraint", ROOT / "constraints.txt", wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "env"


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "red.png"
    Image.new("RGB", (64, 64), "red").save(path)
    return path


def test_the_command_tells_its_version_and_its_help(installed: Path, tmp_path: Path) -> None:
    told = run(installed / "bin" / "vqa", "--version", cwd=tmp_path)
    assert told.stdout == f"vqa-lab {__version__}\n", told.stderr
    assert "Usage: vqa " in run(installed / "bin" / "vqa", "--help", cwd=tmp_path).stdout


def test_a_server_is_asked(installed: Path, picture: Path, tmp_path: Path) -> None:
    with FakeServer() as server:
        asked = run(
            installed / "bin" / "vqa", "ask", picture, "What is this?", "--base-url", server.base_url,
            cwd=tmp_path, data_dir=tmp_path / "data",
        )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip()


def test_a_recorded_run_gives_its_report(installed: Path, tmp_path: Path) -> None:
    page = tmp_path / "h200.html"
    done = run(
        installed / "bin" / "vqa", "report", "h200-repeat", "--html", page, cwd=tmp_path, data_dir=tmp_path / "data"
    )
    assert done.returncode == 0, done.stderr
    assert page.read_text(encoding="utf-8").lstrip().startswith("<!")


def test_the_lab_is_a_library_and_the_demo_model_is_there(installed: Path, picture: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from vqa.lab import repeat; from vqa.settings import ASSETS, DEMO_MODEL\n"
        "found = repeat(sys.argv[1], 'What is this?', n=3, base_url=sys.argv[2])\n"
        "print(found.sentence()); print(found.holds('text'))\n"
        "assert (DEMO_MODEL / 'config.json').is_file() and 'site-packages' in str(DEMO_MODEL)\n"
        "assert (ASSETS / 'examples' / 'examples.json').is_file()\n"
    )
    with FakeServer() as server:
        done = run(installed / "bin" / "python", "-c", program, picture, server.base_url, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "True"


def test_what_the_page_needs_is_left_to_an_extra(installed: Path, tmp_path: Path) -> None:
    listed = run(*pip(installed), "list", "--format=freeze", cwd=tmp_path).stdout.lower()
    assert "openai==" in listed
    for name in ("gradio", "torch", "vllm", "pytest"):
        assert f"\n{name}==" not in listed
    told = run(installed / "bin" / "vqa", "page", cwd=tmp_path, data_dir=tmp_path / "data")
    assert (told.returncode, "PACKAGE[page]" in told.stderr) == (2, True), told.stderr


@pytest.mark.resolve
def test_page_and_engine_go_together_in_one_environment() -> None:
    """A conflict between gradio and the newest vLLM that requirements.txt lets in is seen the day it appears."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--report", "-"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("VQA_")}
    done = subprocess.run(
        [*command, "-r", "requirements.txt"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=800,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in ("gradio", "vllm", "openai", "pillow", "modelscope", "python-dotenv"):
        assert f'"name": "{name}"' in done.stdout
