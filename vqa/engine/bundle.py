"""What somebody else needs to find out why an engine ended: versions, flags and the log, without secrets."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from vqa.answers import Json
from vqa.engine.logfile import older
from vqa.errors import InputError

SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|AUTH|CREDENTIAL|COOKIE", re.I)
"""Of an environment variable whose value nobody else shall see."""
LEAST_SECRET = 6
"""Characters; a shorter value would be found in everything."""
HIDDEN = "[hidden]"
_SHAPES = (
    re.compile(r"(?P<kept>\bBearer\s+)\S+", re.I),
    re.compile(r"(?P<kept>--api-key[ =])\S+"),
    re.compile(r"(?P<kept>['\"]?api_key['\"]?\s*[:=]\s*\[?['\"])[^'\"]+"),
    re.compile(r"(?P<kept>://)[^/\s:@]+:[^/\s@]+(?=@)"),
    re.compile(r"(?P<kept>)\bhf_[A-Za-z0-9]{16,}"),
    re.compile(r"(?P<kept>)\bms-[0-9a-f]{8}-[0-9a-f-]{20,}"),
)
"""Keys, passwords in addresses and tokens of the hubs, wherever they stand."""


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Returns a text in which neither these secrets stand nor anything in the shape of one, nor the home folder."""
    for secret in sorted({each for each in secrets if len(each) >= LEAST_SECRET}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for shape in _SHAPES:
        text = shape.sub(rf"\g<kept>{HIDDEN}", text)
    return text.replace(str(Path.home()), "~") if len(str(Path.home())) > 1 else text


def secrets_of(environment: Mapping[str, str]) -> list[str]:
    """Returns the values of an environment whose names say that they are secret."""
    return [value for name, value in environment.items() if SECRET_NAME.search(name)]


def write_bundle(path: Path, facts: Mapping[str, Json], logs: Iterable[Path], secrets: Iterable[str]) -> list[str]:
    """Writes a zip file with a JSON file for each of the facts and the logs that there are; returns their names.

    Raises:
        InputError: the file cannot be written.
    """
    hidden = [*secrets, *secrets_of(os.environ)]
    parts = {f"{name}.json": json.dumps(value, ensure_ascii=False, indent=1) for name, value in facts.items()}
    for log in logs:
        for part in (older(log), log):
            if part.is_file():
                parts[part.name] = part.read_text("utf-8", "replace")
    try:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, text in parts.items():
                file.writestr(name, without_secrets(text, hidden))
    except OSError as problem:
        raise InputError("output_unwritable", path=path, reason=problem.strerror or str(problem)) from problem
    return list(parts)
