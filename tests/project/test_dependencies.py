"""What the code imports is what pyproject.toml declares, and nothing of it twice over."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = {"vqa", "tests", "benchmarks", "scripts", "training", "app"}
OF_THE_ENGINE = {"torch", "vllm", "transformers", "tokenizers", "torchvision"}
"""What code imports that runs in an engine's Python, or makes models."""


def names(requirements: list[str]) -> set[str]:
    """Returns the distributions that requirements name, spelled as PyPI normalises them."""
    return {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", each)[0]).lower() for each in requirements}


def imported(*places: str) -> dict[str, str]:
    """Returns the top-level modules that Python files import, with one file that does."""
    found: dict[str, str] = {}
    for place in places:
        paths = [ROOT / place] if place.endswith(".py") else sorted((ROOT / place).rglob("*.py"))
        assert paths
        for path in paths:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    modules = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    modules = [node.module]
                else:
                    continue
                found.update({name.split(".")[0]: str(path.relative_to(ROOT)) for name in modules})
    return {name: path for name, path in found.items() if name not in OURS and name not in sys.stdlib_module_names}


def undeclared(modules: dict[str, str], declared: set[str]) -> dict[str, str]:
    owners = packages_distributions()
    return {
        name: path
        for name, path in modules.items()
        if name not in OF_THE_ENGINE and not names(owners.get(name, [name])) & declared
    }


def test_what_the_app_imports_is_declared() -> None:
    core, page = names(PROJECT["dependencies"]), names(PROJECT["optional-dependencies"]["page"])
    assert undeclared(imported("app.py", "vqa"), core | page) == {}
    assert not core & page


def test_what_is_declared_for_the_app_is_imported() -> None:
    owners = packages_distributions()
    used = {owner for name in imported("app.py", "vqa") for owner in names(owners.get(name, []))}
    # python-dotenv is what pydantic-settings reads .env with; PySocks is for ModelScope's client, behind SOCKS proxies.
    declared = names(PROJECT["dependencies"]) | names(PROJECT["optional-dependencies"]["page"])
    assert declared - used == {"pysocks", "python-dotenv"}


def test_what_tests_and_tools_import_is_declared() -> None:
    every = names([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["page"]])
    every |= names(PROJECT["optional-dependencies"]["dev"])
    assert undeclared(imported("tests", "benchmarks", "scripts", "training"), every) == {}


def test_one_http_library_is_used() -> None:
    assert "httpx" not in imported("app.py", "vqa", "tests", "benchmarks", "scripts", "training")
    assert "httpx" not in names(PROJECT["dependencies"])
