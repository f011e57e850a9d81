"""What the tests of asking share: a start of the app takes as long as several of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.lab_app import FaultyApp, faulty_app


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyApp]:
    """An app whose store holds whatever other tests asked; a module that needs one of its own imports `faulty`."""
    with faulty_app(tmp_path_factory.mktemp("faulty")) as app:
        yield app
