"""How another process of the same user asks the holder of the engine: one JSON line each way over a Unix socket."""

import contextlib
import hashlib
import json
import os
import socket
import socketserver
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqa import errors
from vqa.engine.metrics import MetricsSnapshot
from vqa.engine.spec import EngineSpec
from vqa.engine.state import Engine, Prepare, Snapshot
from vqa.errors import EngineError, VQAError

if TYPE_CHECKING:
    from vqa.engine.lock import Holder

_PATH_LIMIT = 100
"""Bytes; the operating system allows 108 for the address of a Unix socket."""
_POLL = 0.2
_LINE = 4_000_000


def socket_path(folder: Path) -> Path:
    """Returns where the socket of an engine folder lies: in it, or under /tmp when its path would be too long."""
    inside = folder / "control.sock"
    if len(os.fsencode(inside.absolute())) <= _PATH_LIMIT:
        return inside.absolute()
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"vqa-lab-{os.getuid()}" / f"{name}.sock"


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    engine: Engine


class _Handler(socketserver.StreamRequestHandler):
    timeout = 30.0

    def handle(self) -> None:
        """Answers one request."""
        try:
            request = json.loads(self.rfile.readline(_LINE))
            answer = {"answer": _OPERATIONS[request["do"]](self.server.engine, request)}  # type: ignore[attr-defined]
        except VQAError as problem:
            values = {name: str(value) for name, value in problem.values.items()}
            answer = {"error": {"kind": type(problem).__name__, "code": problem.code, "values": values}}
        except (ValueError, KeyError, TypeError, OSError) as problem:
            answer = {"error": {"kind": "EngineError", "code": "engine_request", "values": {"reason": str(problem)}}}
        with contextlib.suppress(OSError):
            self.wfile.write(json.dumps(answer).encode() + b"\n")


def _spec(request: dict[str, Any]) -> EngineSpec:
    return EngineSpec.from_dict(request["spec"])


_OPERATIONS: dict[str, Callable[[Engine, dict[str, Any]], Any]] = {
    "snapshot": lambda engine, _: engine.snapshot().to_dict(),
    "start": lambda engine, request: engine.start(_spec(request)),
    "stop": lambda engine, request: engine.stop(bool(request.get("force"))),
    "restart": lambda engine, request: engine.restart(_spec(request) if request.get("spec") else None),
    "log_tail": lambda engine, request: engine.log_tail(int(request["lines"])),
    "metrics": lambda engine, _: now.to_dict() if (now := engine.metrics()) else None,
    "metrics_history": lambda engine, _: [each.to_dict() for each in engine.metrics_history()],
    "quiet": lambda engine, request: engine.quiet(float(request["seconds"])),
}


class ControlServer:
    """Lets other processes of this user ask `engine`; the socket lies in a folder that nobody else can enter."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        path = socket_path(folder)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = path.parent.stat()
        if status.st_uid != os.getuid():
            raise EngineError("engine_socket_folder", path=path.parent)
        path.parent.chmod(0o700)
        path.unlink(missing_ok=True)  # of a killed holder: we have its lock now
        self.address = str(path)
        self._server = _Server(self.address, _Handler)
        path.chmod(0o600)
        self._server.engine = engine
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="engine-control", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Ends the service and removes the socket."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        Path(self.address).unlink(missing_ok=True)


class RemoteEngine:
    """The engine that another process manages, asked over its socket."""

    def __init__(self, holder: "Holder") -> None:
        self.holder = holder

    def left(self) -> bool:
        """Returns whether the process that managed the engine has ended, or has put its socket away."""
        return not self.holder.alive() or not Path(self.holder.socket or "").exists()

    def _call(self, do: str, **request: Any) -> Any:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
                link.settimeout(30)
                link.connect(self.holder.socket or "")
                link.sendall(json.dumps({"do": do, **request}).encode() + b"\n")
                with link.makefile("rb") as answers:
                    answer = json.loads(answers.readline())
        except (OSError, ValueError) as problem:
            raise EngineError("engine_holder_silent", holder=str(self.holder), reason=str(problem)) from problem
        if error := answer.get("error"):
            kind: type[VQAError] = getattr(errors, error["kind"], EngineError)
            raise kind(error["code"], **error["values"])
        return answer["answer"]

    def snapshot(self) -> Snapshot:
        """Returns the state at this moment.

        Raises:
            EngineError: the process that manages the engine does not answer. So do all the others.
        """
        plain = self._call("snapshot")
        return Snapshot.from_dict(plain | {"holder": str(self.holder)})

    def start(self, spec: EngineSpec, prepare: Prepare | None = None) -> int:
        """Asks for a start; the process that manages the engine fetches the model itself: `prepare` is not used."""
        del prepare
        return int(self._call("start", spec=spec.to_dict()))

    def stop(self, force: bool = False) -> None:
        """Asks for a stop and returns at once."""
        self._call("stop", force=force)

    def restart(self, spec: EngineSpec | None = None) -> int:
        """Asks for a stop and then a start; returns the new generation at once."""
        return int(self._call("restart", spec=spec.to_dict() if spec else None))

    def wait(self, until: Callable[[Snapshot], bool] | None = None, timeout: float | None = None) -> Snapshot:
        """Returns the first snapshot for which `until` holds (default: settled), or the last one at the timeout."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            now = self.snapshot()
            done = until(now) if until else now.settled
            if done or (deadline is not None and time.monotonic() >= deadline):
                return now
            time.sleep(_POLL)

    def log_tail(self, lines: int = 200) -> tuple[str, ...]:
        """Returns the last lines of the log."""
        return tuple(self._call("log_tail", lines=lines))

    def metrics(self) -> MetricsSnapshot | None:
        """Returns the latest figures, or None before the first."""
        plain = self._call("metrics")
        return MetricsSnapshot.from_dict(plain) if plain else None

    def metrics_history(self) -> tuple[MetricsSnapshot, ...]:
        """Returns the figures of the last minutes, oldest first."""
        return tuple(MetricsSnapshot.from_dict(each) for each in self._call("metrics_history"))

    def quiet(self, seconds: float) -> None:
        """Holds back the health check's own questions for `seconds`."""
        self._call("quiet", seconds=seconds)

    def close(self, leave_running: bool = False) -> None:
        """Lets go; the engine stays with the process that manages it."""
        del leave_running
