"""Folders outside the models folder that something was downloaded into: written down, so that they are found again."""

import contextlib
from pathlib import Path
from typing import Any

from vqa.json_file import JsonFile
from vqa.settings import Settings

_PATIENCE = 5.0
"""Seconds that writing one down may wait for another process."""


def remember(settings: Settings, folder: Path) -> None:
    """Writes down that `folder` holds a download; where that cannot be written, it is found by its path alone."""
    folder = folder.absolute()
    if settings.models_path.absolute() in folder.parents:
        return
    with contextlib.suppress(OSError):
        _file(settings).change(lambda plain: [*_known(plain), *({str(folder)} - {*_known(plain)})])


def remembered(settings: Settings) -> list[Path]:
    """Returns the folders of which `remember` was told and that are still there."""
    return [folder for folder in map(Path, _known(_file(settings).read())) if folder.is_dir()]


def _file(settings: Settings) -> JsonFile:
    return JsonFile(settings.data_dir / "models-elsewhere.json", patience=_PATIENCE)


def _known(plain: Any) -> list[str]:
    return [each for each in plain if isinstance(each, str)] if isinstance(plain, list) else []
