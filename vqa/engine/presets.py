"""Named specs that a user saved in the data folder."""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from vqa.engine.access import engine_args
from vqa.engine.flags import HARMLESS
from vqa.engine.spec import EngineSpec
from vqa.errors import InputError
from vqa.json_file import JsonFile
from vqa.settings import Settings

_NAME = re.compile(r"\w[\w .-]{0,59}")


def _file(settings: Settings) -> JsonFile:
    return JsonFile(settings.data_dir / "engine" / "presets.json")


def _without(spec: EngineSpec, own: Collection[str] = ()) -> EngineSpec:
    """Returns `spec` with those extra flags alone that a pasted command may bring, and none of the operator's `own`."""
    kept = (word for word in spec.extra_args if word.partition("=")[0] in HARMLESS and word not in own)
    return replace(spec, extra_args=tuple(kept))


def load_presets(settings: Settings) -> Mapping[str, EngineSpec]:
    """Returns all saved presets by name, sorted; a damaged file counts as none."""
    return _known(_file(settings).read())


def _known(plain: Any) -> dict[str, EngineSpec]:
    try:
        return {name: _without(EngineSpec.from_dict(plain[name])) for name in sorted(plain or ())}
    except (ValueError, TypeError, AttributeError, KeyError):
        return {}


def save_preset(settings: Settings, name: str, spec: EngineSpec) -> None:
    """Saves `spec` under `name`, over one of the same name; the operator's own flags are not saved with it.

    They stand in `.env` alone: a preset that held them would go on giving them after they were changed there.

    Raises:
        InputError: the name, or the operator's own flags, cannot be used.
        OSError: the data folder cannot be written.
    """
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise InputError("preset_name", name=name)
    spec = _without(spec, engine_args(settings))
    _file(settings).change(lambda plain: {key: each.to_dict() for key, each in {**_known(plain), name: spec}.items()})


def get_preset(settings: Settings, name: str) -> EngineSpec:
    """Returns the preset `name`.

    Raises:
        InputError: there is none.
    """
    presets = load_presets(settings)
    if not name:
        raise InputError("preset_unchosen")
    if name not in presets:
        raise InputError("preset_missing", name=name)
    return presets[name]


def delete_preset(settings: Settings, name: str) -> None:
    """Removes the preset `name`.

    Raises:
        InputError: there is none.
    """
    get_preset(settings, name)
    _file(settings).change(lambda plain: {key: each.to_dict() for key, each in _known(plain).items() if key != name})
