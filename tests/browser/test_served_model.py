"""Where a server lists several models, the one that is asked is chosen on the page; embedders stand last."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab_app import SECONDS, FaultyApp
from tests.browser.test_ask import answers

pytestmark = pytest.mark.browser


def test_the_model_that_is_chosen_is_asked(page: Page, faulty: FaultyApp) -> None:
    faulty.behave(vllm=False, also_lists=("text-embedding-3", "second"))
    page.goto(faulty.url)
    field = page.locator("#vqa-served-model")
    expect(field).to_be_visible(timeout=SECONDS)
    for model in ("second", "vqa-demo"):
        field.locator("input").click()
        expect(page.get_by_role("option")).to_contain_text(["vqa-demo", "second", "text-embedding-3"])
        page.get_by_role("option").filter(has_text=model).click()
        expect(page.locator(".vqa-strip.good")).to_contain_text(model, timeout=SECONDS)
        asked = len(faulty.server.bodies)
        page.get_by_role("button", name="New conversation").click()
        page.locator("#vqa-chat .examples button").first.click()
        expect(answers(page)).to_have_count(1, timeout=SECONDS)
        assert {body["model"] for body in faulty.server.bodies[asked:]} == {model}
    faulty.behave()
    expect(field).to_be_hidden(timeout=SECONDS)
