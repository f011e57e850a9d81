"""Looks whether a folder holds a checkpoint that could be served; reads names and small JSON files, no weights."""

import json
import os
from pathlib import Path

from vqa.errors import InputError

_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def check_folder(folder: Path) -> None:
    """Returns nothing when `folder` could be a model's.

    Raises:
        InputError: it is missing, no folder, unreadable, empty, or without a config or (some of its) weights.
    """
    path = str(folder)
    try:
        if not folder.exists():
            raise InputError("model_folder_missing", path=path)
        if not folder.is_dir():
            raise InputError("model_folder_no_folder", path=path)
        names = {each.name for each in folder.iterdir()}
        if not os.access(folder, os.R_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", path)
    except (OSError, ValueError) as problem:
        raise InputError("model_folder_unreadable", path=path, reason=str(problem)) from problem
    if not names:
        raise InputError("model_folder_empty", path=path)
    if "config.json" not in names and "params.json" not in names and not list(folder.glob("*.gguf")):
        raise InputError("model_folder_without_config", path=path)
    if "config.json" in names:
        _json(folder / "config.json")
    if not any(each.stat().st_size for pattern in _WEIGHTS for each in folder.glob(pattern)):
        raise InputError("model_folder_without_weights", path=path)
    for index in _INDEXES:
        if index in names and (lacking := sorted(_shards(folder / index) - names)):
            raise InputError("model_folder_incomplete", path=path, count=len(lacking), first=lacking[0])


def _json(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise InputError("model_folder_bad_json", path=str(path), reason=str(problem)) from problem
    if not isinstance(value, dict):
        raise InputError("model_folder_bad_json", path=str(path), reason="not an object")
    return value


def _shards(index: Path) -> set[str]:
    weights = _json(index).get("weight_map")
    return {str(name) for name in weights.values()} if isinstance(weights, dict) else set()
