"""Opens the store for as long as the app runs; a public demo's is a temporary file that goes with the app."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vqa.settings import Settings
from vqa.store import Store


@contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """Yields the store of the settings.

    A public demo keeps nothing of its visitors: whatever VQA_DATABASE_URL says, their runs lie in a folder that only
    this user may enter and that is deleted at the end.

    Raises:
        StoreError: it cannot be created or opened.
    """
    if settings.public:
        with tempfile.TemporaryDirectory(prefix="vqa-visitors-", ignore_cleanup_errors=True) as folder:
            yield from _opened(f"sqlite:///{Path(folder) / 'visitors.db'}")
    else:
        yield from _opened(settings.database)


def _opened(address: str) -> Iterator[Store]:
    store = Store(address)
    try:
        yield store
    finally:
        store.close()
