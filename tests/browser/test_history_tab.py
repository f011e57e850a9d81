"""The History tab in a real browser: find, open, name, compare, export and delete stored runs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab_app import SECONDS, FaultyApp, faulty_app, open_tab
from tests.lab.made import answer, picture, samples
from vqa.lab.run.recorded import add_recorded, recorded
from vqa.store import Store

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyApp]:
    """An app on a folder that is new to it: once its page is shown, it adds the recorded runs."""
    with faulty_app(tmp_path_factory.mktemp("faulty"), first=True) as app:
        store = Store(f"sqlite:///{app.data_dir / 'vqa.db'}")
        end = time.monotonic() + 3 * SECONDS / 1000
        while not all(map(store.has_run, recorded())):
            assert time.monotonic() < end, "the app did not add the recorded runs"
            time.sleep(0.2)
        store.close()
        yield app


@pytest.fixture
def stored(faulty: FaultyApp) -> dict[str, str]:
    """Two runs of one question, made under different engine settings, and one of another; ids by name."""
    store = Store(f"sqlite:///{faulty.data_dir / 'vqa.db'}")
    for run in store.runs():
        store.delete_run(run.id)
    image = picture()
    store.put_image(image)
    ids = {}
    for name, text, profile in (("first", "a red circle", "default"), ("second", "a blue circle", "serial")):
        ids[name] = store_run(store, f"the {name} run", "What is it?", [text] * 3, profile)
    ids["other"] = store_run(store, "", "<b>Which colour?</b>", ["red", "blue"], "default")
    store.close()
    return ids


def store_run(store: Store, name: str, question: str, texts: list[str], profile: str) -> str:
    header = {"model": "demo", "engine": {"profile": profile}, "started_at": datetime.now(UTC).isoformat()}
    spec = {"questions": [question], "images": [picture().sha256], "n": len(texts), "concurrency": 1, "sampling": {}}
    run_id = store.create_run("repeat", header=header, plan={"spec": spec, "images": [picture().sha256]}, name=name)
    for sample in samples(*[answer(text) for text in texts]):
        store.add_samples(run_id, [sample])
    store.finish_run(run_id, "finished")
    return run_id


def rows(page: Page) -> list[str]:
    return page.locator("#history-list .vl-run b").all_inner_texts()


def test_runs_are_listed_newest_first_and_found_by_name_and_question(
    page: Page, faulty: FaultyApp, stored: dict[str, str]
) -> None:
    open_tab(page, faulty.url, "history")
    expect(page.locator("#history-list .vl-run")).to_have_count(3, timeout=SECONDS)
    assert rows(page) == ["<b>Which colour?</b>", "the second run", "the first run"]
    page.locator("#tab-history").get_by_label("Search").fill("second")
    expect(page.locator("#history-list .vl-run")).to_have_count(1, timeout=SECONDS)
    page.locator("#tab-history").get_by_label("Search").fill("colour")
    expect(page.locator("#history-list .vl-run b")).to_have_text(["<b>Which colour?</b>"], timeout=SECONDS)


def test_a_run_is_named_and_opened_again(page: Page, faulty: FaultyApp, stored: dict[str, str]) -> None:
    open_tab(page, faulty.url, "history")
    page.locator(f"#history-list [data-run='{stored['other']}']").click()
    expect(page.locator("#history-run .vl-verdict")).to_contain_text("differ", timeout=SECONDS)
    page.locator("#history-name input, #history-name textarea").fill("colours")
    page.locator("#history-rename").click()
    expect(page.locator("#history-list .vl-run b").first).to_have_text("colours", timeout=SECONDS)
    page.locator("#history-open").click()
    expect(page.locator("#repeat-progress")).to_contain_text("2 of 2", timeout=SECONDS)
    assert f"run={stored['other']}" in page.url


def test_a_stored_run_is_asked_again_with_one_thing_changed(
    page: Page, faulty: FaultyApp, stored: dict[str, str]
) -> None:
    faulty.behave(answer="a red circle")
    open_tab(page, faulty.url, "history")
    page.locator(f"#history-list [data-run='{stored['second']}']").click()
    page.locator("#history-change").click()
    expect(page.locator("#tab-repeat textarea").first).to_have_value("What is it?", timeout=SECONDS)
    expect(page.locator("#repeat-progress")).to_contain_text("Asked as “the second run” was")
    expect(page.locator("#repeat-groups")).to_be_empty()
    expect(page.locator("#tab-repeat .vqa-gallery img").first).to_be_visible(timeout=SECONDS)
    temperature = page.locator("#repeat-more").get_by_label("temperature")
    expect(temperature).to_be_visible()
    temperature.fill("0.5")
    page.locator("#repeat-start").click()
    expect(page.locator("#repeat-progress .vl-ended")).to_contain_text("3 of 3", timeout=3 * SECONDS)
    expect(page).to_have_url(re.compile("run=[0-9a-f]{12}"))
    assert "from=" not in page.url and faulty.server.bodies[-1]["temperature"] == 0.5


def test_two_runs_are_compared_in_how_they_were_made_and_what_they_answered(
    page: Page, faulty: FaultyApp, stored: dict[str, str]
) -> None:
    open_tab(page, faulty.url, "history")
    page.locator(f"#history-list [data-run='{stored['first']}']").click()
    expect(page.locator("#history-other input")).to_have_value(re.compile(stored["second"]), timeout=SECONDS)
    page.locator("#history-compare").click()
    compared = page.locator("#history-compared")
    expect(compared).to_contain_text("engine.profile", timeout=SECONDS)
    expect(compared.locator("tr").filter(has_text="engine.profile")).to_contain_text("serial")
    expect(compared).to_contain_text("another answer")
    outcome, made = (
        compared.locator(each).first.bounding_box() for each in (".vl-pair", "tr:has-text('engine.profile')")
    )
    assert outcome and made and outcome["y"] < made["y"], "how they came out is told first"
    expect(compared.locator(".vl-diff mark").first).to_contain_text("red")


def test_a_run_that_is_pressed_far_down_is_shown_where_one_looks(
    page: Page, faulty: FaultyApp, stored: dict[str, str]
) -> None:
    store = Store(f"sqlite:///{faulty.data_dir / 'vqa.db'}")
    for place in range(15):
        store_run(store, f"one more {place}", "What is it?", ["a red circle"] * 2, "default")
    store.close()
    open_tab(page, faulty.url, "history")
    far = page.locator(f"#history-list [data-run='{stored['first']}']")
    expect(far.locator("img")).to_have_js_property("complete", True, timeout=SECONDS)
    far.click()
    title = page.locator("#history-run h3", has_text="the first run").first
    expect(title).to_be_in_viewport(timeout=SECONDS)

    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("button", name="All runs").click()
    page.locator(f"#history-list [data-run='{stored['second']}']").click()
    sheet = page.locator("#history-detail")
    expect(sheet.locator("h3", has_text="the second run").first).to_be_in_viewport(timeout=SECONDS)
    assert sheet.bounding_box() == {"x": 0, "y": 0, "width": 390, "height": 844}
    page.get_by_role("button", name="All runs").click()
    expect(far).to_be_in_viewport()


def test_a_run_is_deleted_only_after_it_was_confirmed(page: Page, faulty: FaultyApp, stored: dict[str, str]) -> None:
    open_tab(page, faulty.url, "history")
    page.locator(f"#history-list [data-run='{stored['first']}']").click()
    expect(page.locator("#history-delete")).to_be_visible(timeout=SECONDS)
    expect(page.locator("#history-yes")).to_be_hidden()
    page.locator("#history-delete").click()
    page.locator("#history-no").click()
    expect(page.locator("#history-yes")).to_be_hidden(timeout=SECONDS)
    page.locator("#history-delete").click()
    page.locator("#history-yes").click()
    expect(page.locator("#history-list .vl-run")).to_have_count(2, timeout=SECONDS)
    expect(page.locator("#history-run")).to_contain_text("The run is deleted")


def test_a_stored_run_is_exported(page: Page, faulty: FaultyApp, stored: dict[str, str], tmp_path: Path) -> None:
    open_tab(page, faulty.url, "history")
    page.locator(f"#history-list [data-run='{stored['second']}']").click()
    expect(page.locator("#history-export-html")).to_be_visible(timeout=SECONDS)
    with page.expect_download(timeout=SECONDS) as caught:
        page.locator("#history-export-html").click()
    caught.value.save_as(tmp_path / "report.html")
    assert "a blue circle" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_recorded_runs_are_listed_opened_and_stay(page: Page, faulty: FaultyApp, stored: dict[str, str]) -> None:
    store = Store(f"sqlite:///{faulty.data_dir / 'vqa.db'}")
    add_recorded(store)
    store.close()
    open_tab(page, faulty.url, "history")
    page.locator("#tab-history").get_by_label("Search").fill("H200")
    row = page.locator("#history-list [data-run=h200-diagnose-default]")
    expect(row).to_contain_text("Recorded on NVIDIA H200, vLLM 0.24.0", timeout=SECONDS)
    row.click()
    expect(page.locator("#history-run")).to_contain_text("cold prefix cache", timeout=SECONDS)
    page.locator("#history-delete").click()
    page.locator("#history-yes").click()
    expect(page.get_by_text("came with the app").first).to_be_visible(timeout=SECONDS)
    expect(row).to_be_visible()
    page.locator("#history-open").click()
    page.wait_for_url(re.compile("tab=diagnose&run=h200-diagnose-default"))
    expect(page.locator("#tab-diagnose")).to_contain_text("Recorded on NVIDIA H200", timeout=SECONDS)
    expect(page.locator("#tab-diagnose")).to_contain_text("confirmed by intervention", timeout=SECONDS)
