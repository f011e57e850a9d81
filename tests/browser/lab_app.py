"""The app attached to a server of our own that differs on demand: what the real vLLM won't do when a test wants it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.apps import App, with_recorded_runs
from tests.conftest import base_environment, stop_app, wait_for_url
from tests.fakes.behaviour import Behaviour
from tests.fakes.openai_server import FakeServer
from tests.ports import free_port

SECONDS = 60_000


@dataclass
class FaultyApp:
    """A page over a server whose behaviour a test sets."""

    url: str
    server: FakeServer
    data_dir: Path

    def behave(self, **faults: object) -> None:
        """From now on the server is this; it forgets its caches."""
        self.server.behaviour = Behaviour(**faults)  # type: ignore[arg-type]
        self.server.state.cached.clear()
        self.server.state.images.clear()


@contextmanager
def faulty_app(folder: Path, *, first: bool = False) -> Iterator[FaultyApp]:
    """Starts the app, with its data below `folder`, and its server; unless it is the `first` start on this folder, the
    recorded runs are in the store.
    """
    port, log, data_dir = free_port(), folder / "app.log", folder / "data"
    if not first:
        with_recorded_runs(data_dir)
    with FakeServer() as server:
        process = App(base_environment(data_dir=data_dir, port=port, base_url=server.base_url), log)
        try:
            wait_for_url(f"http://127.0.0.1:{port}", process, log, 240)
            yield FaultyApp(f"http://127.0.0.1:{port}", server, data_dir)
        finally:
            stop_app(process)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyApp]:
    """An app of a module's own, whose store holds what its tests put there."""
    with faulty_app(tmp_path_factory.mktemp("faulty")) as app:
        yield app


def fill(page: Page, tab: str, picture: Path, question: str = "What is in the picture?", **numbers: int) -> None:
    """Puts a picture, a question, and N and c into the form of a tab."""
    page.locator(f"#tab-{tab} .vqa-gallery input[type=file]").set_input_files(picture)
    expect(page.locator(f"#tab-{tab} .vqa-gallery img").first).to_be_visible(timeout=SECONDS)
    page.locator(f"#tab-{tab} textarea").first.fill(question)
    for place, name in enumerate(("n", "c")):
        if name in numbers:
            page.locator(f"#tab-{tab} input[type=number]").nth(place).fill(str(numbers[name]))


def open_tab(page: Page, url: str, tab: str) -> None:
    """Opens the page at a tab and waits until it can be used."""
    page.goto(f"{url}/?tab={tab}")
    expect(page.locator(f"#tab-{tab}")).to_be_visible(timeout=SECONDS)
    expect(page.locator(".vqa-strip")).to_be_visible(timeout=SECONDS)


def start_and_wait(page: Page, name: str, tab: str | None = None) -> None:
    """Presses the start button of that name and waits for the end of the run on its tab, which is called so as well."""
    tab = tab or name
    page.locator(f"#{name}-start").click()
    expect(page.locator(f"#{tab}-progress .vl-ended")).to_be_visible(timeout=3 * SECONDS)
    expect(page).to_have_url(re.compile(r"run=[0-9a-f]{12}"))
