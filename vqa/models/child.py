"""The process that downloads one model: `python -m vqa.models.child`, a request on stdin, reports as JSON lines.

It ends by itself when whoever started it is gone (stdin closes), and any signal may end it at any time: what arrived
stays and is resumed. Nobody but `vqa.models.download` starts it.
"""

import json
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

import psutil
from filelock import FileLock, Timeout

from vqa.errors import VQAError
from vqa.json_file import read_value
from vqa.models import listing as notes
from vqa.models.hub_errors import HubFailedError, Situation, hub_error_of
from vqa.models.hubs import Hub, Request, open_hub, remove_stale_locks
from vqa.models.listing import Listing
from vqa.models.local import lock_file
from vqa.models.verify import Differences, measure, merged_of, range_parts, verify

REPORT_SECONDS = 0.2
_ROUNDS = 2
"""A client can report success with files missing, so what lacks is fetched once more before we give up."""
_LEAST_MARGIN, _MOST_MARGIN = 32 * 1024**2, 1024**3


class _StageError(Exception):
    """A failure with where it happened."""

    def __init__(self, problem: Exception, situation: Situation) -> None:
        self.problem, self.situation = problem, situation
        super().__init__(str(problem))


@contextmanager
def _stage(hub: Hub, stage: Literal["listing", "fetching"]) -> Iterator[None]:
    try:
        yield
    except VQAError:
        raise
    except Exception as problem:
        raise _StageError(problem, Situation(hub.endpoint, stage, hub.token)) from problem


class _Reporter:
    """Writes one JSON object a line; ends the process when nobody reads any more."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def __call__(self, **values: Any) -> None:
        try:
            with self._lock:
                self._out.write(json.dumps(values) + "\n")
                self._out.flush()
        except (OSError, ValueError):
            os._exit(3)


def main() -> None:
    """Reads the request, downloads, reports; the exit status is 0 when the model is complete."""
    report = _Reporter(_own_stdout())
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        _download(request, report)
    except VQAError as problem:
        report(event="failed", code=problem.code, values={name: str(value) for name, value in problem.values.items()})
    except _StageError as ended:
        error = hub_error_of(ended.problem, ended.situation)
        if not isinstance(ended.problem, HubFailedError):
            traceback.print_exception(ended.problem)
        report(event="failed", code=error.code, values=error.values)
    except BaseException as problem:
        traceback.print_exc()
        error = hub_error_of(problem, Situation(request["endpoint"] or "-"))
        report(event="failed", code=error.code, values=error.values)
    else:
        report(event="complete")
        os._exit(0)  # The clients' own threads must not hold up the end.
    os._exit(1)


def _own_stdout() -> TextIO:
    """Returns stdout for our reports alone: what the clients print goes to stderr."""
    ours = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return ours


def _end_with_parent(parent: int) -> None:
    """Ends this process when stdin closes or the parent changes; a pipe alone could be held open by a sibling."""

    def watch_pipe() -> None:
        while os.read(0, 1024):
            pass
        os._exit(3)

    threading.Thread(target=watch_pipe, daemon=True).start()
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(3)


def _download(request: dict[str, Any], report: _Reporter) -> None:
    folder = Path(request["folder"])
    source, revision = request["source"], request["revision"]
    report(event="state", state="listing")
    hub = open_hub(source, Request(request["model_id"], revision, request["endpoint"], request["token"]))
    report(event="endpoint", endpoint=hub.endpoint)
    with _stage(hub, "listing"):
        commit, every = hub.list()
    files, left_out = notes.choose(every, all_files=request["all_files"])
    wanted = Listing(request["model_id"], source, revision, commit, files, left_out)
    report(event="listing", files_total=len(files), bytes_total=wanted.total_bytes, commit=commit)
    lock = _lock(folder, wanted, report)
    try:
        complete = notes.read_complete(folder)
        if complete and complete.fingerprint == wanted.fingerprint and not verify(folder, complete):
            return
        _check_space(folder, wanted)
        _remove_outdated(folder, wanted)
        notes.write_planned(folder, wanted)
        with _stage(hub, "fetching"):
            _fetch_and_verify(hub, folder, wanted, request["workers"], report)
        notes.write_complete(folder, replace(wanted, date=datetime.now(UTC).isoformat(timespec="seconds")))
        _clean_up(folder, wanted)
    finally:
        _owner_file(folder).unlink(missing_ok=True)
        lock.release()


def _lock(folder: Path, wanted: Listing, report: _Reporter) -> FileLock:
    """Returns the folder's lock, held; waits for another download into the same folder and shows how far that is."""
    lock = FileLock(lock_file(folder))
    while True:
        try:
            lock.acquire(timeout=REPORT_SECONDS)
        except Timeout:
            report(event="state", state="waiting", holder=_holder(folder), **_measured(folder, wanted))
        else:
            break
    _owner_file(folder).write_text(json.dumps({"pid": os.getpid()}), encoding="utf-8")
    remove_stale_locks(folder)
    return lock


