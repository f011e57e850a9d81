"""Folders outside the models folder that something was downloaded into: written down, so that they are found again."""

import contextlib
import json
from pathlib import Path

from filelock import FileLock, Timeout

from vqa.engine.record import write_json
from vqa.settings import Settings

_PATIENCE = 5.0


def remember(settings: Settings, folder: Path) -> None:
    """Writes down that `folder` holds a download; where that cannot be written, it is found by its path alone."""
    folder = folder.absolute()
    if settings.models_path.absolute() in folder.parents:
        return
    path = _path(settings)
    with contextlib.suppress(OSError, Timeout):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(path.with_suffix(".lock"), timeout=_PATIENCE):
            known = _read(path)
            if str(folder) not in known:
                write_json(path, [*known, str(folder)])


def remembered(settings: Settings) -> list[Path]:
    """Returns the folders of which `remember` was told and that are still there."""
    return [folder for folder in map(Path, _read(_path(settings))) if folder.is_dir()]


def _path(settings: Settings) -> Path:
    return settings.data_dir / "models-elsewhere.json"


def _read(path: Path) -> list[str]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [each for each in known if isinstance(each, str)] if isinstance(known, list) else []
