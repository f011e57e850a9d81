"""Downloads a model: starts the child that does it, follows its reports, cancels it; imports no hub client itself."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pydantic import SecretStr

from vqa.errors import ModelError
from vqa.models.catalog import find
from vqa.models.elsewhere import remember
from vqa.models.ids import Source, check_endpoint, check_id, check_revision, folder_of, hub_of, split_revision
from vqa.models.listing import read_planned
from vqa.models.progress import FINAL, DownloadState, Progress, Speedometer, size_text
from vqa.models.surroundings import absolute, check_target, child_environment, end_group, error_of, remove_if_empty
from vqa.settings import PROJECT, Settings

__all__ = ["FINAL", "Download", "DownloadState", "Progress", "download", "size_text"]

MAX_WORKERS = 4
_PATIENCE = 3.0
"""Seconds that the child has to end after SIGTERM."""
_LOG_TAIL = 4000
_TOKEN_STARTS = {"modelscope": "ms-", "huggingface": "hf_"}
"""By which a token shows for which hub it is, where that is not the one in the settings."""


class Download:
    """One download in a child process group of its own.

    The id may carry its revision (`owner/name@revision`). Where no hub is named, a download that was begun goes on
    from the hub that it was begun at, and any other comes from that of the settings.

    `start` it once, then look at `progress()`, iterate over it, `cancel()` it or `wait()` for its folder. As a context
    manager it cancels what is still running at the end. All methods may be called from any thread.

    Raises:
        ModelError: the id, revision or hub address cannot be used, or the folder holds something else.
    """

    def __init__(
        self,
        settings: Settings,
        model_id: str,
        *,
        source: Source | None = None,
        revision: str | None = None,
        target: Path | None = None,
        all_files: bool = False,
    ) -> None:
        entry, (name, named) = find(model_id), split_revision(model_id)
        if named and revision and named != revision:
            raise ModelError("model_revision_invalid", revision=f"{named} / {revision}")
        self.revision = check_revision(named or revision or settings.revision)
        self.folder = absolute(target or folder_of(settings, entry.id if entry else name, self.revision))
        begun = read_planned(self.folder)
        self.source: Source = source or hub_of(begun.source if begun else None) or settings.source
        self.model_id = check_id(entry.sources.get(self.source, entry.id) if entry else name)
        # An address and a token in the settings are those of the hub in the settings.
        own = self.source == settings.source
        self.endpoint = check_endpoint(settings.hub_endpoint) if own else None
        self._token = settings.hub_token if own or _is_token_of(self.source, settings.hub_token) else None
        self._settings = settings
        self._all_files = all_files
        self._changed = threading.Condition()
        self._progress = Progress()
        self._error: ModelError | None = None
        self._reported: tuple[str, dict[str, Any]] | None = None
        self._cancelled = False
        self._speedometer = Speedometer()
        self._child: subprocess.Popen[str] | None = None
        self._follower: threading.Thread | None = None
        check_target(self.folder, self.model_id, self.revision)

    def start(self) -> Self:
        """Starts the child.

        Raises:
            ModelError: the folder cannot be made, or no process can be started.
        """
        if self._child is not None:
            raise RuntimeError("a download is started once")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed by _follow
            self._child = subprocess.Popen(
                [sys.executable, "-m", "vqa.models.child"],
                cwd=PROJECT,
                env=child_environment(self.folder),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                start_new_session=True,
            )
        except OSError as problem:
            reason = problem.strerror or str(problem)
            raise ModelError("model_target_invalid", path=self.folder, reason=reason) from problem
        remember(self._settings, self.folder)
        self._follower = threading.Thread(target=self._follow, args=(log,), name="download", daemon=True)
        self._follower.start()
        self._send_request()
        return self

    @property
    def pid(self) -> int | None:
        """The child's process id, which is its process group's too; None before the start."""
        return self._child.pid if self._child else None

    def progress(self) -> Progress:
        """Returns how far it is now."""
        with self._changed:
            return self._progress

    def cancel(self) -> None:
        """Ends the child and returns when it is gone; what arrived is kept. Harmless when it has ended."""
        with self._changed:
            if self._progress.state in FINAL:
                return
            self._cancelled = True
        self._end_child()
        if self._follower is not None and self._follower is not threading.current_thread():
            self._follower.join()
        elif self._follower is None:
            self._settle(DownloadState.CANCELLED, ModelError("model_download_cancelled", id=self.model_id))

    def wait(self, timeout: float | None = None) -> Path:
        """Returns the model's folder when it is complete.

        Raises:
            ModelError: it failed or was cancelled.
            TimeoutError: it was not complete within `timeout` seconds; it goes on.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._progress.state in FINAL, timeout):
                raise TimeoutError
            if self._error is not None:
                raise self._error
        return self.folder

    def __iter__(self) -> Iterator[Progress]:
        """Yields the progress whenever it changes, the final one last."""
        seen: Progress | None = None
        while seen is None or seen.state not in FINAL:
            with self._changed:
                before = seen
                self._changed.wait_for(lambda before=before: self._progress is not before)  # type: ignore[misc]
                seen = self._progress
            yield seen

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.cancel()

    # ---- the inside

    def _send_request(self) -> None:
        request = {
            "model_id": self.model_id,
            "source": self.source,
            "revision": self.revision,
            "endpoint": self.endpoint,
            "token": self._token.get_secret_value() if self._token else None,
            "folder": str(self.folder),
            "all_files": self._all_files,
            "workers": MAX_WORKERS,
        }
        assert self._child is not None and self._child.stdin is not None
        with contextlib.suppress(OSError):  # A child that is gone already is told of by its follower.
            self._child.stdin.write(json.dumps(request) + "\n")
            self._child.stdin.flush()

    def _follow(self, log: IO[str]) -> None:
        """Reads the child's reports until it ends; runs in a thread of its own."""
        child = self._child
        assert child is not None and child.stdout is not None and child.stdin is not None
        with log, child.stdout, child.stdin:
            for line in child.stdout:
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    self._take(json.loads(line))
            status = child.wait()
            self._end_child()
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL))
            tail = log.read()
        state, error = self._outcome(status, tail)
        if error is not None:
            remove_if_empty(self.folder)
        self._settle(state, error)

    def _take(self, report: dict[str, Any]) -> None:
        event = report.pop("event")
        if event == "failed":
            self._reported = (report["code"], report["values"])
            return
        if event == "endpoint":
            self.endpoint = str(report["endpoint"])
            return
        if event == "complete":
            return
        if "state" in report:
            report["state"] = DownloadState(report["state"])
        if "current_files" in report:
            report["current_files"] = tuple(report["current_files"])
        report.pop("commit", None)
        with self._changed:
            self._progress = self._speedometer.update(replace(self._progress, **report))
            self._changed.notify_all()

    def _outcome(self, status: int, log_tail: str) -> tuple[DownloadState, ModelError | None]:
        if status == 0 and self._reported is None:
            return DownloadState.COMPLETE, None
        if self._cancelled:
            return DownloadState.CANCELLED, ModelError("model_download_cancelled", id=self.model_id)
        if self._reported is None:
            ended = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            reason = next((line for line in reversed(log_tail.splitlines()) if line.strip()), "")
            return DownloadState.FAILED, self._error_of(
                "model_download_died", {"reason": f"{ended}: {reason}"[:300].rstrip(": ") if status > 0 else ended}
            )
        return DownloadState.FAILED, self._error_of(*self._reported)

    def _error_of(self, code: str, values: dict[str, Any]) -> ModelError:
        return error_of(
            code,
            values,
            model_id=self.model_id,
            source=self.source,
            revision=self.revision,
            endpoint=self.endpoint,
            folder=self.folder,
        )

    def _settle(self, state: DownloadState, error: ModelError | None) -> None:
        with self._changed:
            now = replace(self._progress, state=state, bytes_per_second=None, seconds_left=None, current_files=())
            if state is DownloadState.COMPLETE:
                whole = now.bytes_total or 0
                now = replace(now, files_done=now.files_total or 0, bytes_done=whole, bytes_verified=whole)
            self._progress, self._error = now, error
            self._changed.notify_all()

    def _end_child(self) -> None:
        if self._child is not None:
            end_group(self._child, _PATIENCE)


def _is_token_of(source: Source, token: SecretStr | None) -> bool:
    return token is not None and token.get_secret_value().startswith(_TOKEN_STARTS[source])


def download(
    settings: Settings,
    model_id: str,
    on_progress: Callable[[Progress], None] = lambda _: None,
    cancelled: threading.Event | Callable[[], bool] = lambda: False,
    *,
    source: Source | None = None,
    revision: str | None = None,
    target: Path | None = None,
) -> Path:
    """Downloads a model and returns its folder; calls `on_progress` at each change, looks at `cancelled` in between.

    Raises:
        ModelError: it failed, or was cancelled (code `model_download_cancelled`).
    """
    is_cancelled = cancelled.is_set if isinstance(cancelled, threading.Event) else cancelled
    with Download(settings, model_id, source=source, revision=revision, target=target) as running:
        running.start()
        seen: Progress | None = None
        while True:
            if is_cancelled():
                running.cancel()
            now = running.progress()
            if now is not seen:
                seen = now
                on_progress(now)
            with contextlib.suppress(TimeoutError):
                folder = running.wait(0.1)
                on_progress(running.progress())
                return folder
