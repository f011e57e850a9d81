"""Runs, samples, pictures and conversations in SQL (SQLite unless told otherwise).

What was stored before a crash is readable after it. `plan["images"]` of a run and `images` of a message hold the
SHA-256 of the pictures that they use: a picture that nothing names any more goes with the last that named it.
"""

from vqa.store.chats import ChatStore
from vqa.store.evaluations import EvaluationStore, StoredRow
from vqa.store.rows import MEASURED, Run

__all__ = ["MEASURED", "Run", "Store", "StoredRow"]


class Store(EvaluationStore, ChatStore):
    """The one place that reads and writes what must survive. Safe to use from several threads and processes."""
