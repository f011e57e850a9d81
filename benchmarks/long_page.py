"""Whether the page keeps moving, in Chromium, while a run of ten thousand samples is under way in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from benchmarks import Row
from benchmarks.instant_server import instant_server
from benchmarks.page_load import BROWSERS, FLAGS, LIMIT, served
from vqa.ui.lab.repeat import TICK_SECONDS

LONG = 10_000
PACE = 0.002  # seconds per token: so slow that the run lasts longer than it is watched
BOUND = 500.0  # ms
FRAMES = """() => new Promise(done => {
  const began = performance.now(), worst = []; let last = began;
  const step = now => {
    const second = Math.floor((now - began) / 1000);
    worst[second] = Math.max(worst[second] || 0, now - last); last = now;
    second < 7 ? requestAnimationFrame(step) : done(worst.filter(each => each)) };
  requestAnimationFrame(step) })"""
"""Returns the longest time between two frames of each second, in ms: how long the page stands still."""
REDRAWS = """() => new Promise(done => {
  const place = document.querySelector('#repeat-progress'), times = []; let before = '';
  const seen = new MutationObserver(() => {
    const count = place.innerText.match(/(\\d+) of/)?.[1];
    if (count && count !== before) { before = count; times.push(performance.now()); } });
  seen.observe(place, {subtree: true, childList: true, characterData: true});
  setTimeout(() => { seen.disconnect(); done(times) }, 8000) })"""
"""Returns when, in 8 s, the count of samples on the page changed, in ms."""
SWITCH = """tab => new Promise(done => {
  const began = performance.now();
  [...document.querySelectorAll('button[role=tab]')].find(each => each.innerText.trim() === tab[0]).click();
  const look = () => document.querySelector(tab[1])?.offsetParent
    ? done(performance.now() - began) : requestAnimationFrame(look);
  look() })"""
"""Clicks a tab and returns after how many ms its content is on the screen."""


def run() -> list[Row]:
    """Returns the medians, in ms, of each second's longest frame, the time between redraws and a change of tabs."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    with instant_server(PACE) as server, served(["app.py"], server) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-US")
        page.set_default_timeout(LIMIT * 1000)
        page.goto(f"{url}/?tab=repeat")
        still = median(page.evaluate(FRAMES))
        _start(page)
        gaps = [after - before for before, after in pairwise(page.evaluate(REDRAWS))]
        frame = median(page.evaluate(FRAMES))
        switches = [page.evaluate(SWITCH, [name, f"#tab-{name.lower()}"]) for name in ("History", "Repeat") * 3]
        under_way = page.locator("#repeat-progress").inner_text()
        browser.close()
    if f"of {LONG}" not in under_way or f"{LONG} of {LONG}" in under_way:
        raise SystemExit(f"the run was not under way while it was watched: {under_way[:80]}")
    tick, turn = 1000 * TICK_SECONDS, median(switches)
    redraw = median(gaps) if gaps else float("inf")
    during = f"while a run of {LONG} is under way"
    return [
        Row(f"the page's longest frame of a second {during}, beside none", frame, still, "ms",
            f"at most {BOUND:g} ms", frame <= BOUND),
        Row(f"redraws {during}, beside the tick", redraw, tick, "ms", f"at most {BOUND:g} ms more",
            redraw <= tick + BOUND),
        Row(f"a change of tabs {during}, beside a frame", turn, frame, "ms", f"at most {BOUND:g} ms", turn <= BOUND),
    ]  # fmt: skip


def _start(page: Page) -> None:
    """Fills the form and starts the run; returns when some hundred samples are there."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        Image.new("RGB", (64, 64), "red").save(picture)
        page.locator("#tab-repeat .vqa-gallery input[type=file]").set_input_files(picture)
        expect(page.locator("#tab-repeat .vqa-gallery img").first).to_be_visible(timeout=LIMIT * 1000)
    page.locator("#tab-repeat textarea").first.fill("What is in the picture?")
    for place, number in enumerate((LONG, 8)):
        page.locator("#tab-repeat input[type=number]").nth(place).fill(str(number))
    page.locator("#repeat-start").click()
    page.wait_for_function("/[2-9]\\d\\d of|\\d{4} of/.test(document.querySelector('#repeat-progress').innerText)")
