"""A store, a run manager and a small picture for the lab's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.made import picture
from vqa.lab.run.manager import RunManager
from vqa.media.images import ImagePayload
from vqa.settings import Settings, load_settings
from vqa.store import Store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path / "data", request_timeout=20.0)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = Store(settings.database)
    yield opened
    opened.close()


@pytest.fixture
def manager(store: Store, settings: Settings) -> Iterator[RunManager]:
    made = RunManager(store, settings)
    yield made
    made.close()


@pytest.fixture(scope="session")
def image() -> ImagePayload:
    return picture()
