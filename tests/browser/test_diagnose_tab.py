"""The Diagnose tab in a real browser: the plan first, arms live, then cause, confidence, evidence and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab_app import SECONDS, FaultyApp, faulty, fill, open_tab, start_and_wait
from tests.conftest import RunningApp
from tests.fakes.behaviour import Behaviour
from tests.fakes.engine_stand_in import StandIn
from tests.fakes.openai_server import FakeServer
from tests.lab.made import picture
from vqa.answers import Sampling
from vqa.lab.plan.arms import RunSpec
from vqa.lab.run.diagnose_job import diagnose_work
from vqa.lab.run.manager import RunManager
from vqa.models.serve import plan_start
from vqa.settings import Settings, load_settings
from vqa.store import Store

__all__ = ["faulty"]
pytestmark = pytest.mark.browser
UNASKED = ("broken off", "with structured output", "with logprobs")


def test_the_plan_is_shown_before_anything_runs(page: Page, faulty: FaultyApp, red_circle: Path) -> None:
    faulty.behave()
    open_tab(page, faulty.url, "diagnose")
    fill(page, "diagnose", red_circle)
    page.locator("#diagnose-plan-only").click()
    plan = page.locator("#diagnose-plan")
    expect(plan).to_contain_text(re.compile(r"\d+ tests, \d+ requests, about"), timeout=SECONDS)
    expect(plan).to_contain_text("Positive control")
    assert plan.locator("tbody tr").count() >= 8
    expect(page.locator("#diagnose-stop")).to_be_disabled()


def test_a_cold_prefix_cache_is_named_confirmed_with_evidence_and_remedy(
    page: Page, faulty: FaultyApp, red_circle: Path
) -> None:
    faulty.behave(cold_differs=True)
    open_tab(page, faulty.url, "diagnose")
    fill(page, "diagnose", red_circle)
    start_and_wait(page, "diagnose")
    verdict = page.locator("#diagnose-verdict")
    expect(verdict.locator(".vl-finding h3").first).to_contain_text("cold prefix cache")
    expect(verdict.locator(".vl-finding .vl-chip").first).to_have_text("confirmed by intervention")
    expect(verdict).to_contain_text("What helps:")
    evidence = verdict.locator(".vl-arms tbody tr")
    assert evidence.count() >= 8
    page.locator("#diagnose-arm label").filter(has_text="In a row").click()
    expect(page.locator("#diagnose-detail .vl-strip").first).to_be_visible(timeout=SECONDS)
    assert "B" in page.locator("#diagnose-detail .vl-strip").first.locator(".vl-cell").all_inner_texts()
    page.reload()
    expect(verdict.locator(".vl-finding h3").first).to_contain_text("cold prefix cache", timeout=SECONDS)


def test_a_clean_server_is_identical_with_its_bound_and_offers_no_cure(
    page: Page, faulty: FaultyApp, red_circle: Path
) -> None:
    faulty.behave()
    open_tab(page, faulty.url, "diagnose")
    fill(page, "diagnose", red_circle)
    start_and_wait(page, "diagnose")
    expect(page.locator("#diagnose-verdict .vl-verdict")).to_contain_text("identical")
    expect(page.locator("#diagnose-verdict .vl-verdict")).to_contain_text("%")
    assert page.locator("#diagnose-verdict .vl-finding").count() == 0


def test_a_server_that_is_always_the_same_cannot_be_judged(page: Page, faulty: FaultyApp, red_circle: Path) -> None:
    faulty.behave(ignores_temperature=True)
    open_tab(page, faulty.url, "diagnose")
    fill(page, "diagnose", red_circle)
    start_and_wait(page, "diagnose")
    expect(page.locator("#diagnose-verdict .vl-verdict")).to_contain_text("differences cannot be detected")


def test_a_vision_matrix_is_foretold_filled_in_and_opened_again(page: Page, faulty: FaultyApp) -> None:
    faulty.behave(splits_beside="sizes", seconds_per_token=0.03)
    open_tab(page, faulty.url, "diagnose")
    section, verdict = page.locator("#diagnose-matrix"), page.locator("#diagnose-verdict")
    section.locator("button").first.click()
    expect(page.locator("#matrix-cost")).to_contain_text("16 prompts, 128 cells")
    sizes = page.locator("#matrix-sizes textarea, #matrix-sizes input")
    sizes.fill("64, 96x")
    expect(page.locator("#matrix-cost")).to_contain_text("96x is no size")
    sizes.fill("64, 96x48")
    page.locator("#matrix-n input").fill("2")
    page.locator("#matrix-at-once input").fill("2")
    for label in ("2", "text first", *(f"Neighbours {each}" for each in UNASKED)):
        section.get_by_label(label, exact=True).uncheck()
    expect(page.locator("#matrix-cost")).to_contain_text("2 prompts, 10 cells")
    start_and_wait(page, "matrix", "diagnose")
    expect(verdict).to_contain_text("neighbours of another size (in 2 of 2 prompts). Nothing else", timeout=SECONDS)
    expect(verdict.locator("tbody tr")).to_have_count(2)
    expect(verdict.locator("tbody tr").first).to_contain_text("2 together")
    page.reload()
    expect(verdict.locator("tbody tr")).to_have_count(2, timeout=SECONDS)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_an_attached_server_offers_no_restart_and_what_holds_where_leads_to_the_runs(
    page: Page, faulty: FaultyApp
) -> None:
    open_tab(page, faulty.url, "diagnose")
    assert page.locator("#diagnose-again, #diagnose-certify").count() == 0
    page.locator("#diagnose-where button").first.click()
    row = page.locator("#diagnose-where tbody tr").filter(has_text="up to 67 at a time")
    expect(row).to_contain_text("batch-invariant-triton", timeout=SECONDS)
    row.get_by_role("link").click()
    expect(page.locator("#tab-history")).to_contain_text("h200-internvl-horizon", timeout=SECONDS)


def test_each_server_behind_an_address_is_asked_by_itself_and_compared(
    page: Page, faulty: FaultyApp, red_circle: Path
) -> None:
    verdict = page.locator("#diagnose-verdict")
    with FakeServer() as one, FakeServer(answer="Quite other words") as other:
        faulty.behave(workers_at=tuple(each.base_url.removesuffix("/v1") for each in (one, other)))
        open_tab(page, faulty.url, "repeat")
        fill(page, "repeat", red_circle, n=2)
        start_and_wait(page, "repeat")
        page.locator("#repeat-verdict a", has_text="Diagnose").click()
        expect(page.locator("#tab-diagnose .vqa-gallery img").first).to_be_visible(timeout=SECONDS)
        page.locator("#diagnose-each").click()
        expect(verdict).to_contain_text("The 2 servers do not give the same answers", timeout=SECONDS)
        expect(verdict.locator("li")).to_have_text([re.compile(re.escape(each.base_url)) for each in (one, other)])
    expect(page).to_have_url(re.compile(r"run=[0-9a-f]{12}"))
    page.reload()
    expect(verdict.locator("li")).to_have_count(2, timeout=SECONDS)


@pytest.mark.engine
def test_a_managed_engine_offers_profiles_with_reasons_and_the_certificate(page: Page, app_url: str) -> None:
    open_tab(page, app_url, "diagnose")
    page.locator("#diagnose-certificate button").first.click()
    expect(page.locator("#diagnose-certify")).to_be_visible(timeout=SECONDS)
    expect(page.locator("#diagnose-certificate li[aria-disabled=true]").first).to_contain_text("NVIDIA")
    page.locator("#diagnose-horizon button").first.click()
    page.locator("#horizon-most input").fill("8")
    expect(page.locator("#horizon-cost")).to_contain_text("Between 70 and 262 requests")
    expect(page.locator("#diagnose-certificate")).to_contain_text(
        "measures the engine on this hardware, not your model"
    )
    assert page.get_by_label("serial").count() >= 1


@pytest.mark.engine
def test_a_profile_that_helped_is_kept_for_the_next_start_shown_on_both_tabs_and_undone(
    page: Page, app: RunningApp
) -> None:
    settings = load_settings(data_dir=app.data_dir)
    run = checked_under_serial(settings)
    page.goto(f"{app.url}/?tab=diagnose&run={run}")
    expect(page.locator("#diagnose-verdict")).to_contain_text("Before and after", timeout=SECONDS)
    expect(page.locator("#diagnose-verdict")).to_contain_text(re.compile(r"Time of a request [+-]\d+%, throughput"))
    page.locator("#diagnose-keep").click()
    expect(page.locator("#diagnose-kept")).to_contain_text("starts vqa-demo under the profile serial", timeout=SECONDS)
    assert plan_start(settings)[0].profile == "serial"
    page.locator("button[role=tab]", has_text="Server").click()
    expect(page.locator("#server-kept")).to_contain_text("serial", timeout=SECONDS)
    expect(page.locator("#vqa-command .vqa-command > pre")).to_contain_text("--max-num-seqs 1", timeout=SECONDS)
    page.locator("#server-unkeep").click()
    expect(page.locator("#server-kept")).to_be_hidden(timeout=SECONDS)
    expect(page.locator("#vqa-command .vqa-command > pre")).not_to_contain_text("--max-num-seqs", timeout=SECONDS)
    assert plan_start(settings)[0].profile == "default"


def checked_under_serial(settings: Settings) -> str:
    """Stores a diagnosis of the demo model and a second one under `serial`, as a restart leaves them."""
    store = Store(settings.database)
    manager = RunManager(store, settings)
    engine = StandIn(
        {"default": Behaviour(splits_under_load=True), "serial": Behaviour()}, spec=plan_start(settings)[0]
    )
    engine.restart()
    spec = RunSpec(("What is shown?",), (picture(),), sampling=Sampling(max_tokens=32))
    run: str | None = None
    for profile in (None, "serial"):
        work = diagnose_work(spec, profile=profile, before=run, loads=(2,), size=6)
        run = manager.start_work(work, spec, engine.server.base_url, kind="diagnose", engine=engine)  # type: ignore[arg-type]
        assert manager.wait(run, timeout=60).status == "finished"
    engine.stop()
    manager.close()
    store.close()
    assert run is not None
    return run
