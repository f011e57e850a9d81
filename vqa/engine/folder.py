"""Looks whether a folder holds a checkpoint that vLLM could load: names, small JSON files, headers of weight files.

`check_folder` returns nothing or raises an `InputError` that says what the folder is instead. No weights are read.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from vqa.errors import InputError
from vqa.json_file import read_value

_WEIGHTS = (".safetensors", ".bin", ".pt")
_NO_WEIGHTS = {"training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.bin", "scheduler.pt", "scaler.pt"}
"""What trainers leave beside the weights; vLLM skips the same."""
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json", "consolidated.safetensors.index.json")
_LFS = b"version https://git-lfs"
"""The beginning of a pointer that git leaves where git-lfs was not installed (git-lfs/git-lfs, docs/spec.md)."""
_LONGEST_POINTER = 1024
ADAPTER = "adapter_config.json"


def check_folder(folder: Path) -> None:
    """Returns nothing when `folder` could be a model's.

    Raises:
        InputError: it is missing, no folder, unreadable, empty, or no (whole) checkpoint: without a config or weights,
            a LoRA adapter, GGUF, pointers of git-lfs, with a file that is cut off or a link that leads nowhere.
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
        _check_contents(folder, names)
    except (OSError, ValueError) as problem:
        raise InputError("model_folder_unreadable", path=path, reason=str(problem)) from problem


def weight_files(folder: Path) -> list[Path]:
    """Returns the files at the top of a folder whose names are those of weights, by name; links that lead nowhere too.

    Raises:
        OSError: it cannot be read.
    """
    files = (each for each in folder.iterdir() if each.suffix in _WEIGHTS and each.name not in _NO_WEIGHTS)
    return sorted(each for each in files if not each.name.startswith("adapter_"))


def read_json(path: Path) -> dict[str, object]:
    """Returns the object in a JSON file.

    Raises:
        InputError: it cannot be read, or is none.
    """
    try:
        value = read_value(path)
    except (OSError, ValueError) as problem:
        raise InputError("model_folder_bad_json", path=str(path), reason=str(problem)) from problem
    if not isinstance(value, dict):
        raise InputError("model_folder_bad_json", path=str(path), reason="not an object")
    return value


def base_of(folder: Path) -> str | None:
    """Returns the model that a LoRA adapter in `folder` belongs to, as its own configuration names it."""
    try:
        base = read_json(folder / ADAPTER).get("base_model_name_or_path")
    except InputError:
        return None
    return str(base) if base else None


def _check_contents(folder: Path, names: set[str]) -> None:
    path = str(folder)
    if not names:
        raise InputError("model_folder_empty", path=path)
    weights = weight_files(folder)
    for each in weights:
        if each.is_symlink() and not each.exists():
            raise InputError("model_folder_dangling", path=path, file=each.name)
    if pointers := [each.name for each in weights if _is_pointer(each)]:
        raise InputError("model_folder_lfs", path=path, count=len(pointers), first=pointers[0])
    if not weights:
        _tell_what_it_is(folder, names)
    if "config.json" not in names and "params.json" not in names:
        raise InputError("model_folder_without_config", path=path)
    if "config.json" in names:
        read_json(folder / "config.json")
    if not weights:
        raise InputError("model_folder_without_weights", path=path)
    for index in _INDEXES:
        if index in names and (lacking := sorted(_shards(folder / index) - names)):
            raise InputError("model_folder_incomplete", path=path, count=len(lacking), first=lacking[0])
    _check_headers(path, weights)


def _tell_what_it_is(folder: Path, names: set[str]) -> None:
    """Refuses, by name, what people take for a checkpoint."""
    path = str(folder)
    if ADAPTER in names:
        raise InputError("model_folder_lora", path=path, base=base_of(folder) or "-", name=folder.name)
    if any(name.endswith(".gguf") for name in names):
        raise InputError("model_folder_gguf", path=path)
    below = sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    for each in below:
        if os.access(each, os.R_OK | os.X_OK) and (weight_files(each) or (each / ADAPTER).is_file()):
            raise InputError("model_folder_nested", path=path, folder=str(each))


def _check_headers(path: str, weights: Iterable[Path]) -> None:
    """Refuses files that are empty or cut off: safetensors by their headers, which say how long the file must be."""
    from safetensors import SafetensorError, safe_open

    for each in weights:
        if not each.stat().st_size:
            raise InputError("model_folder_cut", path=path, file=each.name, reason="0 bytes")
        if each.suffix != ".safetensors":
            continue
        try:
            with safe_open(each, framework="numpy"):
                pass
        except SafetensorError as problem:
            raise InputError("model_folder_cut", path=path, file=each.name, reason=str(problem)) from problem


def _is_pointer(path: Path) -> bool:
    if path.stat().st_size > _LONGEST_POINTER:
        return False
    with path.open("rb") as content:
        return content.read(len(_LFS)) == _LFS


def _shards(index: Path) -> set[str]:
    weights = read_json(index).get("weight_map")
    return {str(name) for name in weights.values()} if isinstance(weights, dict) else set()
