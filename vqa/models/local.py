"""The models on this machine: the bundled one, downloads, own checkpoint folders."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from vqa.engine.folder import ADAPTER, check_folder
from vqa.errors import ModelError, VQAError
from vqa.json_file import read_value
from vqa.models.caches import CachedModel, cached_models, find_cached
from vqa.models.catalog import DEMO_ID, find
from vqa.models.elsewhere import remembered
from vqa.models.finetuned import check_complete
from vqa.models.ids import Source, check_id, folder_of, hub_of, split_revision, with_revision
from vqa.models.listing import notes_folder, read_complete, read_planned
from vqa.models.probe import PROBE_ID, ensure_probe
from vqa.models.verify import measure
from vqa.settings import DEMO_MODEL, Settings

_MARKS = ("config.json", "params.json", ADAPTER)
"""A folder with one of these is listed; whether it can be served is another question."""


class LocalState(StrEnum):
    """What is known of a model's folder."""

    BUNDLED = "bundled"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    OWN = "own"
    CACHED = "cached"
    """In the cache of a hub's own client: served in place, never written or deleted."""


@dataclass(frozen=True)
class LocalModel:
    """One model on this machine; sizes in bytes.

    Attributes:
        id: what to call it, another for each: the hub's id with the revision if one was asked for
            (`owner/name@revision`), "demo", an own folder's name or `owner/name`; the path where that is taken.
        bytes: what it takes on disk.
        total_bytes: what it will take when complete; None when that is not known.
        problem: the error code of why an own folder cannot be served; None when it can.
    """

    id: str
    path: Path
    bytes: int
    state: LocalState
    architecture: str | None = None
    source: str | None = None
    revision: str | None = None
    total_bytes: int | None = None
    date: str | None = None
    problem: VQAError | None = None


@dataclass(frozen=True)
class NeedsDownload:
    """A model that is not (completely) on this machine yet."""

    model_id: str
    """With its revision, if it has one: `owner/name@revision`."""
    folder: Path
    source: Source
    revision: str | None


def list_local(settings: Settings) -> list[LocalModel]:
    """Returns the bundled model, then by id those of the models folder, downloads elsewhere, the configured one.

    Those in the caches of the hubs' clients come last, unless the models folder has them.
    """
    home = settings.models_path
    folders = [*_folders(home), *filter(_is_model, remembered(settings))]
    found = {path: _describe(path, name_in=home) for path in folders}
    if settings.model and (own := _folder(settings.model)) and own not in found:
        found[own] = _describe(own, name_in=home)
    bundled = [_describe(DEMO_MODEL, DEMO_ID, LocalState.BUNDLED)] if DEMO_MODEL.is_dir() else []
    here = bundled + sorted(found.values(), key=lambda model: (model.id.lower(), str(model.path)))
    ids = {model.id for model in here} | {str(model.path) for model in here}
    cached = [_describe_cached(each) for each in cached_models() if not {each.id, str(each.path)} & ids]
    return _told_apart(here + sorted(cached, key=lambda model: model.id.lower()))


def _told_apart(models: list[LocalModel]) -> list[LocalModel]:
    """Returns `models` with the path for the id of all but the first of one name."""
    seen: set[str] = set()
    unique = []
    for model in models:
        unique.append(replace(model, id=str(model.path)) if model.id in seen else model)
        seen.add(model.id)
    return unique


def resolve(settings: Settings, model: str, *, templated: bool = False) -> Path | NeedsDownload:
    """Returns the folder to serve for `model`, or what has to be downloaded first.

    "" and "demo" mean the bundled model, "probe" the sensitivity probe (written when it is not there), an existing
    folder itself, `owner/name@revision` a downloaded model; without a revision, in that of the settings. With
    `templated` the chat template comes from elsewhere.

    Raises:
        VQAError: the folder cannot be served, or the id is none.
    """
    wanted = model.strip()
    if wanted in {"", DEMO_ID}:
        check_folder(DEMO_MODEL)
        return DEMO_MODEL
    if wanted == PROBE_ID:
        return ensure_probe(settings.models_path)
    if path := _folder(wanted) or (Path(wanted) if _looks_like_path(wanted) else None):
        return _check_own(path, wanted, templated=templated)
    if path := next((path for path in _folders(settings.models_path) if _own_name(path, settings) == wanted), None):
        return _check_own(path, wanted, templated=templated)
    entry, (name, named) = find(wanted), split_revision(wanted)
    model_id, revision = check_id(entry.id if entry else name), named or settings.revision
    folder = folder_of(settings, model_id, revision)
    complete = read_complete(folder)
    if complete and measure(folder, complete).files == len(complete.files):
        return folder.resolve()
    if not read_planned(folder) and _is_model(folder):  # laid there by hand, under the name that the hub gives it
        return _check_own(folder, wanted, templated=templated)
    if (cached := find_cached(with_revision(model_id, revision))) and _problem(cached.path) is None:
        return cached.path.absolute()
    planned = read_planned(folder)
    source: Source = hub_of(planned.source if planned else None) or settings.source
    return NeedsDownload(with_revision(model_id, revision), folder, source, revision)


