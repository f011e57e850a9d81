"""Where a data set's files lie: folders or a zip; finds a picture by what a row calls it. Knows no format."""

from __future__ import annotations

import io
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import IO

from vqa.errors import InputError
from vqa.evaluate.reading.values import PictureSource

PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif")
TABLE_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
SUBFOLDERS = ("", "images", "image", "imgs", "img", "pictures", "png", "data")
MOST_FILES = 2_000_000
SPILL = 16_000_000
OPEN = 4
"""Archives that are held open."""


class Place(ABC):
    """Files by their path; `find` returns a picture by any name that a row may give it."""

    @abstractmethod
    def names(self) -> Iterator[str]:
        """Yields the path of every file, `/` between folders, from the place's own root."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Returns whether there is a file at this path."""

    @abstractmethod
    def source(self, name: str, shown: str) -> PictureSource:
        """Returns the picture at a path that exists."""

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Opens a file that exists; it can be sought in."""

    def find(self, name: str) -> PictureSource | None:
        """Returns the picture that a row calls `name`, or None.

        Tried are the path as it is, within the usual sub-folders, with the usual endings, and last the file name or
        the trailing number alone, if just one picture here has it.
        """
        wanted = name.strip().replace("\\", "/").removeprefix("./")
        if not wanted:
            return None
        known = wanted.lower().endswith(PICTURE_ENDINGS)
        for candidate in (wanted,) if known else (wanted, *(wanted + ending for ending in PICTURE_ENDINGS)):
            for folder in SUBFOLDERS:
                path = f"{folder}/{candidate}" if folder else candidate
                if self.has(path):
                    return self.source(path, name)
        stem = PurePosixPath(wanted).name.lower()
        stem = stem if known or not stem.isdigit() else str(int(stem))
        path = self._index.get(stem, "")
        return self.source(path, name) if path else None

    @cached_property
    def _index(self) -> dict[str, str]:
        """Paths by lower-case file name, name without ending, and number that a name ends in; "" where several fit.

        COCO calls picture 42 COCO_val2014_000000000042.jpg.
        """
        found: dict[str, str] = {}
        for count, path in enumerate(self.names()):
            if count >= MOST_FILES:
                break
            name = PurePosixPath(path).name.lower()
            if not name.endswith(PICTURE_ENDINGS):
                continue
            stem = name.rpartition(".")[0]
            keys = {name, stem}
            if number := re.search(r"(\d+)$", stem):
                keys.add(str(int(number[1])))
            for key in keys:
                found[key] = path if key not in found else ""
        return found


class Folder(Place):
    """A folder with all below it. `confined` keeps a data set that came from elsewhere from naming files outside."""

    def __init__(self, root: Path, *, confined: bool = False) -> None:
        self.root = root
        self._confined = confined

    def names(self) -> Iterator[str]:
        """Yields every file below the folder."""
        for folder, _, files in self.root.walk() if hasattr(self.root, "walk") else _walk(self.root):
            for name in sorted(files):
                yield (folder / name).relative_to(self.root).as_posix()

    def has(self, name: str) -> bool:
        """Returns whether there is such a file; an absolute path is one too where the folder is not confined."""
        try:
            path = self.root / name
            if self._confined and not path.resolve().is_relative_to(self.root.resolve()):
                return False
            return path.is_file()
        except (OSError, ValueError):
            return False  # a text too long for a path, or with a NUL in it

    def source(self, name: str, shown: str) -> PictureSource:
        """Returns the file as a picture."""
        return PictureSource(shown, path=self.root / name)

    def open(self, name: str) -> IO[bytes]:
        """Opens the file."""
        return (self.root / name).open("rb")


def _walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    import os

    for folder, folders, files in os.walk(root):
        folders.sort()
        yield Path(folder), folders, files


class Archive(Place):
    """A zip, read in place: nothing is unpacked to the disk but a table that must be sought in."""

    def __init__(self, path: Path) -> None:
        """Raises InputError when it is no zip."""
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as problem:
            raise InputError("dataset_unreadable", path=path, reason=str(problem)) from problem
        entries = [entry for entry in self._zip.infolist() if not entry.is_dir() and "__MACOSX" not in entry.filename]
        names = [_readable(entry).replace("\\", "/") for entry in entries]
        # Most zips hold one folder that holds all.
        tops = {name.split("/", 1)[0] for name in names}
        top = f"{tops.pop()}/" if len(tops) == 1 and all("/" in name for name in names) else ""
        self._members = {name.removeprefix(top): entry.filename for name, entry in zip(names, entries, strict=True)}

    def names(self) -> Iterator[str]:
        """Yields every member."""
        yield from self._members

    def has(self, name: str) -> bool:
        """Returns whether there is such a member."""
        return name in self._members

    def source(self, name: str, shown: str) -> PictureSource:
        """Returns the member as a picture."""
        return PictureSource(shown, path=self._path, member=self._members[name])

    def open(self, name: str) -> IO[bytes]:
        """Opens a member; a large one through a temporary file, since a packed stream is slow to seek in."""
        import shutil
        import tempfile

        try:
            with self._zip.open(self._members[name]) as member:
                spilled = tempfile.SpooledTemporaryFile(SPILL)  # noqa: SIM115 - whoever asked for it closes it
                shutil.copyfileobj(member, spilled, 1 << 20)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError) as problem:
            raise InputError("dataset_unreadable", path=name, reason=str(problem)) from problem
        spilled.seek(0)
        return io.BufferedReader(spilled) if isinstance(spilled, io.RawIOBase) else spilled


def _readable(entry: zipfile.ZipInfo) -> str:
    """Returns a member's name; a zip made on Chinese Windows holds names in GBK without saying so."""
    if entry.flag_bits & 0x800 or entry.filename.isascii():
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("gb18030")
    except UnicodeError:
        return entry.filename


@lru_cache(maxsize=OPEN)
def _opened(path: Path, _changed: int, _size: int) -> zipfile.ZipFile:
    """Returns an archive that other threads may read from, too; another one once the file has changed."""
    return zipfile.ZipFile(path)


def read_member(path: Path, member: str, limit: int) -> bytes:
    """Returns a member's bytes, at most one more than `limit`; safe to call from several threads.

    The last archives stay open: to open one reads its whole list of members, 100 ms for 10,000 of them.

    Raises:
        InputError: it cannot be read or unpacked.
    """
    try:
        state = path.stat()
        archive = _opened(path, state.st_mtime_ns, state.st_size)
        with archive.open(member) as file:
            return file.read(limit + 1)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError, KeyError) as problem:
        raise InputError("image_unreadable", path=member, reason=str(problem)) from problem
