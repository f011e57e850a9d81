"""No id stands twice on the page: what a script or a style means would be the first of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from vqa.engine.attach import AttachedEngine
from vqa.engine.opening import open_engine
from vqa.lab.run.manager import RunManager
from vqa.settings import load_settings
from vqa.store import Store
from vqa.text import LANGUAGES
from vqa.ui.page import build_ui
from vqa.ui.services import Services


@pytest.mark.parametrize("attached", [False, True])
def test_no_id_stands_twice(tmp_path: Path, attached: bool) -> None:
    settings = load_settings(data_dir=tmp_path)
    engine = AttachedEngine("http://127.0.0.1:1/v1") if attached else open_engine(settings)
    store = Store(settings.database)
    runs = RunManager(store, settings)
    built = build_ui(Services(settings, store, engine, runs)).blocks.values()
    ids = Counter(each.elem_id for each in built if getattr(each, "elem_id", None))
    runs.close()
    engine.close()
    store.close()
    assert ids["vqa-composer"] == len(LANGUAGES)
    assert {name: count for name, count in ids.items() if count > len(LANGUAGES)} == {}
