"""Stop on the Ask tab ends an answer on the page and in the real vLLM behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import httpx2 as httpx
import psutil
import pytest
from openai import OpenAI
from playwright.sync_api import Page, expect

from tests.browser.test_ask import ANSWER, SECONDS, answers, open_page, send, upload
from tests.conftest import RunningApp

pytestmark = [pytest.mark.browser, pytest.mark.engine]
COMPUTES, RESTS = 0.02, 0.2
"""Seconds in turn of an engine that is slowed."""
LONGEST = 1500
"""Tokens of an answer that has no end of its own."""
ATTEMPTS = 3
PRESS_STOP = """(answer) => {
  const timer = setInterval(() => {
    const stop = document.querySelector("#vqa-composer .stop-button");
    if (!stop || !/\\d/.test(document.querySelector(answer)?.innerText)) return;
    clearInterval(timer);
    stop.click();
  }, 20);
}"""


def metric(engine_url: str, name: str) -> float:
    text = httpx.get(engine_url.removesuffix("/v1") + "/metrics", trust_env=False).text
    return sum(float(value) for value in re.findall(rf"^vllm:{name}\S* (\S+)$", text, re.MULTILINE))


def running_requests(engine_url: str) -> float:
    """How many requests the server works on.

    vLLM sets its gauge along with the tokens that it hands out, so one more token is asked for first. Without that, on
    a busy machine, it was seen at 0 during the whole of an answer of 8 s.
    """
    with OpenAI(base_url=engine_url, api_key="EMPTY", http_client=httpx.Client(trust_env=False)) as client:
        model = client.models.list().data[0].id
        hello = {"role": "user", "content": "Hello."}
        client.chat.completions.create(model=model, max_tokens=1, messages=[hello])  # type: ignore[call-overload]
    return metric(engine_url, "num_requests_running")


def test_stop_ends_the_answer_here_and_on_the_server(page: Page, app: RunningApp, red_circle: Path) -> None:
    for _ in range(ATTEMPTS):
        open_page(page, app.url)
        upload(page, red_circle)
        if stopped_after(page, app) < LONGEST:
            return
    pytest.fail("the server went on to the end of every answer")


def stopped_after(page: Page, app: RunningApp) -> float:
    """Asks for an endless answer, presses Stop at its first digit, and returns how many tokens the server made of it.

    Digits come from the server alone, so with the first of them the request is under way there. Page and app may lag
    behind the engine by seconds: it is slowed until they have caught up.
    """
    page.locator("#vqa-options > button").click()
    page.get_by_label("temperature").first.wait_for()
    page.get_by_label("max_tokens").fill(str(LONGEST))
    page.get_by_label("JSON schema").fill(json.dumps({"type": "array", "items": {"type": "integer"}, "minItems": 400}))
    before = metric(app.base_url, "generation_tokens_total")
    page.evaluate(PRESS_STOP, ANSWER)
    with slowed(psutil.Process(app.process.pid)):
        send(page, "Count.")
        expect(answers(page)).to_have_count(1, timeout=SECONDS)
    if "stopped by you" not in answers(page).inner_text():
        return LONGEST
    expect(page.locator("#vqa-composer .submit-button")).to_be_visible()
    for _ in range(50):
        if running_requests(app.base_url) == 0:
            break
        page.wait_for_timeout(100)
    assert running_requests(app.base_url) == 0
    return metric(app.base_url, "generation_tokens_total") - before


@contextmanager
def slowed(app: psutil.Process) -> Iterator[None]:
    """The part of the app's engine that computes rests most of the time; its server hears and answers as before."""
    cores = [each for each in app.children(recursive=True) if each.name().startswith("VLLM::")]
    assert cores
    over = Event()

    def rest() -> None:
        while not over.wait(COMPUTES):
            for core in cores:
                core.suspend()
            over.wait(RESTS)
            for core in cores:
                core.resume()

    thread = Thread(target=rest)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
