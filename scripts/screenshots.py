"""Takes the pictures of the documentation from a running app: every tab, both languages, both themes, both widths.

make run                  # in another terminal, until the strip says that the model is ready
make screenshots          # the ones of the README: ARGS="--only light-wide"
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vqa.settings import PROJECT
from vqa.text import LANGUAGES, Language
from vqa.ui.page import TABS

SIZES = {"wide": (1280, 800), "phone": (390, 844)}
THEMES = ("light", "dark")
QUESTIONS: dict[Language, str] = {"en": "Describe the image.", "zh": "请描述这张图片。"}
RECORDED = "h100-certificate"
PATIENCE = 90_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

NAMELESS = """(folder) => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) texts.currentNode.nodeValue = texts.currentNode.nodeValue.replaceAll(folder, "~/vqa-lab");
  for (const box of document.querySelectorAll("textarea, input[type=text]")) {
    if (box.value.includes(folder)) box.value = box.value.replaceAll(folder, "~/vqa-lab");
  }
}"""
"""Where the project lies on the machine that takes the pictures is nobody's business."""


def main() -> None:
    """Writes `<tab>-<language>-<theme>-<width>.png` for every combination that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", nargs="?", default="http://127.0.0.1:7860")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/screenshots"))
    parser.add_argument("--only", default="", help="only file names that contain this, such as ask-en-light-wide")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    picture = Path(tempfile.mkdtemp()) / "scene.png"
    draw_scene(picture)
    with chromium() as browser:
        for lang in LANGUAGES:
            for theme in THEMES:
                for size in SIZES:
                    shoot(browser, given.address, given.folder, picture, lang, theme, size, given.only)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yields a browser that shows the page as a visitor sees it."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--force-color-profile=srgb"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


def draw_scene(path: Path) -> None:
    """Draws what the demo model knows: a circle, a square and a triangle."""
    scene = Image.new("RGB", (1200, 800), "#f7f5ef")
    pen = ImageDraw.Draw(scene)
    pen.ellipse((120, 220, 440, 540), fill="#d62828")
    pen.rectangle((520, 420, 700, 600), fill="#1d5fbf")
    pen.polygon(((940, 180), (1100, 500), (780, 500)), fill="#2a9d4a")
    scene.resize((600, 400), Image.Resampling.LANCZOS).save(path)


def shoot(
    browser: Browser, address: str, folder: Path, picture: Path, lang: Language, theme: str, size: str, only: str
) -> None:
    """Opens one page and takes a picture of every tab."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        locale="zh-CN" if lang == "zh" else "en-US",
        device_scale_factor=1 if size == "wide" else 2,
    )
    page = context.new_page()
    page.goto(f"{address}/{'zh' if lang == 'zh' else ''}")
    page.locator("#vqa-tabs").wait_for(timeout=PATIENCE)
    for tab in (place.id for place in TABS):
        name = f"{tab}-{lang}-{theme}-{size}"
        if only not in name:
            continue
        page.goto(f"{address}/{'zh' if lang == 'zh' else ''}?tab={tab}")
        page.locator(f"#tab-{tab}").wait_for(timeout=PATIENCE)
        if tab == "ask":
            ask(page, picture, QUESTIONS[lang])
        if tab in {"repeat", "diagnose"}:
            run(page, tab, picture, QUESTIONS[lang])
        if tab == "history":
            page.locator(f'[data-run="{RECORDED}"]').click(timeout=PATIENCE)
            page.locator("#history-actions").wait_for(timeout=PATIENCE)
        page.wait_for_timeout(2500)
        page.evaluate(NAMELESS, str(PROJECT))
        page.screenshot(path=folder / f"{name}.png", full_page=size == "phone")
        slim(folder / f"{name}.png")
        print(folder / f"{name}.png", flush=True)
    context.close()


def slim(path: Path) -> None:
    """Keeps 256 colours of a picture, a third of its bytes."""
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def ask(page: Page, picture: Path, question: str) -> None:
    """Asks a question and waits for the whole answer."""
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=PATIENCE)
    page.locator("#vqa-composer input[type=file]").first.set_input_files(str(picture))
    page.locator("#vqa-tray img").wait_for(timeout=PATIENCE)
    box = page.locator("#vqa-composer textarea")
    box.fill(question)
    box.press("Enter")
    page.locator("#vqa-chat .vqa-line").wait_for(timeout=PATIENCE)


def run(page: Page, tab: str, picture: Path, question: str) -> None:
    """Fills the form of a lab tab, starts it, and waits for the verdict."""
    expect(page.locator(".vqa-strip.good")).to_be_visible(timeout=PATIENCE)
    if tab == "diagnose":  # the model must be unsure of what it is asked
        page.locator("#diagnose-example").click()
    else:
        page.locator(f"#tab-{tab} .vqa-gallery input[type=file]").set_input_files(str(picture))
        page.locator(f"#tab-{tab} textarea").first.fill(question)
    expect(page.locator(f"#tab-{tab} .vqa-gallery img").first).to_be_visible(timeout=PATIENCE)
    page.locator(f"#{tab}-start").click()
    expect(page.locator(f"#{tab}-progress .vl-ended")).to_be_visible(timeout=4 * PATIENCE)
    page.evaluate("window.scrollTo(0, 0)")


if __name__ == "__main__":
    main()
