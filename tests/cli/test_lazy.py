"""The command line imports what a command needs when it is run, and no sooner."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from vqa import __version__
from vqa.cli import main
from vqa.cli.lazy import HOME, MODULES, commands, summaries

SLOW = ("openai", "numpy", "sqlalchemy", "PIL", "gradio", "scipy", "modelscope")


def imported_by(*arguments: str) -> set[str]:
    """Returns which of the slow modules a command of its own process imports."""
    program = (
        f"import json, sys; from vqa.cli import main; main({list(arguments)!r}); "
        f"print('', json.dumps([name for name in {SLOW!r} if name in sys.modules]), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["status"], ["stop"]])
def test_nothing_slow_is_imported_without_need(arguments: list[str]) -> None:
    assert imported_by(*arguments) == set()


def test_what_a_command_needs_is_imported() -> None:
    assert "sqlalchemy" in imported_by("runs")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_registers_the_commands_that_the_list_names(module: str) -> None:
    registered = commands(module)
    assert list(registered) == list(MODULES[module])
    written = summaries(module)
    for name, command in registered.items():
        assert " ".join(command.help.split()) == " ".join(written[name].split()), name


def test_help_lists_every_command_with_its_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name in HOME:
        assert f" {name} " in shown
    assert "Stop the engine; harmless when none runs." in shown


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vqa-lab {__version__}\n"


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["aks"]) == 2
    assert "aks" in capsys.readouterr().err
