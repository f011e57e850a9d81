"""Writes the twin of a catalog's model into a folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from vqa.errors import ModelError
from vqa.models.twins import gemma3, glm4v, idefics3, internvl, lfm2_vl, llava_onevision, mistral3, qwen3_5, qwen_vl
from vqa.models.twins.checkpoint import Checkpoint, write_checkpoint

Size = TypeVar("Size")
Maker = Callable[[bool], Checkpoint]
"""Gives the checkpoint: of the published sizes when asked so, else in miniature."""


def _family(
    sizes: Mapping[str, Size], tiny: Callable[[Size], Size], checkpoint: Callable[[Size], Checkpoint]
) -> dict[str, Maker]:
    def make(size: Size, full: bool) -> Checkpoint:
        return checkpoint(size if full else tiny(size))

    return {id_: partial(make, size) for id_, size in sizes.items()}


TWINS: dict[str, Maker] = {
    **_family(internvl.FULL, internvl.tiny, internvl.checkpoint),
    **_family(qwen_vl.FULL, qwen_vl.tiny, qwen_vl.checkpoint),
    **_family(qwen3_5.FULL, qwen3_5.tiny, qwen3_5.checkpoint),
    **_family(idefics3.FULL, idefics3.tiny, idefics3.checkpoint),
    **_family(lfm2_vl.FULL, lfm2_vl.tiny, lfm2_vl.checkpoint),
    **_family(gemma3.FULL, gemma3.tiny, gemma3.checkpoint),
    **_family(llava_onevision.FULL, llava_onevision.tiny, llava_onevision.checkpoint),
    **_family(glm4v.FULL, glm4v.tiny, glm4v.checkpoint),
    **_family(mistral3.FULL, mistral3.tiny, mistral3.checkpoint),
}
"""The id of every model that has a twin, with what makes it."""
NOT_MADE = {
    "openbmb/minicpm-v": "twin_custom_processor",
    "microsoft/phi-4-multimodal": "twin_custom_processor",
    "mistralai/pixtral": "twin_mistral_common",
}
"""How the id of a model begins that vLLM serves and no twin is made of, with the text that says why."""


def plan_twin(model_id: str, *, full: bool = False) -> Checkpoint:
    """Returns the twin of a model, not yet written.

    Raises:
        ModelError: there is none of it; its text says why where that is known.
    """
    wanted = model_id.strip().lower()
    for start, code in NOT_MADE.items():
        if wanted.startswith(start):
            raise ModelError(code, id=model_id, known=", ".join(TWINS))
    known = next((id_ for id_ in TWINS if id_.lower() == wanted), None)
    if known is None:
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


def alike(model_id: str) -> tuple[str, ...]:
    """Returns the other models whose tiny twins are the very same: their layout is alike, only their sizes differ."""
    own = _layout(model_id)
    return tuple(other for other in TWINS if other != model_id and _layout(other) == own)


def _layout(model_id: str) -> tuple[object, ...]:
    checkpoint = plan_twin(model_id)
    return (checkpoint.config, checkpoint.vocabulary, tuple(checkpoint.tensors()), checkpoint.files)
