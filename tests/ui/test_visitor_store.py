"""What a visitor is given in place of the store takes nothing in: whatever writes there is refused by its name."""

from __future__ import annotations

from vqa.store import Store
from vqa.ui.public import VisitorStore, refuse

WRITING = ("add_", "create_", "delete_", "finish_", "import_", "put_", "rename_", "reopen_", "update_")


def test_every_method_that_writes_is_refused() -> None:
    writing = {name for name in dir(Store) if name.startswith(WRITING)}
    assert {"add_samples", "add_evaluated", "delete_run"} <= writing
    assert {name for name in writing if vars(VisitorStore).get(name) is not refuse} == set()
