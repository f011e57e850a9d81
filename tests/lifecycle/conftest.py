"""A supervisor over misbehaving child processes, and the check after every test that nothing of it is left."""

import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from tests.fakes.checkpoint import safetensors_bytes
from tests.ports import free_port
from vqa.engine.opening import Supervisor, engine_folder
from vqa.engine.spec import EngineSpec
from vqa.engine.state import LEGAL, EngineState, Limits, Snapshot
from vqa.settings import Settings

FAKE = Path(__file__).resolve().parent.parent / "fakes" / "engine_child.py"
RUN = "LIFECYCLE_TEST_RUN"  # spec.env keeps our own VQA_ variables from the child
QUICK = Limits(
    tick=0.02,
    watch=0.1,
    stall=60.0,
    start=90.0,
    connect=1.0,
    chat=0.6,
    warm=0.6,
    probe_starting=0.05,
    probe_ready=0.1,
    chat_every=0.2,
    probe_failing=0.1,
    metrics_every=0.1,
    term=1.0,
    linger=0.2,
    kill=3.0,
    prepare_cancel=1.0,
    backoff=(0.2, 0.4, 0.8),
    adopt=1.0,
    lock_wait=0.2,
)


class History(list[Snapshot]):
    """Every snapshot that was published, in order."""

    supervisor: Supervisor | None = None

    @property
    def states(self) -> list[EngineState]:
        """The states one after the other, without repeats, up to the one that can be seen now: it is told last."""
        end = time.monotonic() + 5
        while self.supervisor and self[-1].state is not self.supervisor.snapshot().state and time.monotonic() < end:
            time.sleep(0.01)
        return [
            now.state
            for before, now in zip([None, *self], self, strict=False)
            if before is None or before.state != now.state
        ]

    def check(self) -> None:
        """Fails on a transition that the table of docs/lifecycle.md does not have."""
        states = self.states
        for before, after in pairwise(states):
            assert after in LEGAL[before], f"{before} -> {after} in {states}"


def test_processes(run: str) -> list[psutil.Process]:
    """The live processes, other than this one, that were started under the test `run`."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.environ().get(RUN) == run and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            continue
        if mine and process.pid != os.getpid():
            found.append(process)
    return found


test_processes.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture
def run_id(monkeypatch: pytest.MonkeyPatch) -> str:
    """Marks every process that this test starts, however deep."""
    marker = uuid.uuid4().hex
    monkeypatch.setenv(RUN, marker)
    return marker


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that looks like a checkpoint."""
    folder = tmp_path / "a model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    (folder / "model.safetensors").write_bytes(safetensors_bytes())
    return folder


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The misbehaving child as an interpreter that starts quickly, whatever `python3` may be on this machine."""
    path = tmp_path_factory.mktemp("fake") / "python"
    path.write_text(f"#!{sys.executable} -SE\n" + FAKE.read_text(encoding="utf-8"), encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def settings(tmp_path: Path, python: Path) -> Settings:
    """Settings whose vLLM is the misbehaving child."""
    return Settings(data_dir=tmp_path / "data", vllm_python=python, engine_port=free_port())


@pytest.fixture
def spec(model: Path, settings: Settings) -> EngineSpec:
    """What the tests start."""
    return EngineSpec(str(model), served_model_name="fake", port=settings.engine_port)


Make = Callable[..., Supervisor]


@pytest.fixture
def make(settings: Settings, run_id: str) -> Iterator[Make]:
    """Makes supervisors; closes them afterwards and checks that no process, port, lock, file or thread is left."""
    descriptors, threads = _descriptors(), set(threading.enumerate())
    made: list[tuple[Supervisor, History]] = []

    def make_one(own: Settings = settings, **changes: object) -> Supervisor:
        history = History()
        limits = replace(QUICK, **changes.pop("limits", {}))  # type: ignore[arg-type]
        supervisor = Supervisor(own, on_change=history.append, limits=limits, **changes)  # type: ignore[arg-type]
        supervisor.history, history.supervisor = history, supervisor  # type: ignore[attr-defined]
        made.append((supervisor, history))
        return supervisor

    yield make_one
    for supervisor, history in made:
        supervisor.close()
        history.check()
    assert test_processes(run_id) == []
    _nothing_left(settings, descriptors, threads)


def _nothing_left(settings: Settings, descriptors: set[str], threads: set[threading.Thread]) -> None:
    folder = engine_folder(settings)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", settings.engine_port))
    assert not [path.name for path in folder.glob("*") if path.suffix == ".sock" or path.name in LEFTOVERS]
    with FileLock(folder / "engine.lock").acquire(timeout=0):
        pass
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
        assert not thread.is_alive(), f"{thread.name} still runs"
    assert _descriptors() <= descriptors


LEFTOVERS = ("engine.json", "holder.json")


def _descriptors() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith("/") and "/dev/" not in target:
            found.add(target)
    return found
