"""Writes the twin of a catalog's model into a folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from vqa.errors import ModelError
from vqa.models.catalog import find
from vqa.models.twins import internvl, qwen_vl
from vqa.models.twins.checkpoint import Checkpoint, write_checkpoint

Maker = Callable[[bool], Checkpoint]
"""Gives the checkpoint: of the published sizes when asked so, else in miniature."""


def _makers() -> dict[str, Maker]:
    """Returns the id of every model that has a twin, with what makes it."""
    makers: dict[str, Maker] = {}
    for id_, internvl_size in internvl.FULL.items():
        makers[id_] = partial(_internvl, internvl_size)
    for id_, qwen_size in qwen_vl.FULL.items():
        makers[id_] = partial(_qwen_vl, qwen_size)
    return makers


def _internvl(size: internvl.Size, full: bool) -> Checkpoint:
    return internvl.checkpoint(size if full else internvl.tiny(size))


def _qwen_vl(size: qwen_vl.Size, full: bool) -> Checkpoint:
    return qwen_vl.checkpoint(size if full else qwen_vl.tiny(size))


TWINS = _makers()


def plan_twin(model_id: str, *, full: bool = False) -> Checkpoint:
    """Returns the twin of a model, not yet written.

    Raises:
        ModelError: there is none of it.
    """
    entry = find(model_id)
    known = entry.id if entry else model_id
    if known not in TWINS:
        raise ModelError("twin_unknown", id=model_id, known=", ".join(TWINS))
    return TWINS[known](full)


def write_twin(model_id: str, folder: Path, *, full: bool = False, seed: int = 0) -> int:
    """Writes the twin into `folder`, replacing a twin that is there; returns the bytes of its weights.

    The same arguments give the same bytes. Another seed gives other weights.

    Raises:
        ModelError: there is no twin of that model, or the folder cannot be written or holds something else.
    """
    checkpoint = plan_twin(model_id, full=full)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        if folder.exists() and any(folder.iterdir()) and not _is_twin(folder):
            raise ModelError("model_target_not_ours", path=folder)
        beside.mkdir(parents=True)
        size = write_checkpoint(beside, checkpoint, seed)
        if folder.exists():
            shutil.rmtree(folder)
        beside.replace(folder)
    except OSError as problem:
        raise ModelError("model_target_invalid", path=folder, reason=problem.strerror or str(problem)) from problem
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return size


def _is_twin(folder: Path) -> bool:
    try:
        return "vqa_twin" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
