"""Ten thousand samples in a real browser: the page counts on, memory stays, a killed app loses nothing stored."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.apps import App
from tests.browser.lab_app import SECONDS, fill, open_tab
from tests.conftest import ROOT, base_environment, stop_app, wait_for_url
from tests.fakes.openai_server import FakeServer
from tests.ports import free_port

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
MANY = 10_000
REDRAWS = """() => new Promise(done => {
  const place = document.querySelector('#repeat-progress'), counts = [];
  const seen = new MutationObserver(() => {
    const count = place.innerText.match(/(\\d+) of/)?.[1];
    if (count && count !== counts.at(-1)) counts.push(count);
    if (counts.length > 3) { seen.disconnect(); done(counts.map(Number)); } });
  seen.observe(place, {subtree: true, childList: true, characterData: true}) })"""
"""Returns the counts of samples that the page shows one after the other, as soon as there are four."""


@dataclass
class OwnApp:
    """An app over a server that answers at once; it can be killed and started again on the same data.

    The first one, whose memory is looked at, runs as users run it; those after it are started as quickly as can be.
    """

    folder: Path
    server: FakeServer
    url: str = ""
    process: subprocess.Popen[bytes] | App | None = None

    def start(self) -> None:
        port, log = free_port(), self.folder / "app.log"
        environment = base_environment(data_dir=self.folder / "data", port=port, base_url=self.server.base_url)
        if self.process is not None:
            self.process = App(environment, log)
        else:
            with log.open("ab") as output:
                self.process = subprocess.Popen(
                    [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
                )
        self.url = f"http://127.0.0.1:{port}"
        wait_for_url(self.url, self.process, log, 240)

    def kill(self) -> None:
        """Ends it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    @property
    def megabytes(self) -> float:
        """Memory that is the app's alone."""
        assert self.process is not None
        return float(psutil.Process(self.process.pid).memory_full_info().uss) / 2**20


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnApp]:
    # So slow that on a quick machine, too, the run lasts longer than it is watched.
    with FakeServer(race=0.01, prefill_seconds=0.03) as server:
        app = OwnApp(tmp_path, server)
        app.start()
        try:
            yield app
        finally:
            if app.process is not None:
                stop_app(app.process)


def done(page: Page) -> int:
    """How many samples the page says there are."""
    found = re.search(r"(\d+) of 10000", page.locator("#repeat-progress").inner_text())
    return int(found.group(1)) if found else 0


def start(page: Page, own: OwnApp, picture: Path, n: int) -> None:
    """Opens the tab and starts a run of `n`: many at a time, since each is kept waiting a little by the server."""
    open_tab(page, own.url, "repeat")
    fill(page, "repeat", picture, n=n, c=32)
    page.locator("#repeat-start").click()


def test_ten_thousand_samples_leave_the_page_alive_the_app_small_and_survive_a_kill(
    page: Page, own: OwnApp, red_circle: Path
) -> None:
    start(page, own, red_circle, 50)  # everything that is imported and cached once
    expect(page.locator("#repeat-progress .vl-ended")).to_be_visible(timeout=SECONDS)
    before = own.megabytes
    start(page, own, red_circle, MANY)
    expect(page.locator("#repeat-progress")).to_contain_text(re.compile(r"[3-9]\d{3} of 10000"), timeout=4 * SECONDS)
    counts = page.evaluate(REDRAWS)
    assert counts == sorted(set(counts)), "the page counts on while the run is under way"
    assert counts[-1] < MANY, "looked at after the end"
    for name in ("History", "Repeat"):
        page.get_by_role("tab", name=name, exact=True).click()
        expect(page.locator(f"#tab-{name.lower()}")).to_be_visible()

    expect(page.locator("#repeat-progress .vl-ended")).to_be_visible(timeout=5 * SECONDS)
    expect(page.locator("#repeat-verdict .vl-bitmap").first).to_be_visible(timeout=SECONDS)
    grown = own.megabytes - before
    expect(page).to_have_url(re.compile(r"run=[0-9a-f]{12}"))
    finished = page.url
    with page.expect_download(timeout=SECONDS) as caught:
        page.locator("#repeat-export-html").click()
    size = Path(caught.value.path()).stat().st_size
    print(f"grown {grown:.0f} MB; report of {size / 1e6:.2f} MB")
    assert grown < 100
    assert size < 5_000_000

    start(page, own, red_circle, MANY)
    expect(page.locator("#repeat-progress")).to_contain_text(re.compile(r"[3-9]\d{2} of 10000"), timeout=SECONDS)
    told, broken = done(page), page.url
    later = page.context.new_page()
    page.close()  # a page whose app is gone complains on the console
    own.kill()
    own.start()
    query = finished.partition("?")[2]
    later.goto(f"{own.url}/?{query}")
    expect(later.locator("#repeat-verdict .vl-bitmap").first).to_be_visible(timeout=SECONDS)
    expect(later.locator("#repeat-progress")).to_contain_text("10000 of 10000")
    later.goto(f"{own.url}/?{broken.partition('?')[2]}")
    expect(later.locator("#repeat-progress")).to_contain_text("Interrupted", timeout=SECONDS)
    assert told <= done(later) < MANY
