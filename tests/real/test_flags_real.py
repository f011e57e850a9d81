"""Flags are checked against the installed vLLM's own parser before anything is started, also the very first time."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import ROOT, base_environment
from tests.fakes.checkpoint import safetensors_bytes
from tests.ports import free_port
from vqa.engine.folder import check_folder
from vqa.errors import InputError, VQAError

pytestmark = [pytest.mark.engine]


def vqa(data: Path, port: int, *words: str) -> subprocess.CompletedProcess[str]:
    environment = base_environment(data_dir=data, engine_port=port, language="en")
    command = [sys.executable, "-m", "vqa", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False)


def test_a_first_start_with_a_value_that_vllm_does_not_know_is_refused_by_its_parser(tmp_path: Path) -> None:
    port = free_port()
    done = vqa(tmp_path, port, "start", "--kv-cache-dtype=nonsense")
    assert done.returncode == 2, done.stderr
    assert "--kv-cache-dtype" in done.stderr
    assert "fp8" in done.stderr  # what vLLM itself allows
    assert "Asking vLLM" in done.stderr
    status = json.loads(vqa(tmp_path, port, "status", "--json").stdout)
    assert (status["state"], status["pids"]) == ("stopped", [])
    again = vqa(tmp_path, port, "start", "--kv-cache-dtype=nonsense")
    assert again.returncode == 2
    assert "Asking vLLM" not in again.stderr


def test_a_folder_that_may_not_be_read_is_told() -> None:
    with tempfile.TemporaryDirectory() as above:
        Path(above).chmod(0o755)
        folder = Path(above) / "model"
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(safetensors_bytes())
        check_folder(folder)
        folder.chmod(0o000)
        try:
            assert said_by_a_user(folder) == "model_folder_unreadable"
        finally:
            folder.chmod(0o755)


def said_by_a_user(folder: Path) -> str:
    """The code with which the folder is refused by a user who is not root, whom everything is allowed."""
    InputError("model_folder_unreadable", path="", reason="").message()  # its words are read as root
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setegid(65534)
            os.seteuid(65534)
        try:
            check_folder(folder)
            said = "accepted"
        except VQAError as problem:
            said = problem.code
        except BaseException as problem:
            said = repr(problem)
        os.write(writer, said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as said_there:
        return said_there.read()
