"""What surrounds a download: its folder before and after, the child's environment and end, the error it is told by."""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from vqa.errors import ModelError
from vqa.models.catalog import suggestions
from vqa.models.ids import HUB_NAMES, Source, hub_address, hub_page
from vqa.models.listing import NOTES, read_complete, read_planned
from vqa.models.progress import size_text

_PROXY_SETTINGS = tuple(name for word in ("http_proxy", "https_proxy", "all_proxy") for name in (word, word.upper()))


def absolute(folder: Path) -> Path:
    """Returns `folder` from the root on, with `~` filled in.

    Raises:
        ModelError: it is no path, or the home of nobody.
    """
    try:
        if "\0" in str(folder):
            raise ValueError("NUL")
        return folder.expanduser().absolute()
    except (ValueError, RuntimeError) as problem:
        raise ModelError("model_target_invalid", path=str(folder).replace("\0", ""), reason=str(problem)) from problem


def check_target(folder: Path, model_id: str, revision: str | None) -> None:
    """Refuses a folder that holds something else than this revision of this model: a download overwrites files.

    Raises:
        ModelError: it does, or it cannot be read.
    """
    try:
        held = [each.name for each in folder.iterdir()] if folder.exists() else []
    except OSError as problem:
        raise ModelError("model_target_invalid", path=folder, reason=problem.strerror or str(problem)) from problem
    planned = read_planned(folder)
    ours = planned is not None and (planned.model_id, planned.revision) == (model_id, revision)
    if set(held) - {NOTES} and not ours:
        raise ModelError("model_target_not_ours", path=folder)


def remove_if_empty(folder: Path) -> None:
    """Takes back a folder in which no download was begun: nothing is there to be resumed."""
    if read_planned(folder) is not None or read_complete(folder) is not None:
        return
    with contextlib.suppress(OSError):
        if {each.name for each in folder.iterdir()} <= {NOTES}:
            shutil.rmtree(folder)
            folder.parent.rmdir()


def end_group(child: subprocess.Popen[str], patience: float) -> None:
    """Ends a child and its process group, politely for `patience` seconds and then for certain; harmless when ended."""
    if child.poll() is not None:
        return
    _signal_group(child.pid, signal.SIGTERM)
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        _signal_group(child.pid, signal.SIGKILL)
        child.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def child_environment(folder: Path) -> dict[str, str]:
    """Returns the child's environment: no telemetry, no progress bars, locks inside the folder, none of our secrets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VQA_")}
    kept.setdefault("MODELSCOPE_DOWNLOAD_INTRA_CLOUD", "false")  # Else it asks a cloud's own address where it runs.
    kept.setdefault("MODELSCOPE_DOWNLOAD_TOTAL_TIMEOUT", str(7 * 24 * 3600))  # Seconds a file; an hour is too short.
    kept.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "30")
    for name in _PROXY_SETTINGS:
        # Desktops write socks:// for SOCKS 5, which neither client knows; the h leaves names to the proxy.
        if kept.get(name, "").lower().startswith("socks://"):
            kept[name] = "socks5h://" + kept[name][len("socks://") :]
    return kept | {
        "MODELSCOPE_CACHE": str(folder / NOTES / "hub"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_XET": "1",  # Its chunks cannot be resumed by a later process, nor watched on disk.
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_CACHE": str(folder / NOTES / "hub"),
        "TQDM_DISABLE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def error_of(
    code: str,
    values: dict[str, Any],
    *,
    model_id: str,
    source: Source,
    revision: str | None,
    endpoint: str | None,
    folder: Path,
) -> ModelError:
    """Returns the error for what the child reported, with everything that its text may name."""
    known: dict[str, Any] = {
        "id": model_id,
        "hub": HUB_NAMES[source],
        "page": hub_page(source, model_id, endpoint),
        "address": hub_address(source, endpoint),
        "revision": revision or "-",
        "known": "-",
        "path": folder,
    }
    if code == "model_not_found" and (near := [each for each in suggestions(model_id) if each != model_id]):
        code, known["suggestions"] = "model_not_found_suggest", ", ".join(near)
    if isinstance(values.get("files"), list):
        files = values["files"]
        values = values | {"count": len(files), "files": ", ".join(files[:5]) + (" …" if len(files) > 5 else "") or "-"}
    for name in ("needed", "free"):
        if name in values:
            known[f"{name}_text"] = size_text(int(values[name]))
    return ModelError(code, **(known | values))
