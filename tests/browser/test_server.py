"""The Server tab in a real browser: state, command, form, presets, models, start and stop."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

expect.set_options(timeout=30_000)
pytestmark = [pytest.mark.browser, pytest.mark.engine]
SECONDS = 30_000


def open_tab(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/?tab=server")
    expect(page.locator("#vqa-state .vqa-card").first).to_be_visible(timeout=SECONDS)


def test_the_state_names_model_address_and_a_link_to_the_servers_documentation(
    page: Page, app_url: str, engine_url: str
) -> None:
    open_tab(page, app_url)
    card = page.locator("#vqa-state")
    expect(card).to_contain_text("Ready", timeout=SECONDS)
    expect(card).to_contain_text(engine_url)
    expect(card.locator("a")).to_have_attribute("href", engine_url.removesuffix("/v1") + "/docs")
    expect(page.locator("#vqa-start")).to_be_disabled()
    expect(page.locator("#vqa-stop")).to_be_enabled()


def unfold(page: Page, section: str) -> None:
    """Opens a section of the form."""
    page.get_by_role("button", name=section, exact=True).or_(page.get_by_text(section, exact=True)).first.click()
    page.wait_for_timeout(500)  # Gradio draws an opened section again, and what is typed before that is lost


def test_the_log_and_the_figures_are_filled(page: Page, app_url: str) -> None:
    open_tab(page, app_url)
    expect(page.locator("#vqa-log textarea")).to_have_value(re.compile("vLLM|INFO"), timeout=SECONDS)
    expect(page.locator("#vqa-metrics")).to_contain_text("KV cache used", timeout=SECONDS)
    assert page.locator("#vqa-metrics svg").count() >= 5


def test_the_command_follows_the_form_and_a_pasted_one_fills_it(page: Page, app_url: str) -> None:
    open_tab(page, app_url)
    unfold(page, "Flags")
    page.locator("#flag-max_model_len textarea, #flag-max_model_len input").fill("1k")
    expect(page.locator("#vqa-command .vqa-command > pre")).to_contain_text("--max-model-len 1000")
    page.get_by_role("button", name="Paste a command").click()
    page.locator("#vqa-paste textarea").fill("vllm serve /models/some --port 8123 --max-model-len 4096 --dtype float32")
    page.get_by_role("button", name="Fill the form from it").click()
    expect(page.locator("#flag-port textarea, #flag-port input")).to_have_value("8123")
    expect(page.locator("#flag-max_model_len textarea, #flag-max_model_len input")).to_have_value("4096")
    expect(page.locator("#vqa-command .vqa-command > pre")).to_contain_text("vllm serve /models/some")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("port", "-1", "port"),
        ("port", "70000", "port"),
        ("tensor_parallel_size", "8", "GPU"),
        ("max_model_len", "x", "whole number"),
    ],
)
def test_a_wrong_flag_is_told_and_restarts_nothing(
    page: Page, app_url: str, engine_url: str, field: str, value: str, told: str
) -> None:
    open_tab(page, app_url)
    expect(page.locator("#vqa-restart")).to_be_enabled(timeout=SECONDS)
    box = page.locator(f"#flag-{field} textarea, #flag-{field} input")
    unfold(page, "Several GPUs" if field == "tensor_parallel_size" else "Flags")
    expect(box).to_be_visible()
    box.fill(value)
    if field == "tensor_parallel_size":
        expect(page.locator("#vqa-command .vqa-command > pre")).to_contain_text("--tensor-parallel-size 8")
    page.locator("#vqa-restart").click()
    expect(page.locator(".toast-body, .toast-wrap").get_by_text(re.compile(told)).first).to_be_visible(timeout=SECONDS)
    expect(page.locator("#vqa-state")).to_contain_text("Ready")


def test_a_preset_is_saved_used_and_deleted(page: Page, app_url: str) -> None:
    open_tab(page, app_url)
    unfold(page, "Flags")
    page.get_by_text("Presets", exact=True).click()
    port = page.locator("#flag-port textarea, #flag-port input")
    port.fill("8456")
    page.get_by_label("Name", exact=True).fill("other port")
    page.get_by_role("button", name="Save as preset").click()
    expect(page.get_by_label("Saved preset")).to_have_value("other port")
    port.fill("8000")
    page.get_by_role("button", name="Use", exact=True).click()
    expect(port).to_have_value("8456")
    page.locator("button", has_text="Delete").first.click()
    expect(page.get_by_label("Saved preset")).to_have_value("")


def test_the_models_are_listed_with_size_licence_and_whether_they_fit(page: Page, app_url: str) -> None:
    open_tab(page, app_url)
    page.get_by_text("Models: download, sizes, what fits").click()
    cards = page.locator("#vqa-model-cards")
    expect(cards).to_contain_text("InternVL2_5-1B", timeout=SECONDS)
    expect(cards).to_contain_text("bundled")
    expect(cards).to_contain_text("Apache-2.0")


def test_an_id_that_is_none_is_refused(page: Page, app_url: str) -> None:
    open_tab(page, app_url)
    page.get_by_text("Models: download, sizes, what fits").click()
    for wrong in ("--evil", "../../x", "nothing"):
        page.locator("#vqa-model-id textarea, #vqa-model-id input").fill(wrong)
        page.get_by_role("button", name="Download or resume").click()
        expect(page.locator(".toast-body, .toast-wrap").get_by_text(wrong).first).to_be_visible(timeout=SECONDS)
