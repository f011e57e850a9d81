"""What all tests share: a clean environment, one running app with one real vLLM, and a browser that looks at it."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx2 as httpx
import psutil
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect, sync_playwright
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.apps import App
from tests.pages import KeptPage
from tests.ports import free_port
from vqa.garbage import not_searched

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PAGE_SECONDS, ENGINE_SECONDS = 240.0, 300.0
"""How long a start may take where other tests and the engine itself want the same cores."""
FIRST_SECONDS = PAGE_SECONDS + 2 * ENGINE_SECONDS
"""The limit of a test that may be the first to ask for the session's app, whose start counts as that test's time."""
expect.set_options(timeout=15_000)  # an engine works on the same cores
settings.register_profile("here", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")  # other work on the machine is no fault
LEFT = ("AbortError: signal is aborted", "net::ERR_INCOMPLETE_CHUNKED_ENCODING")
CLOSED = ("Unexpected error Connection errored out", "Unexpected error 404: Not Found", "TypeError: network error")
"""What Gradio writes to the console when a page with an open event stream is left or loaded again: one of the first,
and with it any of the others."""


WHOLE_FILE = re.compile(r"(?<!@)pytest\.mark\.engine")
OF_THE_SESSION = re.compile(r"\b(app_url|engine_url|app: RunningApp)\b")
BESIDE = {
    "tests/browser/test_engine_page.py",
    "tests/real/test_certificate_real.py",
    "tests/real/test_remedy_real.py",
    "tests/real/test_twins.py",
}
"""They start engines of their own, and it does not matter how quick those are."""
FIRST = ("engine", "tests/real/test_certificate_real.py", "tests/browser/test_ten_thousand.py", "security")
"""The scopes that take longest begin first, so that none of them is left over when all others have ended."""


class EnginesTogether(LoadScopeScheduling):
    """With `-n`: what asks a real engine runs in one process, one after the other, and the rest beside it, by files."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def scope_of(nodeid: str) -> str:
    """What a test runs together with: 'engine', 'security', 'torch' or its own file."""
    file, _, test = nodeid.partition("::")
    if file.startswith("tests/security/"):
        return "security"  # they share three apps
    source = source_of(file)
    if "from tests.in_engine import" in source:
        return "torch"  # they share the process that has imported it
    whole = WHOLE_FILE.search(source) and file not in BESIDE
    taken = re.search(rf"def {re.escape(test.partition('[')[0])}\(([^)]*)\)", source)
    return "engine" if whole or (taken and OF_THE_SESSION.search(taken[1])) else file


def turns(scopes: list[str]) -> dict[str, float]:
    """Returns when each scope begins: the longest first, then those with a browser evenly among all others.

    A browser takes all the processor that it can get, while most others wait for something.
    """
    rest = [scope for scope in dict.fromkeys(scopes) if scope not in FIRST]
    kinds = [[scope for scope in rest if scope.startswith("tests/browser/") is browser] for browser in (True, False)]
    spread = {scope: (place + 1) / len(kind) for kind in kinds for place, scope in enumerate(kind)}
    return spread | {scope: place - len(FIRST) for place, scope in enumerate(FIRST)}


@cache
def source_of(file: str) -> str:
    """The text of a file of tests, read once: there are thousands of tests."""
    return (ROOT / file).read_text(encoding="utf-8")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> EnginesTogether:
    """Tells xdist which tests belong together."""
    return EnginesTogether(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Imports all tests, and what they import, without a search for garbage: every worker does."""
    with not_searched():
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the scopes, and gives the time of the app's start to the tests that use it and name no limit."""
    scopes = {item.nodeid: scope_of(item.nodeid) for item in items}
    turn = turns(list(scopes.values()))
    items.sort(key=lambda item: turn[scopes[item.nodeid]])
    for item in items:
        if "app" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(FIRST_SECONDS))


