"""The project as a package: a wheel, built and used in an environment of its own; and what may conflict."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from tests.conftest import ROOT, base_environment
from tests.fakes.openai_server import FakeServer
from vqa import __version__

MOST_MIB = 720
"""Of .venv after `make run`, without what Python compiles: 701 in December 2026. pyarrow takes 165 of them, FFmpeg 102,
gradio with pandas and numpy 181."""
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
    install = ["install", "--quiet", "--no-compile", "--no-deps", "--disable-pip-version-check"]
    done = run(*pip(folder / "env"), *install, wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    (packages,) = (folder / "env").glob("lib/python*/site-packages")
    (own,) = distributions(name="vqa-lab", path=[str(packages)])
    # That pip finds and unpacks all of it is seen by `make test` itself; it took half a minute to do so once more here.
    for each in installed_for(own.requires or []).values():
        link(each, packages)
    checked = run(*pip(folder / "env"), "check", cwd=folder)
    assert checked.returncode == 0, checked.stdout
    return folder / "env"


def link(installed: Distribution, packages: Path) -> None:
    """Makes a distribution that is installed here one of another environment, too."""
    for top in {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}:
        place = packages / top
        if not place.is_symlink():
            place.symlink_to(Path(str(installed.locate_file(top))))


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


def test_an_editable_installation_holds_no_second_copy_of_the_assets(tmp_path: Path) -> None:
    program = "import sys; from hatchling.build import build_editable; print(build_editable(sys.argv[1]))"
    done = run(sys.executable, "-c", program, tmp_path, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    with ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        names = wheel.namelist()
        (pointer,) = (wheel.read(name).decode() for name in names if name.endswith(".pth"))
    assert pointer.strip() == str(ROOT)
    assert not [name for name in names if name.startswith("vqa/")]


def test_what_make_run_installs_stays_small() -> None:
    """Summed over what is installed of it here, without the tools of the tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    there = installed_for([*project["dependencies"], *project["optional-dependencies"]["page"], "pip"])
    found = {name: on_disk(each) for name, each in there.items()}
    assert {"gradio", "openai", "pyarrow"} <= found.keys()
    assert not {"scipy", "pytest", "playwright", "mypy", "torch"} & found.keys()
    largest = sorted(found.items(), key=lambda each: -each[1])[:8]
    assert sum(found.values()) < MOST_MIB * 2**20, [f"{name} {size / 2**20:.0f}" for name, size in largest]


def installed_for(requirements: list[str]) -> dict[str, Distribution]:
    """Returns each distribution here that is required, and those that they require in their turn."""
    found: dict[str, Distribution] = {}
    waiting, seen = [(Requirement(line), frozenset({""})) for line in requirements], set()
    while waiting:
        wanted, extras = waiting.pop()
        name = canonicalize_name(wanted.name)
        applies = not wanted.marker or any(wanted.marker.evaluate({"extra": each}) for each in extras)
        if not applies or (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        found[name] = distribution(name)
        waiting += [(Requirement(line), frozenset({"", *wanted.extras})) for line in found[name].requires or []]
    return found


def on_disk(there: Distribution) -> int:
    """Returns what a distribution's files take in blocks of the disk, as `du` counts; without what Python compiles."""
    paths = [Path(str(there.locate_file(each))) for each in there.files or () if each.suffix != ".pyc"]
    return sum(path.stat().st_blocks * 512 for path in paths if path.is_file())


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
