"""The lab over a data folder and an engine port of its own, for tests with a real vLLM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from vqa.lab.run.manager import RunManager
from vqa.settings import Settings, load_settings
from vqa.store import Store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path / "lab", engine_port=free_port())


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