def base_environment(**settings: object) -> dict[str, str]:
    """The environment without anybody's own settings of this app, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VQA_", "VLLM_"))}
    return kept | {"VQA_AUTO_START": "false"} | {f"VQA_{name.upper()}": str(value) for name, value in settings.items()}


@pytest.fixture(autouse=True)
def same_log() -> Iterator[None]:
    """A command that a test runs in its own process may send its log elsewhere: not that of the tests after it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the settings or the data of whoever runs it."""
    for name in list(os.environ):
        if name.startswith("VQA_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("VQA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("VQA_LANGUAGE", "en")


@dataclass(frozen=True)
class RunningApp:
    """`python app.py` as a user runs it, with the engine that it started by itself."""

    url: str
    base_url: str
    data_dir: Path
    process: subprocess.Popen[bytes] | App
    seconds_to_page: float
    seconds_to_engine: float
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        """For commands that shall see the same engine and the same store."""
        return base_environment(data_dir=self.data_dir, language="en")


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """The one app of the session; its engine is the one real vLLM that tests share."""
    folder = tmp_path_factory.mktemp("app")
    data_dir, log, port, engine_port = folder / "data", folder / "app.log", free_port(), free_port()
    environment = base_environment(
        data_dir=data_dir, port=port, engine_port=engine_port, auto_start="true", allow_local_urls="true"
    )
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    url, root = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{engine_port}"
    try:
        wait_for_url(url, process, log, PAGE_SECONDS)
        seconds_to_page = time.monotonic() - began
        wait_for_url(f"{root}/health", process, log, ENGINE_SECONDS)
        wait_until_ready(base_environment(data_dir=data_dir), log)
        seconds_to_engine = time.monotonic() - began
        yield RunningApp(url, f"{root}/v1", data_dir, process, seconds_to_page, seconds_to_engine, log)
    finally:
        stop_app(process)


def wait_for_url(url: str, process: subprocess.Popen[bytes] | App, log: Path, seconds: float) -> None:
    """Waits until `url` answers 200; fails with the end of the log when the process ends or time is up."""
    end = time.monotonic() + seconds
    with httpx.Client(timeout=5, trust_env=False, verify=False) as client:  # certificates are read for each client anew
        while time.monotonic() < end:
            if process.poll() is not None:
                pytest.fail(f"app.py ended with {process.returncode}:\n{log.read_text()[-3000:]}")
            try:
                if client.get(url).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
    pytest.fail(f"{url} did not answer within {seconds:.0f} s:\n{log.read_text()[-3000:]}")


def wait_until_ready(environment: dict[str, str], log: Path) -> None:
    """Waits until the app itself calls its engine ready."""
    end = time.monotonic() + ENGINE_SECONDS
    said = ""
    while time.monotonic() < end:
        status = subprocess.run(
            [sys.executable, "-m", "vqa", "status", "--json"],
            check=False,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        said = status.stdout + status.stderr
        if '"state": "ready"' in said:
            return
        time.sleep(1)
    pytest.fail(f"the engine did not become ready: {said}\n{log.read_text()[-3000:]}")


def stop_app(process: subprocess.Popen[bytes] | App) -> None:
    """Ends the app as Ctrl-C does, and makes sure that nothing of it is left."""
    if process.poll() is not None:
        return
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(signal.SIGINT)
    try:
        process.wait(60)
    finally:
        for member in psutil.wait_procs(family, timeout=10)[1]:
            member.kill()


@pytest.fixture(scope="session")
def engine_url(app: RunningApp) -> str:
    """The address (…/v1) of the session's real vLLM with the demo model."""
    return app.base_url


@pytest.fixture(scope="session")
def app_url(app: RunningApp) -> str:
    """The address of the session's page."""
    return app.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; for one module, since the sync API must not outlive the tests that use it."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        chromium = playwright.chromium.launch(executable_path=path, args=[*flags, *camera])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def kept_page(browser: Browser) -> Iterator[KeptPage]:
    """The page that the tests of a module use one after the other."""
    kept = KeptPage(browser)
    yield kept
    kept.close()


@pytest.fixture
def page(kept_page: KeptPage, request: pytest.FixtureRequest) -> Iterator[Page]:
    """An English page of 1280×800 that keeps nothing; the test fails when the browser's console shows an error."""
    fresh = kept_page.take()
    errors: list[str] = []
    failed = request.session.testsfailed

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(f"{message.text} ({message.location.get('url', '')})")

    def note_error(error: Error) -> None:
        errors.append(f"{error}\n{error.stack}")

    fresh.on("console", note)
    fresh.on("pageerror", note_error)
    kept_page.watch()
    yield fresh
    if not fresh.is_closed():
        fresh.remove_listener("console", note)
        fresh.remove_listener("pageerror", note_error)
    if any(left in error for error in errors for left in LEFT):  # a page that is left says so of its own open stream
        errors = [error for error in errors if not any(said in error for said in (*LEFT, *CLOSED))]
    kept_page.give_back(failed=bool(errors) or request.session.testsfailed > failed)
    assert not errors, f"the browser's console shows errors: {errors}"


@pytest.fixture
def red_circle(tmp_path: Path) -> Path:
    """A picture that the demo model knows: one filled red circle on white, drawn by Pillow alone."""
    picture = Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(picture).ellipse((70, 70, 190, 190), fill=(220, 30, 30))
    path = tmp_path / "red-circle.png"
    picture.save(path)
    return path
