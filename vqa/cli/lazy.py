"""The group of commands whose modules are imported when one of theirs is run, and not to print `--help`."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

MODULES = {
    "page": ("page",),
    "ask": ("ask",),
    "lab": ("repeat", "diagnose"),
    "stored": ("runs", "report", "holds"),
    "certify": ("certify",),
    "horizon": ("horizon",),
    "matrix": ("matrix",),
    "verify": ("verify",),
    "evaluate": ("evaluate", "score", "compare", "gate", "power", "forecast"),
    "engine": ("serve", "start", "stop", "restart", "status", "logs", "check"),
    "models": ("download", "models", "remove", "complete"),
    "twin": ("twin",),
    "doctor": ("doctor",),
}
"""The commands that each module of this package registers, in the order of `--help`."""
HOME = {command: module for module, commands in MODULES.items() for command in commands}


class LazyGroup(TyperGroup):
    """Finds a command by importing the module that registers it."""

    listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the names of all commands."""
        return list(HOME)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Returns the command of a name; for the list in `--help` only its name and its first sentence."""
        if cmd_name not in HOME:
            return None
        if self.listing:
            return TyperCommand(cmd_name, help=summaries(HOME[cmd_name]).get(cmd_name, ""))
        return commands(HOME[cmd_name])[cmd_name]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help of the whole command line."""
        self.listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self.listing = False


def commands(module: str) -> dict[str, Any]:
    """Returns what a module of this package registers, by command name; imports it."""
    app = typer.Typer()
    app.callback()(lambda: None)  # so that a module with one command makes a group too
    register: Callable[[typer.Typer], None] = importlib.import_module(f"vqa.cli.{module}").register
    register(app)
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def summaries(module: str) -> dict[str, str]:
    """Returns the docstrings of a module's commands by command name, read from its source."""
    names = set(MODULES[module])
    found: dict[str, str] = {}
    for path in (Path(__file__).with_name(f"{module}.py"), *sorted(Path(__file__).parent.glob("*.py"))):
        if found.keys() >= names:
            break
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name in names and (text := ast.get_docstring(node)):
                found.setdefault(node.name, text)
    return found
