"""Under which profile a model starts unless told otherwise, as its user decided after a diagnosis."""

from collections.abc import Mapping
from typing import Any

from vqa.engine.profiles import PROFILES
from vqa.errors import InputError
from vqa.json_file import JsonFile
from vqa.settings import Settings

USUAL = "default"


def _file(settings: Settings) -> JsonFile:
    return JsonFile(settings.data_dir / "engine" / "profiles.json")


def _known(plain: Any) -> dict[str, str]:
    """Returns the entries that name a profile of today."""
    return {m: p for m, p in plain.items() if str(p) in PROFILES} if isinstance(plain, dict) else {}


def kept_profiles(settings: Settings) -> Mapping[str, str]:
    """Returns the kept profile of each model, by the model's folder; a damaged file counts as none."""
    return _known(_file(settings).read())


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

    def kept(plain: Any) -> dict[str, str]:
        others = {name: each for name, each in _known(plain).items() if name != model}
        return others if profile == USUAL else others | {model: profile}

    _file(settings).change(kept)


def forget_profile(settings: Settings, model: str) -> None:
    """Lets the model in that folder start as it did before a profile was kept; harmless when none was.

    Raises:
        OSError: the data folder cannot be written.
    """
    keep_profile(settings, model, USUAL)
