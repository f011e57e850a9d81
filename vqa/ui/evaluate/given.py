"""What a user gave to the Evaluate tab: files are kept in the data folder, so that a run can go on later."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from vqa.errors import InputError, VQAError
from vqa.evaluate.reading import BadRow, Dataset, Reading, Row, parse_columns
from vqa.evaluate.reading.pictures import load_local
from vqa.media.images import ImageLimits
from vqa.settings import ASSETS, Settings

SHOWN = 10
PICTURES_SHOWN = 4
SIDE = 168
SCENES = ASSETS / "datasets" / "scenes.zip"


def easy_vqa() -> Path | None:
    """Returns the folder of easy-VQA's test questions where that package is installed."""
    spec = find_spec("easy_vqa")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "data" / "test"
    return folder if folder.is_dir() else None


def keep(files: Sequence[str], pictures: Sequence[str], settings: Settings) -> tuple[Path, tuple[Path, ...]]:
    """Copies what was uploaded into the data folder; returns the data set and where its pictures are.

    Equal uploads share one copy: the folder is named by the names and sizes of the files and the bytes of the first.
    """
    hashed = sha256(Path(files[0]).read_bytes() if Path(files[0]).stat().st_size < 1 << 28 else b"")
    for name in (*files, *pictures):
        hashed.update(f"{Path(name).name}\0{Path(name).stat().st_size}\n".encode())
    folder = settings.data_dir / "datasets" / hashed.hexdigest()[:16]
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name in files:
        _copy(Path(name), folder)
    places: list[Path] = [folder / "images"] if pictures else []
    for name in pictures:
        if Path(name).suffix.lower() in {".zip", ".parquet"}:
            places.append(_copy(Path(name), folder))
        else:
            _copy(Path(name), folder / "images")
    data = folder / Path(files[0]).name if len(files) == 1 else folder
    return data, tuple(places)


def _copy(source: Path, folder: Path) -> Path:
    goal = folder / source.name
    if not goal.exists() or goal.stat().st_size != source.stat().st_size:
        shutil.copyfile(source, goal)
    return goal


def reading_of(
    settings: Settings,
    files: Sequence[str] | None,
    pictures: Sequence[str] | None,
    path: str,
    images_path: str,
    form: str,
    columns: str,
    prompt: str,
    system: str,
) -> Reading:
    """Returns how the form wants a data set to be read.

    Raises:
        InputError: none is chosen.
    """
    told: dict[str, Any] = {
        "format": form or None,
        "columns": parse_columns(columns or ""),
        "prompt": prompt.strip() or None,
        "system": system.strip() or None,
    }
    if path and path.strip():
        images = (Path(images_path.strip()).expanduser(),) if images_path and images_path.strip() else ()
        return Reading(Path(path.strip()).expanduser(), images=images, **told)
    if not files:
        raise InputError("dataset_missing")
    data, places = keep(list(files), list(pictures or ()), settings)
    return Reading(data, images=places, confined=True, **told)


def first_rows(dataset: Dataset, limits: ImageLimits) -> list[tuple[list[bytes], str, tuple[str, ...], str]]:
    """Returns the first rows: small pictures, the text as it is sent, expected answers, and what is wrong."""
    found: list[tuple[list[bytes], str, tuple[str, ...], VQAError | None]] = []
    for row in islice(dataset.rows(), SHOWN):
        if isinstance(row, BadRow):
            found.append(([], "", (), row.error))
            continue
        pictures, problem = small_pictures(row, limits)
        found.append((pictures, dataset.text_of(row), row.answers, problem))
    return [(pics, text, answers, "" if bad is None else str(bad)) for pics, text, answers, bad in found]


def small_pictures(row: Row, limits: ImageLimits) -> tuple[list[bytes], VQAError | None]:
    """Returns small copies of a row's pictures, those on the web left out, and the first problem."""
    made: list[bytes] = []
    for source in row.pictures[:PICTURES_SHOWN]:
        if source.address:
            continue
        try:
            made.append(load_local(source, limits).thumbnail(SIDE))
        except VQAError as problem:
            return made, problem
    return made, None


def pictures_at(dataset: Dataset, places: set[int], limits: ImageLimits) -> dict[int, list[bytes]]:
    """Returns small pictures of some rows, read again from the data set; none where it is gone."""
    found: dict[int, list[bytes]] = {}
    if not places:
        return found
    last = max(places)
    with suppress(VQAError):
        for row in islice(dataset.rows(), last + 1):
            if row.place in places and isinstance(row, Row):
                found[row.place] = small_pictures(row, limits)[0]
    return found
