"""What a browser is handed of the page: no id twice, and nothing that it has no use for before it is asked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from vqa.engine.attach import AttachedEngine
from vqa.engine.opening import open_engine
from vqa.lab.run.manager import RunManager
from vqa.settings import load_settings
from vqa.store import Store
from vqa.text import LANGUAGES
from vqa.ui.page import build_ui
from vqa.ui.services import Services

TABS_FILLED_WHEN_OPENED = ("repeat-", "diagnose-", "evaluate-", "history-", "vqa-state", "vqa-log")


def starts_in_a_tab(part: Any) -> bool:
    return str(getattr(part, "elem_id", "")).startswith(TABS_FILLED_WHEN_OPENED)


def is_state(part: Any) -> bool:
    return isinstance(part, gr.State)


@pytest.mark.parametrize("attached", [False, True])
def test_no_id_stands_twice_and_nothing_is_filled_before_it_is_opened(tmp_path: Path, attached: bool) -> None:
    settings = load_settings(data_dir=tmp_path)
    engine = AttachedEngine("http://127.0.0.1:1/v1") if attached else open_engine(settings)
    store = Store(settings.database)
    runs = RunManager(store, settings)
    page = build_ui(Services(settings, store, engine, runs))
    ids = Counter(each.elem_id for each in page.blocks.values() if getattr(each, "elem_id", None))
    runs.close()
    engine.close()
    store.close()
    assert ids["vqa-composer"] == len(LANGUAGES)
    assert {name: count for name, count in ids.items() if count > len(LANGUAGES)} == {}
    # No other program is let in, so none is told how to call; of that two thirds of the page would be.
    assert not [each["id"] for each in page.config["components"] if "api_info" in each]
    assert page.get_api_info(page="") == {"named_endpoints": {}, "unnamed_endpoints": {}}
    # At every start of an event a browser looks each part up that any event of its start fills.
    filled = {part for each in page.fns.values() if (page._id, "load") in each.targets for part in each.outputs}
    ours = {part for part in filled if starts_in_a_tab(part)}
    assert filled
    assert not {part.elem_id for part in ours}
    # A browser takes a state for changed with the first event that could change it: every tab would be filled then.
    for each in page.fns.values():
        states = [target for target, event in each.targets if event == "change" and is_state(page.blocks.get(target))]
        assert not states or not [part for part in each.outputs if starts_in_a_tab(part)]
    opened = {part.elem_id for each in page.fns.values() if "select" in dict(each.targets).values()
              for part in each.outputs if starts_in_a_tab(part)}  # fmt: skip
    assert {"repeat-progress", "diagnose-progress", "evaluate-progress", "history-list", "vqa-state"} <= opened
