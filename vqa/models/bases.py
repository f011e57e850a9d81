"""Which base model on this machine a fine-tuned folder can be completed from."""

from __future__ import annotations

from pathlib import Path

from vqa.errors import InputError, VQAError
from vqa.models.finetuned import base_model, copy_from_base
from vqa.models.local import LocalModel, NeedsDownload, resolve
from vqa.settings import Settings


def base_folder(settings: Settings, folder: Path, base: str | None = None) -> Path:
    """Returns the folder of the model that `folder` was made from: `base`, an id or a folder, or what it names itself.

    Raises:
        VQAError: it names none, that one is not on this machine, or cannot be served itself.
    """
    wanted = base or base_model(folder)
    if wanted is None:
        raise InputError("model_base_unknown", path=folder)
    try:
        found = resolve(settings, wanted)
    except VQAError as problem:
        if problem.code == "model_folder_missing":  # a path of the machine on which it was trained
            raise InputError("model_base_missing", base=wanted) from problem
        raise
    if isinstance(found, NeedsDownload):
        raise InputError("model_base_missing", base=wanted)
    return found


def complete(settings: Settings, folder: Path, base: str | None = None) -> list[str]:
    """Copies what a fine-tuned folder lacks from its base model; returns the names of the files.

    Raises:
        VQAError: as `base_folder`; or the folder cannot be written.
    """
    return copy_from_base(folder, base_folder(settings, folder, base))


def completable(settings: Settings, local: list[LocalModel]) -> dict[Path, Path]:
    """Returns the fine-tuned folders that lack files, each with the base model's folder that has them."""
    found = {}
    for model in local:
        if model.problem is not None and model.problem.code == "model_folder_lacks":
            try:
                found[model.path] = base_folder(settings, model.path)
            except VQAError:
                continue
    return found
