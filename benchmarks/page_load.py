"""Time until our page can be typed in, in Chromium with an empty cache, beside an empty page of the same gradio."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

import httpx2 as httpx
from playwright.sync_api import Browser, sync_playwright

from benchmarks import Row
from vqa.settings import PROJECT

TURNS = 5
BOUND = 1.5  # times the empty page
LIMIT = 120.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
EMPTY = """
import sys
import gradio
with gradio.Blocks() as page:
    gradio.Textbox()
page.launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
"""


def run(base_url: str) -> list[Row]:
    """Returns the median seconds from the address to a text that stands in the box, opened in turns."""
    ours: list[float] = []
    bare: list[float] = []
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    with (
        served(["app.py"], base_url) as own,
        served(["-c", EMPTY]) as empty,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        for turn in range(TURNS + 1):
            times = _seconds(browser, own, "#vqa-composer textarea"), _seconds(browser, empty, "textarea")
            if turn:  # the first of each warms both servers up
                ours.append(times[0])
                bare.append(times[1])
        browser.close()
    held = median(ours) <= BOUND * median(bare)
    what = "page can be typed in, beside an empty gradio page"
    return [Row(what, median(ours), median(bare), "s", f"at most {BOUND:g} times", held)]


def _seconds(browser: Browser, url: str, box: str) -> float:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-US")
    page = context.new_page()
    began = time.perf_counter()
    page.goto(url, wait_until="commit", timeout=LIMIT * 1000)
    field = page.locator(box).first
    field.fill("What shape is it?", timeout=LIMIT * 1000)
    seconds = time.perf_counter() - began
    if field.input_value() != "What shape is it?":
        raise SystemExit(f"{url} took no text")
    context.close()
    return seconds


@contextmanager
def served(words: Sequence[str], base_url: str = "") -> Iterator[str]:
    """Yields the address of a page that another Python serves, once it answers; it is ended afterwards."""
    with process(words, base_url) as (url, _):
        yield url


@contextmanager
def process(words: Sequence[str], base_url: str = "") -> Iterator[tuple[str, int]]:
    """Yields the address of such a page, and the id of the process that serves it."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        own = {"PORT": str(port), "DATA_DIR": folder, "BASE_URL": base_url, "AUTO_START": "false"}
        environment = os.environ | {f"VQA_{name}": value for name, value in own.items()}
        environment["GRADIO_ANALYTICS_ENABLED"] = "False"
        quiet = subprocess.DEVNULL
        command = [sys.executable, *words, *([str(port)] if words[0] == "-c" else [])]
        child = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=quiet, stderr=quiet)
        try:
            yield _answering(f"http://127.0.0.1:{port}", child), child.pid
        finally:
            child.terminate()
            child.wait(60)


def _answering(url: str, process: subprocess.Popen[bytes]) -> str:
    began = time.monotonic()
    while time.monotonic() - began < LIMIT and process.poll() is None:
        try:
            if httpx.get(url, timeout=10, trust_env=False).status_code == httpx.codes.OK:
                return url
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{url} did not answer")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
