"""Imports point one way, gradio stays in its room, and what is slow to import is not imported at start."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vqa.markup import html, joined

ROOT = Path(__file__).resolve().parents[2]
RANKS = {
    "text": 0,
    "__init__": 0,
    "errors": 1,
    "json_file": 1,
    "loopback": 1,
    "garbage": 1,
    "markup": 1,
    "memory": 1,
    "settings": 2,
    "media": 3,
    "answers": 4,
    "store": 5,
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
INSIDE = {
    "lab": {
        "stats": 0,
        "plan": 1,
        "diagnosis": 2,
        "run": 3,
        "certificate": 4,
        "horizon": 5,
        "matrix": 6,
        "verify": 7,
        "report": 8,
        "api": 9,
        "__init__": 10,
    },
    "ui": {
        "text": 0,
        "theme": 0,
        "nested": 0,
        "tour": 1,
        "web": 2,
        "services": 3,
        "examples": 3,
        "public": 4,
        "widgets": 4,
        "pictures": 5,
        "ask": 6,
        "server": 6,
        "lab": 7,
        "history": 8,
        "evaluate": 9,
        "page": 10,
        "__init__": 11,
    },
}
"""The same among the rooms of a large room."""
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
            if not (ROOT / node.module.replace(".", "/")).is_dir():
                found.add(node.module)
            if (ROOT / node.module.replace(".", "/")).is_dir():  # from a folder come modules
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def wrong_ways(top: Path, ranks: dict[str, int]) -> list[str]:
    """The imports of a folder's files that do not point to a room of lower rank in the same folder."""
    prefix = ".".join(top.relative_to(ROOT).parts) + "."
    wrong = []
    for path in top.rglob("*.py"):
        own = path.relative_to(top).parts[0].removesuffix(".py")
        for name in imports(path):
            other = name.removeprefix(prefix).split(".")[0]
            if not name.startswith(prefix) or other.startswith("__") or other == own:
                continue
            if ranks[other] >= ranks[own]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    return wrong


def test_imports_point_one_way() -> None:
    assert len(list((ROOT / "vqa").rglob("*.py"))) > 20
    assert not wrong_ways(ROOT / "vqa", RANKS)


@pytest.mark.parametrize("large", INSIDE)
def test_imports_point_one_way_inside_the_large_rooms(large: str) -> None:
    assert not wrong_ways(ROOT / "vqa" / large, INSIDE[large])


def test_only_the_page_knows_gradio() -> None:
    knowing = {
        room(path) for path in (ROOT / "vqa").rglob("*.py") if any(n.split(".")[0] == "gradio" for n in imports(path))
    }
    assert knowing == {"ui"}


def test_torch_and_vllm_are_asked_in_the_engines_python_alone() -> None:
    of_the_engine = {"torch", "torchvision", "transformers", "vllm"}
    files = [ROOT / "app.py", *(ROOT / "vqa").rglob("*.py")]
    assert not [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in imports(path)
        if name.split(".")[0] in of_the_engine
    ]


def test_nothing_heavy_is_imported_at_start() -> None:
    program = f"import sys, vqa.ui.page; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(path) for path in (ROOT / "vqa").rglob("*.py") if not ast.get_docstring(ast.parse(path.read_text()))]
    assert [path for path in silent if not path.endswith("__init__.py")] == []


ESCAPING = ("lab/report", "evaluate/reporting", "ui")
"""Rooms whose HTML `vqa.markup` makes, which escapes whatever is no HTML."""
TAG = re.compile(r"</?[a-zA-Z]")


def by_hand(source: str) -> list[str]:
    """Where HTML is made in a way that leaves escaping to whoever remembers it, as line and reason."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            words = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
            if TAG.search(words):
                found.append(f"{node.lineno}: an f-string with a tag")
        elif isinstance(node, ast.ImportFrom) and node.module in ("html", "markupsafe"):
            found.append(f"{node.lineno}: escaping by hand")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "html":
            template = node.args[0]
            if not (isinstance(template, ast.Constant) and isinstance(template.value, str)):
                found.append(f"{node.lineno}: a template that is not written down")
    return found


def test_html_is_made_by_what_escapes() -> None:
    files = [path for room in ESCAPING for path in (ROOT / "vqa" / room).rglob("*.py")]
    assert len(files) > 15
    assert not [f"{path.relative_to(ROOT)}:{each}" for path in files for each in by_hand(path.read_text())]


@pytest.mark.parametrize(
    "source", ["f'<p>{words}</p>'", "from html import escape", "html('<p>{}</p>' + words)", "html(f'<b>{words}</b>')"]
)
def test_html_made_by_hand_is_found(source: str) -> None:
    assert by_hand(source)


def test_every_value_in_html_is_escaped_once() -> None:
    evil = "<img src=x onerror='alert(1)'>&\""
    once = html("<p title='{}'>{}</p>", evil, evil)
    assert "<img" not in once
    assert once.count("&lt;img") == 2
    assert once.count("'") == 2  # those of the template
    assert html("<div>{}</div>", once) == f"<div>{once}</div>"
    assert joined([once, evil]) == once + html("{}", evil)
    assert html("{:.1f}% {!r}", 12.345, "<") == "12.3% &#39;&lt;&#39;"
    assert html("{}{{{}}}{name}", "<", 3, name=">") == "&lt;{3}&gt;"
    with pytest.raises(IndexError):
        html("{}{}", "one")
