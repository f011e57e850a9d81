"""A report as somebody gets it: opened from a file, in one view, on as few sheets as a reader has patience for."""

from __future__ import annotations

from pathlib import Path

import pypdfium2
import pytest
from playwright.sync_api import Page, expect

from tests.lab.made import samples
from tests.lab.report.test_report import first_differs, made
from vqa.answers import Sample
from vqa.lab.report.export import load_report, to_html
from vqa.lab.run.run_json import Report
from vqa.settings import ASSETS
from vqa.text import LANGUAGES, Language

pytestmark = pytest.mark.browser


def opened(page: Page, report: Report, folder: Path, language: Language = "en") -> Path:
    """Opens a report's file and returns the path of what the browser would print of it on A4."""
    path = folder / "report.html"
    path.write_text(to_html(report, language), encoding="utf-8")
    page.goto(path.as_uri())
    printed = folder / "report.pdf"
    page.pdf(path=printed, format="A4")
    return printed


def sheets(path: Path) -> int:
    document = pypdfium2.PdfDocument(path)
    try:
        return len(document)
    finally:
        document.close()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("taken", [samples(*["a red circle"] * 20), first_differs(20)])
def test_twenty_repeats_are_told_on_one_sheet(
    page: Page, tmp_path: Path, taken: list[Sample], language: Language
) -> None:
    assert sheets(opened(page, made(taken), tmp_path, language)) == 1


def test_twenty_that_agree_are_told_in_one_view_and_the_rest_is_folded(page: Page, tmp_path: Path) -> None:
    opened(page, made(samples(*["a red circle"] * 20)), tmp_path)
    assert page.evaluate("document.documentElement.scrollHeight") <= 800
    shown = page.locator("main.vr-en")
    places = [shown.get_by_text(text).first.bounding_box() for text in ("What?", "a red circle", "20 of 20 identical")]
    tops = [place["y"] for place in places if place]
    assert len(tops) == 3 and tops == sorted(tops), "question, answer, verdict"
    figures = shown.locator("details", has_text="All figures")
    expect(figures.locator(".vl-levels")).to_be_hidden()
    figures.locator("summary").click()
    expect(figures.locator(".vl-levels")).to_be_visible()


@pytest.mark.parametrize("run", ["h200-diagnose-default", "h200-diagnose-triton"])
def test_a_diagnosis_is_told_on_two_sheets_and_its_control_differs_as_it_must(
    page: Page, tmp_path: Path, run: str
) -> None:
    report = load_report(ASSETS / "recorded" / f"{run}.json.gz")
    assert sheets(opened(page, report, tmp_path)) <= 2
    control = page.locator("main.vr-en .vl-arms tr", has_text="Positive control")
    expect(control.locator(".vl-chip.vl-good")).to_have_text("differs, as it must")
