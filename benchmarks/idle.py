"""What the app does with a core while nobody asks anything: with no page open, and with one."""

from __future__ import annotations

import os
import shutil
import time

import psutil
from playwright.sync_api import sync_playwright

from benchmarks import Row
from benchmarks.instant_server import instant_server
from benchmarks.page_load import BROWSERS, EMPTY, FLAGS, LIMIT, process

SECONDS = 60.0
BOUND = 1.0  # percent of a core
SETTLED = 10.0  # seconds after a page is there


def run() -> list[Row]:
    """Returns the percents of a core that the app took over a minute, its children's included, beside an empty page."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    with (
        instant_server(0) as server,
        process(["app.py"], server) as (own, pid),
        process(["-c", EMPTY]) as (empty, other),
        sync_playwright() as playwright,
    ):
        time.sleep(SETTLED)
        alone = _percents(pid, other)
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        for url, box in ((own, "#vqa-composer textarea"), (empty, "textarea")):
            page = browser.new_page(locale="en-US")
            page.goto(url)
            page.locator(box).first.fill("What shape is it?", timeout=LIMIT * 1000)
        time.sleep(SETTLED)
        opened = _percents(pid, other)
        browser.close()
    return [
        Row(f"{what}, beside an empty gradio page's", ours, bare, "% of a core", f"at most {BOUND:g}%", ours <= BOUND)
        for what, (ours, bare) in (("idle, no page open", alone), ("idle, one page open", opened))
    ]


def _percents(*pids: int) -> list[float]:
    began, before = time.monotonic(), [_seconds(pid) for pid in pids]
    time.sleep(SECONDS)
    taken = time.monotonic() - began
    return [100 * (_seconds(pid) - once) / taken for pid, once in zip(pids, before, strict=True)]


def _seconds(pid: int) -> float:
    """Returns the seconds of a core that a process and its children have taken."""
    served = psutil.Process(pid)
    times = [each.cpu_times() for each in (served, *served.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))
