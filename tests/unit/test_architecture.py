"""Imports point one way, gradio stays in its room, and what is slow to import is not imported at start."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RANKS = {
    "text": 0,
    "__init__": 0,
    "errors": 1,
    "settings": 2,
    "images": 3,
    "answers": 4,
    "fetch": 4,
    "store": 5,
    "stream": 5,
    "client": 6,
    "engine": 7,
    "models": 8,
    "lab": 9,
    "evaluate": 10,
    "ui": 11,
    "cli": 12,
    "__main__": 13,
}
"""A module may import rooms of lower rank, and its own."""
HEAVY = ("torch", "transformers", "vllm", "modelscope", "scipy", "plotly")


def room(path: Path) -> str:
    return path.relative_to(ROOT / "vqa").parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """All modules that a file imports anywhere, also within functions, but not for type checkers only."""
    found: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names if node.module == "vqa")
    return found


def test_imports_point_one_way() -> None:
    wrong = []
    files = list((ROOT / "vqa").rglob("*.py"))
    assert len(files) > 20
    for path in files:
        own = room(path)
        for name in imports(path):
            parts = name.split(".")
            if parts[0] != "vqa" or len(parts) < 2 or parts[1].startswith("__"):
                continue
            if parts[1] != own and RANKS[parts[1]] >= RANKS[own]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_only_the_page_knows_gradio() -> None:
    knowing = {
        room(path) for path in (ROOT / "vqa").rglob("*.py") if any(n.split(".")[0] == "gradio" for n in imports(path))
    }
    assert knowing == {"ui"}


def test_nothing_heavy_is_imported_at_start() -> None:
    program = f"import sys, vqa.ui.page; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(path) for path in (ROOT / "vqa").rglob("*.py") if not ast.get_docstring(ast.parse(path.read_text()))]
    assert [path for path in silent if not path.endswith("__init__.py")] == []
