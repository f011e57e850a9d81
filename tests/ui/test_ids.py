"""What a browser is handed of the page: no id twice, and nothing that it has no use for before it is asked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vqa.engine.attach import AttachedEngine
from vqa.engine.opening import open_engine
from vqa.lab.run.manager import RunManager
from vqa.settings import load_settings
from vqa.store import Store
from vqa.text import LANGUAGES
from vqa.ui.page import TABS, build_ui
from vqa.ui.services import Services
from vqa.ui.widgets.later import take_out

TABS_FILLED_WHEN_OPENED = ("repeat-", "diagnose-", "evaluate-", "history-", "vqa-state", "vqa-log")


def starts_in_a_tab(part: Any) -> bool:
    return str(getattr(part, "elem_id", "")).startswith(TABS_FILLED_WHEN_OPENED)


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
    # What a browser builds at the start is the first tab: of every other its name, and the event that draws it.
    config: Any = page.config
    begins = {each["id"] for each in config["components"]}
    assert not {page.blocks[each].elem_id for each in begins if starts_in_a_tab(page.blocks[each])}
    for each in config["dependencies"]:
        parts = {target for target, _ in each["targets"]} | {*each["inputs"], *each["outputs"]}
        assert parts - {page._id, None} <= begins
    insides = page._insides
    assert len(insides) == len(LANGUAGES) * (len(TABS) - 1)
    drawn = [part["id"] for inside in insides.values() for part in inside["components"]
             if part["id"] != inside["layout"]["id"]]  # fmt: skip
    assert len(drawn) == len(set(drawn)) and begins | set(drawn) == set(page.blocks) - {page._id}
    # What fills a tab comes with it, and is loaded as soon as it is drawn; no event is left out or handed over twice.
    filled = {part for inside in insides.values() for each in inside["dependencies"]
              if "load" in dict(each["targets"]).values() for part in each["outputs"]}  # fmt: skip
    named = {page.blocks[part].elem_id for part in filled}
    assert {"repeat-progress", "diagnose-progress", "evaluate-progress", "history-list", "vqa-state"} <= named
    later = [each["id"] for event, inside in insides.items() for each in inside["dependencies"] if each["id"] != event]
    first = [each["id"] for each in config["dependencies"]]
    assert sorted(first + later) == sorted(page.fns)
    # Gradio's script asks of a part that comes later whether it can be changed, and what is heard of it.
    pictures = next(each["props"] for inside in insides.values() for each in inside["components"]
                    if "vqa-gallery" in (each["props"].get("elem_classes") or ()))  # fmt: skip
    assert pictures["interactive"] and "change" in pictures["attached_events"]


def test_an_inside_that_is_not_there_cannot_be_taken_out() -> None:
    with pytest.raises(KeyError):
        take_out({"layout": {"id": 0, "children": []}, "dependencies": [], "components": [], "page": {}}, 7, 0)
