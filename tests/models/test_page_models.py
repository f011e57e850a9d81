"""The page's own part of downloads, in a real browser: hub, revision and folder are chosen, what broke off is resumed.

The app starts no engine here, and the hub is one of our own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.apps import App, with_recorded_runs
from tests.browser.test_server import unfold
from tests.conftest import base_environment, stop_app, wait_for_url
from tests.fakes.hub import FakeHub, model_files
from tests.models.conftest import ID
from tests.models.downloading import half_way, hold, release
from tests.ports import free_port
from tests.processes import works_below
from vqa.models.download import Download
from vqa.models.listing import read_complete
from vqa.settings import Settings

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SECONDS = 60_000
SECTION = "Models: download, sizes, what fits"
REVISION = "v1"


@dataclass
class Own:
    """An app without an engine, the hub that it downloads from, and its data folder."""

    url: str
    hub: FakeHub
    settings: Settings
    app: psutil.Process


@pytest.fixture(autouse=True)
def nothing_left(own: Own) -> Iterator[None]:
    """No download outlives a test; the app and the browser do here."""
    yield
    assert not works_below(own.app)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    folder = tmp_path_factory.mktemp("own")
    port, log = free_port(), folder / "app.log"
    with FakeHub({ID: model_files(12)}) as hub:
        given = {"data_dir": folder / "data", "hub_endpoint": hub.url, "language": "en"}
        settings = Settings(_env_file=None, **given)  # type: ignore[arg-type]
        interrupt(hub, settings)
        environment = base_environment(port=port, engine_port=free_port(), **given) | {
            "NO_PROXY": "127.0.0.1,localhost"
        }
        with_recorded_runs(folder / "data")
        app = App(environment, log)
        try:
            wait_for_url(f"http://127.0.0.1:{port}", app, log, 240)
            yield Own(f"http://127.0.0.1:{port}", hub, settings, psutil.Process(app.pid))
        finally:
            stop_app(app)


def interrupt(hub: FakeHub, settings: Settings) -> None:
    """Leaves a download of one revision behind that ended half-way."""
    hold(hub)
    with Download(settings, ID, revision=REVISION) as running:
        half_way(hub, running)
    release(hub)


def open_models(page: Page, own: Own) -> None:
    page.goto(f"{own.url}/?tab=server")
    expect(page.locator("#vqa-state .vqa-card, #vqa-state .vqa-empty").first).to_be_visible(timeout=SECONDS)
    page.get_by_text(SECTION).click()
    expect(page.locator("#vqa-model-cards")).to_contain_text("demo", timeout=SECONDS)


def fill(page: Page, **fields: str) -> None:
    for name, value in fields.items():
        page.locator(f"#vqa-model-{name} textarea, #vqa-model-{name} input").first.fill(value)


def test_a_download_that_broke_off_is_offered_and_resumed(page: Page, own: Own) -> None:
    open_models(page, own)
    name = f"{ID}@{REVISION}"
    expect(page.locator("#vqa-model-cards")).to_contain_text(name)
    card = page.locator("#vqa-model-cards article").filter(has_text=name)
    expect(card).to_contain_text("incomplete")
    card.get_by_role("button", name="Resume").click()
    expect(page.locator("#vqa-downloads")).to_contain_text("complete and verified", timeout=SECONDS)
    expect(card.get_by_role("button", name="Start")).to_be_visible(timeout=SECONDS)
    assert own.hub.ranges("model-00001-of-00002.safetensors"), "it must go on where it ended"
    folder = own.settings.models_path / "maker" / f"tiny-vl@{REVISION}"
    mark = read_complete(folder)
    assert mark is not None
    assert mark.revision == REVISION
    card.get_by_text("Delete", exact=True).click()
    card.get_by_role("button", name="Yes, delete its files").click()
    expect(card).to_have_count(0, timeout=SECONDS)
    assert not folder.exists()


def test_hub_revision_and_folder_are_those_of_the_fields(page: Page, own: Own, tmp_path: Path) -> None:
    open_models(page, own)
    expect(page.locator("#vqa-model-source input")).to_have_value("ModelScope")
    target = tmp_path / "我的 模型"
    fill(page, id=ID, revision="master", target=str(target))
    page.get_by_role("button", name="Download or resume").click()
    done = page.locator("#vqa-downloads")
    expect(done).to_contain_text(str(target), timeout=SECONDS)
    expect(done.get_by_text("complete and verified")).to_have_count(2, timeout=SECONDS)
    mark = read_complete(target)
    assert mark is not None
    assert (mark.model_id, mark.revision, mark.source) == (ID, "master", "modelscope")
    fill(page, revision="v3")
    page.get_by_role("button", name="Download or resume").click()
    told = page.locator(".toast-body, .toast-wrap").get_by_text("already holds other files")
    expect(told.first).to_be_visible(timeout=SECONDS)
    assert read_complete(target) == mark


def test_switching_foreign_code_on_says_at_once_what_it_means(page: Page, own: Own) -> None:
    for path, flags, word in (("", "Flags", "outside any sandbox"), ("zh", "参数", "没有沙箱隔离")):
        page.goto(f"{own.url}/{path}?tab=server")
        note, switch = page.locator("#vqa-trust"), page.locator("#flag-trust_remote_code input")
        expect(page.locator("#vqa-flags")).to_be_visible(timeout=SECONDS)
        unfold(page, flags)
        expect(switch).to_be_visible(timeout=SECONDS)
        expect(note).to_be_hidden()
        switch.check()
        expect(note).to_contain_text(word, timeout=SECONDS)
        expect(note).to_be_visible()
        switch.uncheck()
        expect(note).to_be_hidden(timeout=SECONDS)
