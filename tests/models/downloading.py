"""What the tests of downloads share: a hub that is held half-way, and what lies on disk then."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub
from tests.models.conftest import BIG, ID
from vqa.errors import ModelError
from vqa.models.download import Download, DownloadState
from vqa.models.listing import read_planned
from vqa.models.verify import partial_of
from vqa.settings import Settings

BOTH = pytest.mark.parametrize("source", ["modelscope", "huggingface"])
MIB = 1024 * 1024


def same(folder: Path, files: dict[str, bytes]) -> bool:
    return all((folder / path).read_bytes() == content for path, content in files.items())


def hold(hub: FakeHub, after: int = 4 * MIB) -> None:
    """Lets large files stop half-way until `release`."""
    hub.faults.hold_after = after
    hub.holding.clear()
    hub.go_on.clear()


def release(hub: FakeHub) -> None:
    hub.faults.hold_after = None
    hub.go_on.set()


def begun(folder: Path) -> int:
    """The bytes of the large shard `BIG` that lie on disk in part, wherever the client keeps them, and of no other."""
    planned = read_planned(folder)
    ours = [partial_of(folder, file) for file in (planned.files if planned else ()) if file.path == BIG]
    return max((path.stat().st_size for path in (folder / f"{BIG}.incomplete", *ours) if path.exists()), default=0)


def half_way(hub: FakeHub, running: Download) -> None:
    """Starts the download and returns when the held shard's first bytes lie on disk."""
    running.start()
    assert hub.holding.wait(60)
    while begun(running.folder) < 3 * MIB:
        assert running.progress().state is not DownloadState.FAILED
        time.sleep(0.02)


def failure(settings: Settings, **arguments: object) -> ModelError:
    with Download(settings, ID, **arguments) as running, pytest.raises(ModelError) as caught:
        running.start().wait(90)
    assert running.progress().state is DownloadState.FAILED
    for language in ("en", "zh"):
        assert len(caught.value.message(language)) > 8
        assert len(caught.value.hint(language)) > 8
    return caught.value