def _check_own(path: Path, wanted: str, *, templated: bool) -> Path:
    """Returns a folder that can be served.

    Raises:
        VQAError: it cannot, and why.
    """
    complete = read_complete(path)
    if read_planned(path) and not complete:
        raise ModelError("model_incomplete", id=wanted, path=path)
    check_folder(path)
    if not complete:
        check_complete(path, templated=templated)
    return path.resolve()


def _problem(path: Path) -> VQAError | None:
    """Returns why a folder that was not downloaded by us cannot be served; None when it can."""
    try:
        check_folder(path)
        check_complete(path)
    except VQAError as found:
        return found
    return None


def _own_name(path: Path, settings: Settings) -> str | None:
    """Returns the name by which a folder of the models folder is listed; None for downloads, which have ids."""
    return None if read_planned(path) or read_complete(path) else path.relative_to(settings.models_path).as_posix()


def lock_file(folder: Path) -> Path:
    """Returns the lock that a download into `folder` holds; the operating system frees it when its holder dies."""
    notes = notes_folder(folder)
    notes.mkdir(parents=True, exist_ok=True)
    return notes / "lock"


def _folder(text: str) -> Path | None:
    """Returns the folder that `text` names, or None: also for what cannot be a path, or is too long for one."""
    try:
        path = Path(text).expanduser()
        return path if path.is_dir() else None
    except (OSError, RuntimeError):
        return None


def _looks_like_path(text: str) -> bool:
    name, _ = split_revision(text)
    return text.startswith((".", "/", "~")) or name.count("/") > 1 or (os.sep != "/" and os.sep in text)


def _folders(home: Path) -> Iterator[Path]:
    """Yields model folders at most two levels deep: `name` or `owner/name`."""
    for first in sorted(_subfolders(home)):
        if _is_model(first):
            yield first
        else:
            yield from (second for second in sorted(_subfolders(first)) if _is_model(second))


def _subfolders(path: Path) -> list[Path]:
    try:
        return [each for each in path.iterdir() if each.is_dir() and not each.name.startswith(".")]
    except OSError:
        return []


def _is_model(path: Path) -> bool:
    """Returns whether a folder holds a model, or what somebody took for one; False for one that may not be read."""
    try:
        return any((path / name).is_file() for name in _MARKS) or read_planned(path) is not None
    except OSError:
        return False


def _describe(
    path: Path, model_id: str | None = None, state: LocalState | None = None, *, name_in: Path | None = None
) -> LocalModel:
    complete, planned = read_complete(path), read_planned(path)
    listing = complete or planned
    if state is None:
        whole = complete is not None and measure(path, complete).files == len(complete.files)
        state = LocalState.COMPLETE if whole else LocalState.INCOMPLETE if listing else LocalState.OWN
    name = path.relative_to(name_in).as_posix() if name_in and path.is_relative_to(name_in) else path.name
    return LocalModel(
        id=model_id or (with_revision(listing.model_id, listing.revision) if listing else name),
        path=path,
        bytes=disk_usage(path),
        state=state,
        architecture=_architecture(path),
        source=listing.source if listing else None,
        revision=listing.revision if listing else None,
        total_bytes=listing.total_bytes if listing else None,
        date=complete.date if complete else None,
        problem=_problem(path) if state is LocalState.OWN else None,
    )


def _describe_cached(model: CachedModel) -> LocalModel:
    return LocalModel(
        id=model.id,
        path=model.path,
        bytes=disk_usage(model.path, follow=True),
        state=LocalState.CACHED,
        architecture=_architecture(model.path),
        source=model.source,
        revision=split_revision(model.id)[1],
        problem=_problem(model.path),
    )


def _architecture(path: Path) -> str | None:
    try:
        names = read_value(path / "config.json").get("architectures")
        return str(names[0]) if names else None
    except (OSError, ValueError, AttributeError, TypeError, IndexError, KeyError):
        return None


def disk_usage(path: Path, *, follow: bool = False) -> int:
    """Returns the bytes of all files below a folder; links count with their own, or with what they lead to."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                status = os.stat(os.path.join(folder, name), follow_symlinks=follow)  # noqa: PTH116, PTH118
            except OSError:
                continue
            total += status.st_size
    return total
