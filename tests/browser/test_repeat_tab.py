"""The Repeat tab in a real browser: live strip, verdict, groups and diff; stop, reload, a second browser, exports."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.lab_app import SECONDS, FaultyApp, faulty, fill, open_tab, start_and_wait
from vqa.lab.report.export import load_report

__all__ = ["faulty"]
pytestmark = pytest.mark.browser


@pytest.mark.engine
def test_the_example_is_repeated_on_the_real_engine_with_verdict_levels_and_strip(page: Page, app_url: str) -> None:
    open_tab(page, app_url, "repeat")
    page.locator("#repeat-example").click()
    expect(page.locator("#tab-repeat .vqa-gallery img").first).to_be_visible(timeout=SECONDS)
    page.locator("#tab-repeat input[type=number]").first.fill("6")
    start_and_wait(page, "repeat")
    expect(page.locator("#repeat-progress")).to_contain_text("6 of 6")
    expect(page.locator("#repeat-verdict .vl-verdict strong")).to_contain_text(re.compile("identical|differ"))
    assert page.locator("#repeat-verdict .vl-strip").first.locator(".vl-cell").count() == 6
    assert page.locator("#repeat-verdict .vl-levels li").count() == 4
    expect(page.locator("#repeat-groups")).to_contain_text(re.compile(r"\d of 6"))
    expect(page.locator("#repeat-plots .vl-panel-first circle")).to_have_count(1)


def test_a_first_answer_that_differs_is_seen_at_a_glance_and_explained(
    page: Page, faulty: FaultyApp, red_circle: Path
) -> None:
    faulty.behave(cold_differs=True)
    open_tab(page, faulty.url, "repeat")
    fill(page, "repeat", red_circle, n=12)
    start_and_wait(page, "repeat")
    cells = page.locator("#repeat-verdict .vl-strip").first.locator(".vl-cell")
    assert cells.all_inner_texts() == ["B", *["A"] * 11]
    expect(page.locator("#repeat-verdict .vl-verdict")).to_contain_text("The first of 12 answers differs")
    expect(page.locator("#repeat-verdict")).to_contain_text("Only the first request differs; the 11 later ones agree")
    page.get_by_role("link", name="Find the cause on the Diagnose tab").click()
    expect(page.locator("#tab-diagnose textarea").first).to_have_value("What is in the picture?", timeout=SECONDS)
    expect(page.locator("#tab-diagnose .vqa-gallery img").first).to_be_visible(timeout=SECONDS)


def test_two_chosen_answers_are_set_side_by_side_with_their_candidates(
    page: Page, faulty: FaultyApp, red_circle: Path
) -> None:
    faulty.behave(race=0.3, cold_differs=True)
    open_tab(page, faulty.url, "repeat")
    fill(page, "repeat", red_circle, n=30)
    start_and_wait(page, "repeat")
    answers = page.locator("#repeat-groups button[data-group]")
    assert answers.count() >= 3
    expect(page.locator("#repeat-diff .vl-head").nth(1)).to_contain_text("Answer B")
    answers.nth(2).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#repeat-diff .vl-head").nth(1)).to_contain_text("Answer C", timeout=SECONDS)
    expect(answers.nth(2)).to_have_attribute("aria-pressed", "true")
    answers.nth(1).click()
    expect(page.locator("#repeat-diff .vl-head").first).to_contain_text("Answer B", timeout=SECONDS)
    expect(page.locator("#repeat-diff")).to_contain_text(re.compile(r"First differs at token \d+"))
    expect(page.locator("#repeat-diff .vl-candidates tbody tr")).to_have_count(4)
    expect(page.locator("#repeat-diff .vl-candidates")).to_contain_text("%")


def test_stop_keeps_what_was_measured_and_a_reload_and_a_second_browser_see_it(
    page: Page, browser: Browser, faulty: FaultyApp, red_circle: Path
) -> None:
    faulty.behave(seconds_per_token=0.02)
    open_tab(page, faulty.url, "repeat")
    fill(page, "repeat", red_circle, n=2000)
    page.locator("#repeat-start").click()
    expect(page.locator("#repeat-progress")).to_contain_text(re.compile(r"[3-9]\d* of 2000.*left"), timeout=SECONDS)
    page.reload()
    expect(page.locator("#repeat-progress")).to_contain_text("of 2000", timeout=SECONDS)
    other = browser.new_context(locale="en-US").new_page()
    other.goto(f"{faulty.url}/?tab=repeat")
    expect(other.locator("#repeat-progress")).to_contain_text("of 2000", timeout=SECONDS)
    other.locator("#repeat-stop").click()
    for each in (other, page):
        expect(each.locator("#repeat-progress")).to_contain_text("Stopped at", timeout=SECONDS)
    done = re.search(r"Stopped at (\d+) of 2000", page.locator("#repeat-progress").inner_text())
    assert done is not None and 3 <= int(done.group(1)) < 2000
    expect(page.locator("#repeat-groups")).to_contain_text(f"{done.group(1)} of {done.group(1)}")
    other.context.close()


def test_a_server_without_logprobs_is_told_to_hide_two_levels(page: Page, faulty: FaultyApp, red_circle: Path) -> None:
    faulty.behave(vllm=False, token_ids=False, logprobs=False, cached_tokens=False, metrics=False)
    open_tab(page, faulty.url, "repeat")
    fill(page, "repeat", red_circle, n=4)
    start_and_wait(page, "repeat")
    expect(page.locator("#repeat-verdict")).to_contain_text(
        "does not show what is needed to judge: Bit for bit, Tokens"
    )
    assert page.locator("#repeat-verdict .vl-levels .vl-unseen").count() == 2


def test_markup_in_questions_and_answers_stays_text(page: Page, faulty: FaultyApp, red_circle: Path) -> None:
    attack = "<img src=x onerror=window.pwned=1><script>window.pwned=1</script> ${window.pwned=1} {{value}}"
    faulty.behave(answer=attack, token_ids=False, logprobs=False)
    open_tab(page, faulty.url, "repeat")
    fill(page, "repeat", red_circle, f"{attack}?", n=3)
    start_and_wait(page, "repeat")
    expect(page.locator("#repeat-groups .vl-answer")).to_contain_text(attack.split(" ", maxsplit=1)[0])
    assert page.evaluate("window.pwned") is None
    assert page.locator("#repeat-groups .vl-answer img, #repeat-asked .vl-question img").count() == 0


def test_several_questions_are_judged_each_by_itself(page: Page, faulty: FaultyApp, red_circle: Path) -> None:
    faulty.behave()
    open_tab(page, faulty.url, "repeat")
    fill(page, "repeat", red_circle, "What is it?\nWhat colour is it?", n=3)
    start_and_wait(page, "repeat")
    assert page.locator("#repeat-verdict table tbody tr").count() == 2
    page.locator("#repeat-question label").nth(1).click()
    expect(page.locator("#repeat-verdict .vl-verdict")).to_be_visible()
    expect(page.locator("#repeat-verdict")).to_contain_text("for 100% of the questions")


@pytest.mark.parametrize(
    ("question", "n", "c", "told"),
    [
        ("", 5, 1, "The question is empty"),
        ("What?", 0, 1, "0 repeats"),
        ("What?", 1, 1, "1 repeats"),
        ("What?", 10_001, 1, "10001 repeats"),
        ("What?", 10**9, 1, "1000000000 repeats"),
        ("What?", 4, 8, re.compile("8 .*4|4 .*8")),
    ],
)
def test_bad_input_is_told_and_starts_nothing(
    page: Page, faulty: FaultyApp, red_circle: Path, question: str, n: int, c: int, told: str | re.Pattern[str]
) -> None:
    asked = len(faulty.server.bodies)
    open_tab(page, faulty.url, "repeat")
    fill(page, "repeat", red_circle, question, n=n, c=c)
    page.locator("#repeat-start").click()
    expect(page.locator(".toast-body").filter(has_text=told).first).to_be_visible(timeout=SECONDS)
    expect(page.locator("#repeat-stop")).to_be_disabled()
    assert len(faulty.server.bodies) == asked


def test_a_second_run_on_the_same_server_is_refused_while_one_is_under_way(
    page: Page, browser: Browser, faulty: FaultyApp, red_circle: Path
) -> None:
    faulty.behave(seconds_per_token=0.02)
    open_tab(page, faulty.url, "repeat")
    fill(page, "repeat", red_circle, n=2000)
    page.locator("#repeat-start").click()
    expect(page).to_have_url(re.compile(r"run=[0-9a-f]{12}"))
    run = page.url.rpartition("run=")[2]
    other = browser.new_context(locale="en-US").new_page()
    open_tab(other, faulty.url, "diagnose")
    fill(other, "diagnose", red_circle)
    other.locator("#diagnose-start").click()
    expect(other.locator(".toast-body").filter(has_text=run).first).to_be_visible(timeout=SECONDS)
    other.context.close()
    page.locator("#repeat-stop").click()
    expect(page.locator("#repeat-progress")).to_contain_text("Stopped at", timeout=SECONDS)


def test_before_the_first_run_one_that_differed_can_be_looked_at(page: Page, faulty: FaultyApp) -> None:
    open_tab(page, faulty.url, "repeat")
    page.get_by_role("link", name="A recorded run that differed (test model; its words are invented)").click()
    expect(page.locator("#repeat-verdict")).to_contain_text("differ", timeout=SECONDS)
    expect(page.locator("#repeat-groups")).to_contain_text("habi fine feme", timeout=SECONDS)
    page.goto(f"{faulty.url}/zh?tab=repeat&run=cpu-repeat")
    expect(page.locator("#tab-repeat")).to_contain_text("一次出现差异的录制（测试模型，词语为虚构）", timeout=SECONDS)


def test_without_a_picture_it_says_so(page: Page, faulty: FaultyApp) -> None:
    open_tab(page, faulty.url, "repeat")
    page.locator("#tab-repeat textarea").first.fill("What?")
    page.locator("#repeat-start").click()
    expect(page.get_by_text("There is no picture to ask about").first).to_be_visible(timeout=SECONDS)


def test_exports_are_files_that_open(page: Page, faulty: FaultyApp, red_circle: Path, tmp_path: Path) -> None:
    faulty.behave(cold_differs=True)
    open_tab(page, faulty.url, "repeat")
    fill(page, "repeat", red_circle, n=5)
    start_and_wait(page, "repeat")
    saved = {}
    for kind in ("html", "json", "csv", "junit"):
        with page.expect_download(timeout=SECONDS) as caught:
            page.locator(f"#repeat-export-{kind}").click()
        saved[kind] = tmp_path / caught.value.suggested_filename
        caught.value.save_as(saved[kind])
    assert len(load_report(saved["json"]).samples) == 5
    assert json.loads(saved["json"].read_text(encoding="utf-8"))["schema"] == "vqa-lab/run"
    assert len(saved["csv"].read_text(encoding="utf-8-sig").splitlines()) == 6
    assert ElementTree.fromstring(saved["junit"].read_text(encoding="utf-8")).get("failures") == "1"
    page.goto(saved["html"].as_uri())
    expect(page.locator("main.vr-en .vl-verdict").first).to_contain_text("The first of 5 answers differs")
    page.locator("label[for=language-zh]").click()
    expect(page.locator("main.vr-zh h1")).to_be_visible()
    expect(page.locator("main.vr-en")).to_be_hidden()


def test_a_report_opens_on_a_phone_without_scrolling_sideways(browser: Browser, faulty: FaultyApp) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="zh-CN")
    page = context.new_page()
    page.goto(f"{faulty.url}/zh?tab=repeat")
    expect(page.locator("#repeat-start")).to_be_visible(timeout=SECONDS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