def _owner_file(folder: Path) -> Path:
    return folder / notes.NOTES / "owner.json"


def _holder(folder: Path) -> int | None:
    try:
        pid = int(read_value(_owner_file(folder))["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if psutil.pid_exists(pid) else None


def _check_space(folder: Path, wanted: Listing) -> None:
    lacking = wanted.total_bytes - measure(folder, wanted).bytes
    margin = min(max(_LEAST_MARGIN, wanted.total_bytes // 100), _MOST_MARGIN) if lacking else 0
    free = shutil.disk_usage(folder).free
    if lacking + margin > free:
        raise HubFailedError("model_disk_full", needed=lacking + margin, free=free)


def _remove_outdated(folder: Path, wanted: Listing) -> None:
    """Removes files of an earlier version that the hub no longer has: an old shard must not be loaded with new ones."""
    before = notes.read_complete(folder) or notes.read_planned(folder)
    kept = {file.path for file in wanted.files}
    for file in before.files if before else ():
        if file.path not in kept and notes.safe_path(file.path):
            (folder / file.path).unlink(missing_ok=True)
    for file in wanted.files:  # Killed while it put parts together: nothing resumes that, and it is not progress.
        merged_of(folder, file).unlink(missing_ok=True)


def _fetch_and_verify(hub: Hub, folder: Path, wanted: Listing, workers: int, report: _Reporter) -> None:
    differences = Differences()
    for _ in range(_ROUNDS):
        _fetch(hub, folder, wanted, workers, report)
        differences = _verify(folder, wanted, report)
        if not differences:
            return
        for path in differences.corrupt:
            (folder / path).unlink(missing_ok=True)
    if differences.corrupt:
        raise HubFailedError("model_corrupt", files=list(differences.corrupt))
    raise HubFailedError("model_files_missing", files=list(differences.missing))


def _fetch(hub: Hub, folder: Path, wanted: Listing, workers: int, report: _Reporter) -> None:
    """Fetches while another thread tells how many bytes lie on disk."""
    done = threading.Event()

    def tell() -> None:
        report(event="state", state="downloading", **_measured(folder, wanted))

    def keep_telling() -> None:
        while not done.wait(REPORT_SECONDS):
            tell()

    tell()
    teller = threading.Thread(target=keep_telling, daemon=True)
    teller.start()
    try:
        hub.fetch(folder, wanted, workers)
    except Exception as problem:
        if hub_error_of(problem, Situation(hub.endpoint)).code != "model_disk_full":
            raise
        traceback.print_exc()
        lacking = wanted.total_bytes - measure(folder, wanted).bytes
        free = shutil.disk_usage(folder).free
        raise HubFailedError("model_disk_full", needed=lacking, free=free) from problem
    finally:
        done.set()
        teller.join()
        tell()


def _verify(folder: Path, wanted: Listing, report: _Reporter) -> Differences:
    last = 0.0

    def verified(count: int) -> None:
        nonlocal last
        if time.monotonic() - last > REPORT_SECONDS:
            last = time.monotonic()
            report(event="state", state="verifying", bytes_verified=count)

    report(event="state", state="verifying", bytes_verified=0, **_measured(folder, wanted))
    return verify(folder, wanted, verified)


def _measured(folder: Path, wanted: Listing) -> dict[str, Any]:
    now = measure(folder, wanted)
    return {"files_done": now.files, "bytes_done": now.bytes, "current_files": now.partial[:8]}


def _clean_up(folder: Path, wanted: Listing) -> None:
    """Removes what only the download itself needed, also parts that a killed one of other ranges left."""
    for file in wanted.files:
        for part in (*range_parts(folder, file), merged_of(folder, file), folder / f"{file.path}.incomplete"):
            part.unlink(missing_ok=True)
    for name in ("hub", "partial"):
        shutil.rmtree(folder / notes.NOTES / name, ignore_errors=True)
    shutil.rmtree(folder / ".cache" / "huggingface", ignore_errors=True)
    cache = folder / ".cache"
    if cache.is_dir() and not any(cache.iterdir()):
        cache.rmdir()


if __name__ == "__main__":
    main()
