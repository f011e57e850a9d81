"""torchvision in the engine's Python: which kind is there, and its plain part where the compiled one does not load.

The packages here are small stand-ins that fail as the real ones do; tests/models runs the real ones.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from vqa.engine.torchvision import HOOK, PTH, Kind, kind_of, mend

TORCH = """
class ops:
    @staticmethod
    def load_library(path):
        if {fits}:
            library.known.update({{"torchvision::nms", "torchvision::qnms"}})
        else:
            raise OSError("Could not load this library: " + path)

class library:
    known = set()
    class Library:
        def __init__(self, name, kind):
            self.name = name
        def define(self, schema):
            library.known.add(self.name + "::" + schema.partition("(")[0])
"""
TORCHVISION = """
import torch
for name in ({needs}):
    if "torchvision::" + name not in torch.library.known:
        raise RuntimeError("operator torchvision::" + name + " does not exist")
class extension:
    @staticmethod
    def _has_ops():
        return {fits}
"""
IN_A_CHILD = """
import multiprocessing
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    child = multiprocessing.Process(target=__import__, args=("torchvision",))
    child.start()
    child.join()
    print(child.exitcode)
"""


def answer(python: Path, program: str) -> str:
    return subprocess.run([python, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python of its own, with no packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    return tmp_path / "env" / "bin" / "python"


def packages(python: Path) -> Path:
    return next((python.parent.parent / "lib").glob("python*/site-packages"))


def install(python: Path, *, fits: bool, needs: str = "'nms', 'qnms'") -> None:
    site = packages(python)
    (site / "torch.py").write_text(textwrap.dedent(TORCH.format(fits=fits)))
    (site / "torchvision" / "transforms" / "v2").mkdir(parents=True)
    (site / "torchvision" / "_C.abi3.so").touch()
    for name in ("transforms/__init__.py", "transforms/v2/__init__.py", "transforms/v2/functional.py"):
        (site / "torchvision" / name).touch()
    (site / "torchvision" / "__init__.py").write_text(TORCHVISION.format(fits=fits, needs=needs + ","))


def test_none_is_missing_and_stays_so(python: Path) -> None:
    assert mend(python) is Kind.MISSING
    assert not (packages(python) / PTH).exists()


def test_one_built_for_another_torch_imports_in_every_process_after_it_was_mended(python: Path) -> None:
    install(python, fits=False)
    assert kind_of(python) is Kind.BROKEN
    assert mend(python) is Kind.PLAIN
    assert answer(python, IN_A_CHILD) == "0"
    assert mend(python) is Kind.PLAIN


def test_looking_for_it_imports_nothing(python: Path) -> None:
    install(python, fits=False)
    mend(python)
    looking = "import importlib.util as u, sys; print(u.find_spec('torchvision') is not None, 'torch' in sys.modules)"
    assert answer(python, looking) == "True False"


def test_one_that_is_whole_is_left_as_it_is(python: Path) -> None:
    install(python, fits=True)
    (packages(python) / "torchvision" / "__init__.py").write_text(
        TORCHVISION.format(fits=True, needs="").replace("import torch\n", "")
    )
    assert mend(python) is Kind.WHOLE
    assert not (packages(python) / HOOK).exists()


def test_a_fitting_one_that_comes_later_is_whole_in_spite_of_the_hook(python: Path) -> None:
    install(python, fits=False)
    mend(python)
    site = packages(python)
    (site / "torch.py").write_text(TORCH.format(fits=True))
    (site / "torchvision" / "__init__.py").write_text(TORCHVISION.format(fits=True, needs="'nms', 'qnms'"))
    assert kind_of(python) is Kind.WHOLE


def test_one_that_the_hook_does_not_help_is_broken_and_the_hook_goes_again(python: Path) -> None:
    install(python, fits=False, needs="'nms', 'roi_align'")
    assert mend(python) is Kind.BROKEN
    assert not list(packages(python).glob("vqa_*"))


def test_a_python_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        kind_of(tmp_path / "absent")
