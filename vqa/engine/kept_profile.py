"""Under which profile a model starts unless told otherwise, as its user decided after a diagnosis."""

import json
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from vqa.engine.profiles import PROFILES
from vqa.engine.record import write_json
from vqa.errors import InputError
from vqa.settings import Settings

USUAL = "default"


def _file(settings: Settings) -> Path:
    return settings.data_dir / "engine" / "profiles.json"


def kept_profiles(settings: Settings) -> Mapping[str, str]:
    """Returns the kept profile of each model, by the model's folder; a damaged file counts as none."""
    try:
        plain = json.loads(_file(settings).read_text(encoding="utf-8"))
        return {model: profile for model, profile in plain.items() if str(profile) in PROFILES}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def kept_profile(settings: Settings, model: str) -> str | None:
    """Returns the profile that was kept for the model in that folder, or None."""
    return kept_profiles(settings).get(model)


def keep_profile(settings: Settings, model: str, profile: str) -> None:
    """Lets every later start of the model in that folder use `profile`; `default` forgets what was kept.

    Raises:
        InputError: there is no such profile.
        OSError: the data folder cannot be written.
    """
    if profile not in PROFILES:
        raise InputError("profile_unknown", name=profile, known=", ".join(PROFILES))
    path = _file(settings)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(path.with_suffix(".lock")):
        others = {name: kept for name, kept in kept_profiles(settings).items() if name != model}
        write_json(path, others if profile == USUAL else {**others, model: profile})


def forget_profile(settings: Settings, model: str) -> None:
    """Lets the model in that folder start as it did before a profile was kept; harmless when none was.

    Raises:
        OSError: the data folder cannot be written.
    """
    keep_profile(settings, model, USUAL)
