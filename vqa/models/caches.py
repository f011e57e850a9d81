"""Models that other programs fetched with the hubs' own clients: found in their caches, served in place, never written.

ModelScope: `<cache>/hub/models/owner/name` and, before 2025, `<cache>/hub/owner/name`, where a dot of a name is written
`___`. Both hubs: `models--owner--name/snapshots/<commit>`, with `refs/<branch>` naming a commit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vqa.models.ids import Source, with_revision

_BRANCHES = ("main", "master")


@dataclass(frozen=True)
class CachedModel:
    """One model of a cache; `id` is the hub's, with `@revision` where it is not the default branch."""

    id: str
    path: Path
    source: Source


def cached_models() -> list[CachedModel]:
    """Returns the models in the caches of this user's clients, each id once; empty where there are none."""
    found: dict[str, CachedModel] = {}
    for each in (*_modelscope(), *_huggingface()):
        found.setdefault(each.id.lower(), each)
    return list(found.values())


def find_cached(model_id: str) -> CachedModel | None:
    """Returns the model of that id (and revision) in a cache; None when there is none."""
    wanted = model_id.lower()
    return next((each for each in cached_models() if each.id.lower() == wanted), None)


def _home(name: str, *fallback: str) -> Path:
    given = os.environ.get(name)
    return Path(given).expanduser() if given else Path("~", *fallback).expanduser()


def _modelscope() -> Iterator[CachedModel]:
    cache = _home("MODELSCOPE_CACHE", ".cache", "modelscope")
    for root in (cache / "hub" / "models", cache / "models", cache / "hub"):
        for owner in _folders(root):
            if owner.name.startswith("models--"):
                yield from _snapshots(owner, "modelscope")
                continue
            for folder in _folders(owner):
                if _is_model(folder):
                    name = folder.name.replace("___", ".")
                    yield CachedModel(f"{owner.name.replace('___', '.')}/{name}", folder, "modelscope")


def _huggingface() -> Iterator[CachedModel]:
    home = _home("HF_HOME", ".cache", "huggingface")
    hub = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    for folder in _folders(Path(hub).expanduser() if hub else home / "hub"):
        if folder.name.startswith("models--"):
            yield from _snapshots(folder, "huggingface")


def _snapshots(folder: Path, source: Source) -> Iterator[CachedModel]:
    """Yields the snapshots of one model: that of the default branch, or else the newest, by the id alone."""
    _, owner, *names = folder.name.split("--", 2)
    if not owner or not names:
        return
    name = names[0]
    commits = {_text(ref): ref.name for ref in _files(folder / "refs")}
    there = [each for each in _folders(folder / "snapshots") if _is_model(each)]
    newest = max(there, key=lambda each: each.stat().st_mtime, default=None)
    default = next((each for each in there if commits.get(each.name) in _BRANCHES), newest)
    for each in there:
        revision = None if each == default else commits.get(each.name) or each.name
        yield CachedModel(with_revision(f"{owner}/{name}", revision), each, source)


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(each for each in path.iterdir() if not each.name.startswith(".") and each.is_dir())
    except OSError:
        return []


def _files(path: Path) -> list[Path]:
    try:
        return sorted(each for each in path.iterdir() if each.is_file())
    except OSError:
        return []


def _is_model(path: Path) -> bool:
    try:
        return (path / "config.json").is_file()
    except OSError:
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
