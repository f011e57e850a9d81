"""What this user may not read or use is told as that, and not as missing or taken."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.checkpoint import safetensors_bytes
from tests.lifecycle.conftest import Make
from vqa.engine import ports
from vqa.engine.folder import check_folder
from vqa.engine.launch import obstacle
from vqa.engine.spec import EngineSpec
from vqa.errors import InputError
from vqa.settings import Settings

NOBODY = 65534


def as_nobody(work: Callable[[], int], folder: Path) -> int:
    """The exit status of `work` done by another user, in a child, since rights cannot be taken back."""
    InputError("question_empty").message()  # what it reads must be read while that is allowed
    child = os.fork()
    if child == 0:
        try:
            os.chdir(folder)
            os.setgroups([])
            os.setuid(NOBODY)
            os._exit(work())
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user; and root reads everything")
def test_an_unreadable_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0)

    def work() -> int:
        try:
            check_folder(Path("locked"))
        except InputError as refused:
            return 0 if refused.code == "model_folder_unreadable" else 2
        return 1

    assert as_nobody(work, tmp_path) == 0


FIRST_OPEN = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


@pytest.mark.skipif(os.getuid() != 0 or int(FIRST_OPEN.read_text()) <= 81, reason="here everybody may use every port")
def test_a_port_that_this_user_may_not_use_is_told_from_a_taken_one(settings: Settings) -> None:
    def work() -> int:
        told = ports.may_use("127.0.0.1", 81), ports.may_use("127.0.0.1", settings.engine_port)
        failure = obstacle(EngineSpec("model", port=81))
        if failure is None or (failure.code, int(failure.values["free"]) >= 1024) != ("port_forbidden", True):
            return 2
        return 0 if told == (False, True) and (ports.free_port("127.0.0.1", 81) or 0) >= 1024 else 1

    with tempfile.TemporaryDirectory() as open_to_all:  # pytest's own are not
        folder = Path(open_to_all)
        folder.chmod(0o755)
        (folder / "model").mkdir()
        (folder / "model" / "config.json").write_text("{}")
        (folder / "model" / "model.safetensors").write_bytes(safetensors_bytes())
        check_folder(folder / "model")  # loads what that needs: another user may not read this Python's own files
        assert as_nobody(work, folder) == 0


def test_an_address_of_another_machine_is_told_and_offers_no_port(make: Make, spec: EngineSpec) -> None:
    engine = make()
    engine.start(replace(spec, host="192.0.2.1"))
    now = engine.wait(timeout=30)
    assert now.failure is not None
    assert now.failure.code == "host"
    assert "192.0.2.1" in now.failure.message("zh")
    assert ports.free_port("192.0.2.1", 8000) is None
