"""Runs recorded on machines that few people have, shipped with the app and opened like anybody's own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from vqa.errors import VQAError
from vqa.lab.run.run_json import load_report
from vqa.settings import ASSETS
from vqa.text import Language, t

if TYPE_CHECKING:
    from vqa.store import Run, Store

FOLDER = ASSETS / "recorded"
ENDING = ".json.gz"
DIFFERED = "cpu-repeat"
"""Of the sensitivity probe, whose words can be read and mean nothing: 40 times, 8 at a time, on a CPU."""
log = logging.getLogger("vqa.lab")


def recorded(folder: Path = FOLDER) -> dict[str, Path]:
    """Returns the recorded runs' files by id; a file is named after the id of the run in it."""
    return {path.name.removesuffix(ENDING): path for path in sorted(folder.glob(f"*{ENDING}"))}


def add_recorded(store: Store, folder: Path = FOLDER, *, ended: Callable[[], bool] = lambda: False) -> None:
    """Puts the recorded runs that are not there yet into the store; one that cannot be read is left out and logged.

    Small ones come first: thousands of samples take seconds. Once `ended` says so, the others are left for later.
    """
    for run_id, path in sorted(recorded(folder).items(), key=lambda each: each[1].stat().st_size):
        if ended():
            return
        try:
            if store.has_run(run_id):
                continue
            report = load_report(path)
            for image in report.images:
                store.put_image(image)
            store.import_run(report.run, report.samples)
        except VQAError as problem:
            log.warning("recorded run %s: %s", run_id, problem.message())


@cache
def _ids() -> frozenset[str]:
    return frozenset(recorded())


def is_recorded(run_id: str) -> bool:
    """Returns whether a run came with the app."""
    return run_id in _ids()


def named(run: Run, lang: Language) -> str:
    """Returns the name of a run: in the reader's language where it is a recorded one that is offered as an example."""
    return t("lab.recorded_differed", lang) if run.id == DIFFERED and is_recorded(run.id) else run.name


def label(run: Run, lang: Language) -> str:
    """Returns where, with what and when a recorded run was made; empty for a run of one's own."""
    if not is_recorded(run.id):
        return ""
    machine = run.header.get("machine") or {}
    gpus = [gpu["name"] for gpu in machine.get("gpus") or ()]
    hardware = f"{len(gpus)} × {gpus[0]}" if len(gpus) > 1 else gpus[0] if gpus else machine.get("cpu") or "CPU"
    version = machine.get("vllm_version") or (run.header.get("server") or {}).get("vllm_version") or "?"
    return t("lab.recorded", lang, hardware=hardware, vllm=version, date=run.created_at.strftime("%Y-%m-%d"))
