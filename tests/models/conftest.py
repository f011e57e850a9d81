"""What the tests of downloads share: a hub, settings that point at it, and a look at what is left afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.fakes.hub import FakeHub, model_files
from vqa.models.ids import Source
from vqa.settings import Settings

ID = "maker/tiny-vl"
BIG = "model-00001-of-00002.safetensors"
MakeSettings = Callable[..., Settings]


@pytest.fixture
def files() -> dict[str, bytes]:
    """The files of the model that the hub has: 12 MiB of weights in two shards."""
    return model_files(12)


@pytest.fixture
def hub(files: dict[str, bytes]) -> Iterator[FakeHub]:
    """A hub on loopback with one model."""
    with FakeHub({ID: files}) as running:
        yield running


@pytest.fixture
def make_settings(hub: FakeHub, tmp_path: Path) -> MakeSettings:
    """Settings of a fresh data folder that point at the hub."""

    def make(source: Source = "modelscope", **values: object) -> Settings:
        fields = {"data_dir": tmp_path / "data", "hub_endpoint": hub.url, "source": source} | values
        return Settings(_env_file=None, **fields)

    return make


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Every test ends without a child process and without a file that it opened."""
    if "in_engine" in request.fixturenames:
        request.getfixturevalue("in_engine")  # one process for all tests
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    # The clients retry for half a minute; once is enough to see that they do.
    monkeypatch.setenv("MODELSCOPE_DOWNLOAD_MAX_RETRIES", "1")
    monkeypatch.setenv("MODELSCOPE_REPO_TREE_PAGE_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    me = psutil.Process()
    children, opened = set(me.children(recursive=True)), {each.path for each in me.open_files()}
    yield
    assert set(me.children(recursive=True)) <= children
    assert {each.path for each in me.open_files() if Path(each.path).exists()} <= opened
