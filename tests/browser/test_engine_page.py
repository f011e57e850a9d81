"""The Server tab drives a real engine and a real download: a failing start, phases, what is killed comes back, stop,
cancel and resume.

One engine is enough for all of that: each start takes a CPU twenty seconds of all that it has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.apps import App, with_recorded_runs
from tests.browser.test_server import unfold
from tests.conftest import base_environment, stop_app, wait_for_url
from tests.fakes.hub import FakeHub, model_files
from tests.ports import free_port
from tests.processes import works_below
from vqa.engine.ports import port_free

pytestmark = [pytest.mark.browser, pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(1200)]
SECONDS = 60_000
ENGINE = 420_000
LOG_AT_ITS_END = """() => {
  const box = document.querySelector('#vqa-log textarea');
  return box.scrollHeight > 2 * box.clientHeight && box.scrollHeight - box.clientHeight - box.scrollTop < 40;
}"""
ID = "maker/tiny-vl"
BIG = "model-00001-of-00002.safetensors"


@dataclass
class OwnApp:
    """An app that starts nothing by itself, and the hub that it downloads from; it can be killed and started again."""

    url: str
    hub: FakeHub
    environment: dict[str, str]
    log: Path
    engine_port: int
    process: App | None = None

    def start(self) -> None:
        self.process = App(self.environment, self.log)
        wait_for_url(self.url, self.process, self.log, 240)

    def kill(self) -> None:
        """Ends it as a crash would, which its engine outlives."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def engines(self) -> list[psutil.Process]:
        """The processes of the engine that the app has started."""
        assert self.process is not None
        return works_below(psutil.Process(self.process.pid))

    def answers(self) -> bool:
        """Whether the engine answers a question."""
        root = f"http://127.0.0.1:{self.engine_port}/v1"
        model = httpx.get(f"{root}/models", trust_env=False).json()["data"][0]["id"]
        body = {"model": model, "messages": [{"role": "user", "content": "?"}], "max_tokens": 1}
        return httpx.post(f"{root}/chat/completions", json=body, timeout=60, trust_env=False).status_code == 200


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnApp]:
    folder = tmp_path_factory.mktemp("own")
    port, engine_port = free_port(), free_port()
    with FakeHub({ID: model_files(12)}) as hub:
        environment = base_environment(
            data_dir=folder / "data", port=port, engine_port=engine_port, engine_restarts=1, hub_endpoint=hub.url
        )
        with_recorded_runs(folder / "data")
        environment |= {"NO_PROXY": "127.0.0.1,localhost"}
        app = OwnApp(f"http://127.0.0.1:{port}", hub, environment, folder / "app.log", engine_port)
        try:
            app.start()
            yield app
        finally:
            if app.process is not None:
                stop_app(app.process)


def open_server(page: Page, own: OwnApp) -> None:
    page.goto(f"{own.url}/?tab=server")
    expect(page.locator("#vqa-state .vqa-card, #vqa-state .vqa-empty").first).to_be_visible(timeout=SECONDS)


