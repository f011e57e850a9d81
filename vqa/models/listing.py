"""What a hub says a model consists of, and the notes about it that lie in the model's folder."""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from vqa.errors import ModelError
from vqa.json_file import read_value

NOTES = ".vqa"
"""The folder of our own notes inside a model's folder."""
_PLANNED, _COMPLETE = "listing.json", "complete.json"
_OTHER_PROGRAMS = (
    "onnx/*", "*.onnx", "*.onnx_data", "*.gguf", "*.h5", "*.msgpack", "*.tflite", "*.ot", "coreml/*", "openvino/*",
    "*.mlpackage/*", "*.pth", "original/*",
)  # fmt: skip
_LAYOUTS = {"consolidated": ("consolidated*.safetensors",), "bin": ("pytorch_model*.bin",)}
_SAME_WEIGHTS = 0.4
"""From which share of the size on two layouts are taken to hold the same weights."""
_NO_WEIGHTS = {"training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.bin", "scheduler.pt", "scaler.pt"}


@dataclass(frozen=True)
class HubFile:
    """One file of a listing; hashes as the hub gives them, None where it gives none."""

    path: str
    size: int
    sha256: str | None = None
    git_sha1: str | None = None
    """Git's own blob hash: over a header and the bytes."""


@dataclass(frozen=True)
class Listing:
    """All files that make a model complete, and which model they are."""

    model_id: str
    source: str
    revision: str | None
    commit: str | None
    files: tuple[HubFile, ...]
    left_out: tuple[str, ...] = ()
    """Files of the hub that nobody here can use: the same weights in other programs' formats."""
    date: str | None = None
    """When the download was complete (ISO 8601, UTC)."""

    @property
    def total_bytes(self) -> int:
        """The size of all files together."""
        return sum(file.size for file in self.files)

    @property
    def fingerprint(self) -> str:
        """A SHA-256 over paths, sizes and hashes: the same for the same files."""
        lines = sorted(f"{file.path}\0{file.size}\0{file.sha256 or file.git_sha1}" for file in self.files)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Returns plain values; `from_json` reads them back."""
        return {"version": 1, "fingerprint": self.fingerprint, **asdict(self)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Listing":
        """Returns what `to_json` wrote; a KeyError or TypeError when it is something else."""
        known = {key: value[key] for key in ("model_id", "source", "revision", "commit", "date")}
        files = tuple(HubFile(**file) for file in value["files"])
        return cls(files=files, left_out=tuple(value["left_out"]), **known)


def choose(files: Iterable[HubFile], *, all_files: bool = False) -> tuple[tuple[HubFile, ...], tuple[str, ...]]:
    """Returns (files to fetch, paths left out): the same weights in other formats stay out, one format is kept.

    Raises:
        ModelError: the listing is empty, has no weights that vLLM could load (with `all_files` that is not looked at),
            or a path in it would leave the model's folder.
    """
    every = sorted(files, key=lambda file: file.path)
    for file in every:
        if not safe_path(file.path):
            raise ModelError("model_unsafe_listing", path=file.path)
    if not every:
        raise ModelError("model_listing_empty")
    if all_files:
        return tuple(every), ()
    wanted = [file for file in every if not any(fnmatch(file.path, pattern) for pattern in _other_formats(every))]
    if not any(_holds_weights(file) for file in wanted):
        kinds = sorted({PurePosixPath(file.path).suffix or file.path for file in every})
        gguf = ".gguf" in kinds
        code = "model_listing_gguf" if gguf else "model_listing_without_weights"
        raise ModelError(code, files=", ".join(kinds[:8]))
    kept = {file.path for file in wanted}
    return tuple(wanted), tuple(file.path for file in every if file.path not in kept)


def _other_formats(files: list[HubFile]) -> list[str]:
    """Returns the patterns of what is left out: copies of the same weights, where those that vLLM takes are there."""
    top = [file for file in files if "/" not in file.path]
    size = {
        kind: sum(file.size for file in top if any(fnmatch(file.path, pattern) for pattern in patterns))
        for kind, patterns in _LAYOUTS.items()
    }
    main = sum(file.size for file in top if fnmatch(file.path, "*.safetensors")) - size["consolidated"]
    left: list[str] = [*_OTHER_PROGRAMS]
    # A small safetensors file beside them is a part (a projector, a head), not the same weights once more. Copies in
    # float32 are twice as large.
    if main and main >= _SAME_WEIGHTS * size["consolidated"]:
        left += _LAYOUTS["consolidated"]
    if (best := max(main, size["consolidated"])) and best >= _SAME_WEIGHTS * size["bin"]:
        left += _LAYOUTS["bin"]
    return left


def _holds_weights(file: HubFile) -> bool:
    """Returns whether vLLM could take weights from a file; it looks into no folders below."""
    suffix = PurePosixPath(file.path).suffix
    return suffix in {".safetensors", ".bin", ".pt"} and "/" not in file.path and file.path not in _NO_WEIGHTS


def safe_path(path: str) -> bool:
    """Returns whether a path of a listing stays inside the model's folder, on any system, and off our notes."""
    parts = path.replace("\\", "/").split("/")
    anchored = PurePosixPath(path).is_absolute() or any(PureWindowsPath(part).drive for part in parts)
    return bool(path) and not anchored and not {"", ".", ".."} & set(parts) and parts[0] != NOTES and "\0" not in path


def notes_folder(folder: Path) -> Path:
    """Returns the folder of our notes about the model in `folder`."""
    return folder / NOTES


def read_complete(folder: Path) -> Listing | None:
    """Returns the completion mark; None when the folder holds none, so that nothing is known to be complete."""
    return _read(folder / NOTES / _COMPLETE)


def read_planned(folder: Path) -> Listing | None:
    """Returns what a download into the folder set out to fetch; None when none was begun."""
    return _read(folder / NOTES / _PLANNED)


def write_planned(folder: Path, listing: Listing) -> None:
    """Notes what is about to be fetched and takes back an earlier completion mark."""
    (folder / NOTES / _COMPLETE).unlink(missing_ok=True)
    _write(folder / NOTES / _PLANNED, listing)


def write_complete(folder: Path, listing: Listing) -> None:
    """Puts the completion mark, at once or not at all."""
    _write(folder / NOTES / _COMPLETE, listing)


def _read(path: Path) -> Listing | None:
    try:
        return Listing.from_json(read_value(path))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, listing: Listing) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("w", encoding="utf-8") as out:
            json.dump(listing.to_json(), out, ensure_ascii=False, indent=1)
            out.flush()
            os.fsync(out.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
