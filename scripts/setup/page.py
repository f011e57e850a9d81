"""Installs page and command line into .venv."""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from pathlib import Path

from scripts.setup.engine import vllm_in
from scripts.setup.steps import PYTHON, ROOT, VENV, SetupFailed, pip, step, tail

CONSTRAINTS = ROOT / "constraints.txt"
EXTRAS = {"run": "page", "test": "page,dev", "lint": "page,dev"}
"""What each goal needs beside the command line."""


def install_page(extras: str) -> None:
    """Installs the project with `extras` into .venv unless the very same was installed last time."""
    stamp = VENV / "vqa-installed.json"
    wanted = {"extras": extras, "digest": _digest()}
    known: dict[str, str] = json.loads(stamp.read_text()) if stamp.exists() else {}
    if known.get("digest") == wanted["digest"] and set(extras.split(",")) <= set(known.get("extras", "").split(",")):
        print("- Nothing to install: .venv is as pyproject.toml wants it.", flush=True)
        return
    command: list[str | Path] = ["install", "--quiet", "--no-compile", "--editable", f".[{extras}]"]
    # Beside a vLLM of an earlier set-up, exact versions could take away what that vLLM asks for.
    exact: list[str | Path] = [] if vllm_in(VENV) or not CONSTRAINTS.exists() else ["--constraint", CONSTRAINTS]
    with step(f"Installing page and command line into .venv ({extras})"):
        done = pip(PYTHON, *command, *exact)
        if done.returncode and exact:
            print("  not with the versions that were tested (constraints.txt); with others then", flush=True)
            done = pip(PYTHON, *command)
    if done.returncode:
        raise SetupFailed(f"pip could not install .[{extras}]. Check network and free disk.\n{tail(done)}")
    stamp.write_text(json.dumps(wanted))


def _digest() -> str:
    """Returns what tells one state of what .venv should hold from another."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [project["dependencies"], project["optional-dependencies"], project.get("scripts")]
    exact = CONSTRAINTS.read_text() if CONSTRAINTS.exists() else ""
    return hashlib.sha256(f"{sys.version}\n{json.dumps(needed)}\n{exact}".encode()).hexdigest()