def test_a_start_that_fails_shows_its_cause_and_the_next_one_outlives_the_app_and_the_death_of_its_core(
    page: Page, own: OwnApp
) -> None:
    open_server(page, own)
    state, start, stop = page.locator("#vqa-state"), page.locator("#vqa-start"), page.locator("#vqa-stop")
    length = page.locator("#flag-max_model_len textarea, #flag-max_model_len input")
    expect(state).to_contain_text("No model is running", timeout=SECONDS)
    unfold(page, "Flags")
    length.fill("999999")
    expect(page.locator("#vqa-command .vqa-command > pre")).to_contain_text("--max-model-len 999999", timeout=SECONDS)
    start.click()
    expect(state).to_contain_text("Failed", timeout=ENGINE)
    expect(state).to_contain_text(re.compile("999999|max_model_len|max-model-len"))
    expect(start).to_be_enabled(timeout=SECONDS)
    assert not own.engines(), "a start that failed must leave no process"
    page.wait_for_function(LOG_AT_ITS_END)

    length.fill("")
    expect(page.locator("#vqa-command .vqa-command > pre")).not_to_contain_text("999999", timeout=SECONDS)
    profile, strip = page.locator("#flag-profile input"), page.locator("#vqa-strip")
    profile.click()
    page.get_by_role("option", name="float32", exact=True).click()
    expect(page.locator("#vqa-command .vqa-command > pre")).to_contain_text("--dtype float32", timeout=SECONDS)
    start.click()
    expect(state).to_contain_text(re.compile("importing|loading weights|warming up"), timeout=SECONDS)
    expect(stop).to_be_enabled(timeout=SECONDS)
    expect(state).to_contain_text("Ready", timeout=ENGINE)
    expect(state).to_contain_text("Running now")
    state.get_by_text("Started with this command").click()
    expect(state.locator("pre")).to_contain_text("vllm serve")
    expect(state.locator("pre")).to_contain_text("--dtype float32")
    # Another page is told so, too: in the strip, of what runs now, and in the form of the next start.
    open_server(page, own)
    expect(strip).to_contain_text("profile float32", timeout=SECONDS)
    expect(state.locator(".vqa-stats")).to_contain_text("float32")
    expect(profile).to_have_value("float32", timeout=SECONDS)
    expect(page.locator("#vqa-command .vqa-command > pre")).to_contain_text("--dtype float32")
    running = own.engines()
    assert len(running) >= 2

    page.goto("about:blank")
    own.kill()
    own.start()
    open_server(page, own)
    expect(state).to_contain_text("Ready", timeout=SECONDS)
    expect(state).to_contain_text("taken over")
    assert all(process.is_running() for process in running)

    core(running).kill()
    expect(state).to_contain_text(re.compile("importing|loading weights|warming up"), timeout=SECONDS)
    assert not psutil.wait_procs(running, timeout=10)[1]
    expect(state).to_contain_text("Ready", timeout=ENGINE)
    expect(state.locator(".vqa-stats div").filter(has_text="Restarts").locator("dd")).to_have_text("1")
    assert own.answers()
    running = own.engines()
    assert len(running) >= 2
    page.get_by_role("tab", name="Ask", exact=True).click()
    page.locator("#vqa-strip").get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("tab", name="Server", exact=True).click()
    expect(state).to_contain_text("No model is running", timeout=SECONDS)
    expect(strip).not_to_contain_text("float32")
    assert not psutil.wait_procs(running, timeout=10)[1]
    assert port_free("127.0.0.1", own.engine_port)


def core(engine: list[psutil.Process]) -> psutil.Process:
    """The process of an engine that computes, by the name that vLLM gives it."""
    return next(process for process in engine if "EngineCore" in " ".join(process.cmdline()))


def test_a_download_is_cancelled_and_resumed_where_it_ended(page: Page, own: OwnApp) -> None:
    own.hub.faults.hold_after = 3 * 1024 * 1024
    open_server(page, own)
    page.get_by_text("Models: download, sizes, what fits").click()
    page.locator("#vqa-model-id textarea, #vqa-model-id input").fill(ID)
    download, jobs = page.get_by_role("button", name="Download or resume"), page.locator("#vqa-downloads")
    download.click()
    assert own.hub.holding.wait(60)
    expect(jobs).to_contain_text(re.compile(r"[1-9]\d*(\.\d+)? ?%|[1-9]\d*(\.\d+)? MB"), timeout=SECONDS)
    page.locator("#vqa-models").get_by_role("button", name="Cancel").click()
    expect(jobs).to_contain_text("cancelled", timeout=SECONDS)
    own.hub.faults.hold_after = None
    own.hub.go_on.set()
    download.click()
    expect(jobs).to_contain_text("complete and verified", timeout=SECONDS)
    assert own.hub.ranges(BIG), "the second download must go on where the first ended"


@pytest.mark.parametrize(("model", "told"), [("--evil", "--evil"), ("../../x", "x"), ("no slash here", "no slash")])
def test_a_name_that_is_no_model_is_told_and_asks_nobody(page: Page, own: OwnApp, model: str, told: str) -> None:
    open_server(page, own)
    page.get_by_text("Models: download, sizes, what fits").click()
    asked = len(own.hub.seen)
    page.locator("#vqa-model-id textarea, #vqa-model-id input").fill(model)
    page.get_by_role("button", name="Download or resume").click()
    expect(page.locator(".toast-body, .toast-wrap").get_by_text(told).first).to_be_visible(timeout=SECONDS)
    assert len(own.hub.seen) == asked
