"""The other ways for a picture to get into a question: a web address, the clipboard, a page of a PDF."""

from __future__ import annotations

import base64
import io
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.test_ask import ask, open_page, upload

pytestmark = [pytest.mark.browser, pytest.mark.engine]
RED = re.compile("red", re.IGNORECASE)
PASTE = """(box, data) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const carried = new DataTransfer();
    carried.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
    box.dispatchEvent(new ClipboardEvent("paste", { clipboardData: carried, bubbles: true, cancelable: true }));
}"""


@pytest.fixture
def site(red_circle: Path) -> Iterator[str]:
    """A site of one picture and one page, on loopback (the app under test may fetch from there)."""
    picture = red_circle.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, kind = (picture, "image/png") if self.path.endswith(".png") else (b"<p>hello</p>", "text/html")
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(0.05))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(page: Page, address: str) -> None:
    page.get_by_role("button", name="Web, camera").click()
    box = page.locator("#vqa-address textarea, #vqa-address input")
    box.fill(address)
    box.press("Enter")


def test_a_picture_from_a_web_address_is_asked_about(page: Page, app_url: str, site: str) -> None:
    open_page(page, app_url)
    fetch(page, f"{site}/circle.png")
    expect(page.locator("#vqa-composer .thumbnail-wrapper")).to_have_count(1, timeout=30_000)
    ask(page, "What colour is the circle?")
    expect(page.locator("#vqa-chat .message.bot").first).to_contain_text(RED)


def test_an_address_that_is_no_picture_is_told(page: Page, app_url: str, site: str) -> None:
    open_page(page, app_url)
    fetch(page, f"{site}/page")
    told = page.locator(".toast-body, .toast-wrap").get_by_text("not a picture")
    expect(told.first).to_be_visible(timeout=30_000)


def test_a_pasted_picture_is_asked_about(page: Page, app_url: str, red_circle: Path) -> None:
    open_page(page, app_url)
    data = base64.b64encode(red_circle.read_bytes()).decode()
    page.locator("#vqa-composer textarea").evaluate(PASTE, data)
    expect(page.locator("#vqa-composer .thumbnail-wrapper")).to_have_count(1, timeout=30_000)
    ask(page, "What colour is the circle?")
    expect(page.locator("#vqa-chat .message.bot").first).to_contain_text(RED)


def test_a_page_of_a_pdf_is_asked_about(page: Page, app_url: str, red_circle: Path, tmp_path: Path) -> None:
    made = io.BytesIO()
    Image.open(red_circle).save(made, "PDF")
    path = tmp_path / "circle.pdf"
    path.write_bytes(made.getvalue())
    open_page(page, app_url)
    upload(page, path)
    ask(page, "What colour is the circle?")
    expect(page.locator("#vqa-chat .message.bot").first).to_contain_text(RED)
